"""The suite tested on planted faults: caught / planted per tolerance model, survivors named with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.precision.faults.base import Fault
from conformance.precision.faults.catalogue import all_faults
from conformance.precision.judging.examine import Examination, Workbench
from conformance.precision.judging.tolerances import MODELS
from conformance.precision.model import regimes
from conformance.precision.model.rounding import uniform
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.paths.base import PrecisionPath, always
from conformance.precision.paths.torch_loop import loop_path
from conformance.precision.report import Row
from conformance.precision.run.exposures import Bench as Asked
from conformance.precision.run.exposures import exposed, false_alarms, right_variants

EXPERTS = 8  # faults do not depend on the number of experts beyond that there is a fifth
CACHE_BYTES = 4 << 30
# What a tolerance on one tensor cannot see whatever its size: it takes another call, or every number at once.
ASKED = ("bucket", "containment", "memory", "constant")
SCORED, SWEPT = 1024, 4096  # tokens of the score tests and the sweep
LEAST_TOKENS = 16  # with fewer an expert may have none, and its fault no effect


def selftest(
    shape: LayerShape,
    tokens: int,
    seed: int,
    device: torch.device,
    progress: Callable[[str, int, int], None],
    *,
    exposures: bool = True,
) -> dict[str, Any]:
    """Plant every fault and return who caught it.

    `failed` lists what must not be: a fault caught in no dtype without a named reason, and a harmless variant or a
    correct path that raised an alarm. Without `exposures` the faults are only compared on one tensor, which is quick.
    """
    small = shape.with_experts(EXPERTS)
    layer = synthetic_layer(small, seed, device)
    layer.cache_bytes = CACHE_BYTES
    benches: dict[str, Workbench] = {}

    def bench(regime: str) -> Workbench:
        if regime not in benches:
            benches[regime] = Workbench.of(regimes.build(regimes.REGIMES[regime], layer, tokens, seed))
        return benches[regime]

    controls = {
        d: _run(loop_path(f"control-{d}", d, uniform(d)), bench("gaussian")) for d in ("bfloat16", "float32")
    }
    faults = {name: f for name, f in all_faults().items() if f.family not in ASKED}
    entries = []
    for number, fault in enumerate(faults.values()):
        progress(f"planting {fault.name}", number, len(faults))
        entries.append(_plant(fault, small, bench(fault.regime), _served(controls, fault, bench)))
    planted = [e for e in entries if not e["harmless"]]
    caught = {"error model": sum(e["caught"] for e in planted)}
    caught.update({name: sum(e["others"][name] for e in planted) for name in MODELS})
    asked = Asked(layer, tokens, SCORED, SWEPT, seed)
    found = exposed(asked, progress) if exposures else {}
    by_any = {name for e in found.values() for name in e["by"]}
    alarms = false_alarms(asked, progress) if exposures else []
    failed = [e["name"] for e in planted if not (e["caught"] or e["survives"] or e["name"] in by_any)]
    named = {e["name"] for e in planted}
    failed += [n for e in found.values() for n in e["survivors"] if n not in by_any and n not in named]
    failed += [f"control-{alarm}" for alarm in alarms]
    failed += [e["name"] for e in entries if e["harmless"] and e["caught"]]
    failed += [f"control-{d}" for d, (rows, _) in controls.items() if any(not r.good for r in rows)]
    return {
        "shape": {"hidden": small.hidden, "intermediate": small.intermediate, "experts": small.experts},
        "tokens": tokens,
        "planted": len(planted),
        "harmless": len(entries) - len(planted),
        "caught": caught,
        "false_alarms": {
            "error model": sum(e["caught"] for e in entries if e["harmless"]),
            **{name: sum(e["others"][name] for e in entries if e["harmless"]) for name in MODELS},
        },
        "survivors": {e["name"]: e["survives"] or e["harmless"] for e in entries if not e["caught"]},
        "failed": failed,
        "faults": entries,
        "exposures": found,
        "right_variants": {"tried": len(right_variants(asked)) * exposures, "accused": alarms},
    }


def _run(path: PrecisionPath, bench: Workbench) -> tuple[list[Row], torch.Tensor]:
    layer = bench.workload.layer
    runner = path.prepare(layer)
    rows = Examination(path, runner, bench).run()
    tokens = bench.workload.tokens
    combined = runner.experts(tokens.clone(), runner.route(tokens.clone()) or bench.trace.routing)
    return rows, combined.float()


def _served(
    controls: dict[str, tuple[list[Row], torch.Tensor]], fault: Fault, bench: Callable[[str], Workbench]
) -> torch.Tensor:
    """Return what other projects compare with: a right torch implementation in the dtype that is served."""
    dtype = fault.dtypes[0]
    if fault.regime == "gaussian":
        return controls[dtype][1]
    return _run(loop_path("control", dtype, uniform(dtype)), bench(fault.regime))[1]


def _plant(fault: Fault, shape: LayerShape, bench: Workbench, served: torch.Tensor) -> dict[str, Any]:
    by_dtype: dict[str, dict[str, Any]] = {}
    others = dict.fromkeys(MODELS, False)
    for dtype in fault.dtypes:
        rounding = uniform(dtype)
        path = PrecisionPath(
            fault.name, dtype, rounding, lambda layer, r=rounding: fault.make(layer, r), always  # type: ignore[misc]  # a lambda's default is untyped
        )  # fmt: skip
        rows, combined = _run(path, bench)
        bad = [r for r in rows if not r.good]
        peak = max((float(r.metrics.get("z_max", 0.0)) for r in rows), default=0.0)
        rms = max((float(r.metrics.get("z_rms", 0.0)) for r in rows), default=0.0)
        by_dtype[dtype] = {
            "caught": bool(bad),
            "verdict": bad[0].verdict if bad else "",
            "stage": bad[0].stage if bad else "",
            "reason": bad[0].reason if bad else "",
            "z_rms": rms,
            "z_max": peak,
        }
        if dtype == fault.dtypes[0]:
            others = {name: objects(combined, served) for name, objects in MODELS.items()}
    return {
        "name": fault.name,
        "family": fault.family,
        "caught": any(d["caught"] for d in by_dtype.values()),
        "by_dtype": by_dtype,
        "others": others,
        "harmless": fault.harmless,
        "survives": fault.unseen(shape),
    }
