"""A run over attention: every path on every kind of input, or every planted fault."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from conformance.errors import UsageError
from conformance.precision.attention.certify import certify
from conformance.precision.attention.faults import attention_faults
from conformance.precision.attention.paths import EAGER_STEPS, AttentionPath, Run, attention_paths
from conformance.precision.attention.reference import (
    PRESETS,
    Attention,
    AttentionShape,
    AttentionWeights,
    synthetic_attention,
)
from conformance.precision.attention.variance import AttentionRounding, spreads
from conformance.precision.config import Progress
from conformance.precision.formats.floats import FLOAT16, torch_dtype
from conformance.precision.judging.judge import judge
from conformance.precision.model.flags import environment, exact_float32, pick_device
from conformance.precision.model.poison import poisoned, synchronise
from conformance.precision.model.synthetic import generator
from conformance.precision.report import PrecisionReport, Row
from conformance.precision.verdicts import Verdict

STAGES = ("norm", "query", "key", "value", "context", "out")
FUSED_STAGES = ("out",)


@dataclass
class Input:
    """Rows (T, H) of bfloat16 numbers and their positions (T,), with the reference's stages and their variances."""

    regime: str
    weights: AttentionWeights
    x: torch.Tensor
    positions: torch.Tensor
    truth: dict[str, torch.Tensor]
    spread: dict[AttentionRounding, dict[str, torch.Tensor]] = field(default_factory=dict)

    def spreads(self, rounding: AttentionRounding) -> dict[str, torch.Tensor]:
        """Return the variances under a declaration, kept."""
        if rounding not in self.spread:
            self.spread[rounding] = spreads(
                self.weights, self.x.double(), self.positions, self.truth, rounding
            )
        return self.spread[rounding]


def _rows(shape: AttentionShape, count: int, seed: int, device: torch.device, spread: float) -> torch.Tensor:
    draw = generator(seed, device)
    values = torch.randn(count, shape.hidden, generator=draw, device=device) * spread
    return values.to(torch.bfloat16).to(torch.float16).float()  # numbers that both formats hold


# name: (spread of the rows, distance of the positions, sees everything, factor on the sinks)
REGIMES: dict[str, tuple[float, int, bool, float]] = {
    "sliding": (1.0, 1, False, 1.0),
    "full": (1.0, 1, True, 1.0),
    "far-positions": (1.0, 37, True, 1.0),
    "strong-sinks": (1.0, 1, False, 4.0),
    "small-rows": (2.0**-9, 1, False, 1.0),
    "large-rows": (1024.0, 1, True, 1.0),
}


def inputs(shape: AttentionShape, count: int, seed: int, device: torch.device) -> list[Input]:
    """Return every kind of input with its reference in float64."""
    found = []
    for number, (name, (spread, step, everything, sinks)) in enumerate(REGIMES.items()):
        weights = synthetic_attention(replace(shape, window=None) if everything else shape, seed, device)
        weights = replace(weights, sinks=(weights.sinks * sinks).to(torch.bfloat16).float())
        x = _rows(shape, count, seed * 100 + number, device, spread)
        positions = torch.arange(count, device=device) * step
        found.append(Input(name, weights, x, positions, Attention(weights).stages(x.double(), positions)))
    return found


def examine(path: AttentionPath, given: Input, shown: tuple[str, ...] = STAGES) -> list[Row]:
    """Return one row for each stage that a path shows, chained: the first that is wrong is where to look."""
    try:
        run: Run = path.prepare(given.weights)
        with poisoned():
            found = run(given.x.to(torch_dtype(path.dtype)), given.positions)
            synchronise(given.x.device)
    except Exception as error:  # other people's code: whatever it raises is its verdict
        reason = f"the path raised {type(error).__name__}: {error}"
        return [Row(path.name, path.dtype, "all", given.regime, "chained", str(Verdict.FAIL), False, reason)]
    spread = given.spreads(path.rounding)
    rows, broken = [], ""
    for stage in (s for s in shown if s in found):
        truth = given.truth[stage]
        actual = (
            found[stage].reshape(truth.shape[0], -1)
            if found[stage].numel() == truth.numel()
            else found[stage]
        )
        judged = judge(actual, truth.flatten(1), spread[stage].flatten(1), path.dtype)
        too_large = float(truth.abs().amax()) >= 0.99 * FLOAT16.overflows_from and path.dtype == "float16"
        verdict = f"{judged.verdict}@{stage}" if judged.verdict is Verdict.OVERFLOW else str(judged.verdict)
        reason = f"follows from {broken}: {judged.reason}" if broken and judged.reason else judged.reason
        rows.append(
            Row(path.name, path.dtype, stage, given.regime, "chained", verdict, judged.verdict.good or too_large,
                reason, dict(judged.metrics))
        )  # fmt: skip
        broken = broken or ("" if judged.verdict.good else stage)
    return rows


def _faulty(name: str, kind: Any, dtype: str) -> AttentionPath:
    rounding = AttentionRounding(dtype, dtype, EAGER_STEPS)
    return AttentionPath(
        name, dtype, rounding, lambda w: kind(w, torch_dtype(dtype)).stages, lambda device: None
    )


def plant(given: list[Input], progress: Progress) -> dict[str, Any]:
    """Return which planted faults are caught, in bfloat16 and float16, showing every stage or the result alone."""
    faults = attention_faults()
    found: dict[str, Any] = {"planted": len(faults)}
    for dtype in ("bfloat16", "float16"):
        for exposure, shown in (("staged", STAGES), ("fused", FUSED_STAGES)):
            by: dict[str, str] = {}
            for number, (name, kind) in enumerate(faults.items()):
                progress(f"{exposure} {dtype}: {name}", number, len(faults))
                path = _faulty(name, kind, dtype)
                bad = (r for i in given for r in examine(path, i, shown) if not r.good and not r.expected)
                row = next(bad, None)
                if row:
                    by[name] = f"{row.regime} {row.stage}"
            survivors = [n for n in faults if n not in by]
            found[f"{exposure} {dtype}"] = {"caught": len(by), "by": by, "survivors": survivors}
    return found


def run_attention(
    preset: str | None,
    device: str | None,
    seed: int,
    seeds: int,
    tokens: int | None,
    selftest: bool,
    progress: Progress,
) -> PrecisionReport:
    """Return the report of all attention paths, or of the planted faults.

    Raises UsageError for a preset that does not exist, UnjudgedError when the float32 reference is not exact.
    """
    place = torch.device(device) if device else pick_device()
    name = preset or ("gpt-oss" if place.type == "cuda" else "tiny")
    if name not in PRESETS:
        raise UsageError(f"--preset {name!r} is not known: choose one of {', '.join(PRESETS)}")
    shape, started = PRESETS[name], time.perf_counter()
    count = tokens or 3 * (shape.window or 16)
    report = PrecisionReport(environment(place), {
        "preset": name, "weights": "synthetic", "seed": seed, "seeds": seeds, "tokens": count, "part": "attention",
    })  # fmt: skip
    certifying = 0.0
    counted = {"rows_judged": 0, "rows_unexpected": 0, "rows_not_good": 0}
    with torch.inference_mode(), exact_float32():
        for number in range(seeds):
            given = inputs(shape, count, seed + number, place)
            began = time.perf_counter()
            proofs = {one.regime: certify(one).said() for one in given}
            if number == 0:
                report.reference["certified"] = proofs
            certifying += time.perf_counter() - began
            if selftest:
                report.selftest = plant(given, progress)
                missed = set(report.selftest["staged float16"]["survivors"])
                report.selftest["failed"] = sorted(
                    missed & set(report.selftest["staged bfloat16"]["survivors"])
                )
                break
            for path in attention_paths():
                progress(f"seed {seed + number}: {path.name}", number, seeds)
                _keep(path, given, place, report, counted, number == 0)
    report.run |= counted if not selftest else {}
    elapsed = time.perf_counter() - started
    report.run["elapsed_s"] = elapsed
    report.reference |= {"seconds": certifying, "share_of_run": certifying / elapsed}
    report.complete = True
    return report


def _keep(
    path: AttentionPath,
    given: list[Input],
    place: torch.device,
    report: PrecisionReport,
    counted: dict[str, int],
    first: bool,
) -> None:
    why = path.unsupported(place)
    if why:
        if first:
            report.rows.append(
                Row(path.name, path.dtype, "all", "all", "chained", str(Verdict.UNSUPPORTED), True, why)
            )
        return
    for one in given:
        rows = examine(path, one)
        surprising = [r for r in rows if not r.good and not r.expected]
        counted["rows_judged"] += len(rows)
        counted["rows_unexpected"] += len(surprising)
        counted["rows_not_good"] += sum(not r.good for r in rows)
        report.rows += rows if first else surprising
