"""Every planted fault as people meet it: with all its stages shown, and as a fused kernel that shows its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from conformance.precision.config import Progress, silent
from conformance.precision.faults.base import Fault
from conformance.precision.faults.catalogue import all_faults
from conformance.precision.faults.right import right_paths
from conformance.precision.faults.triton_source import SOURCE_FAULTS, SourceFault
from conformance.precision.judging.examine import Examination, Workbench
from conformance.precision.judging.properties import Properties, integers_through, sweep_counts
from conformance.precision.judging.score import score_rows
from conformance.precision.model import regimes
from conformance.precision.model.reference import Routing
from conformance.precision.model.rounding import Rounding, fused, uniform
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PathRunner, PrecisionPath, always
from conformance.precision.paths.registry import select
from conformance.precision.paths.triton_mx import SCALE_BYTES
from conformance.precision.report import Row
from conformance.precision.run.machine import out_of_memory

EXPOSURES = ("staged", "fused")


class FusedRunner(PathRunner):
    """A runner that shows routing, result and residual alone: what most engines' kernels are called through."""

    def __init__(self, inner: PathRunner) -> None:
        self.inner = inner

    def route(self, tokens: torch.Tensor) -> Routing | None:
        """Return the inner runner's routing."""
        return self.inner.route(tokens)

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        """Return the inner runner's result (T, H)."""
        return self.inner.experts(tokens, routing)

    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor | None:
        """Return the inner runner's sum (T, H)."""
        return self.inner.residual(residual, combined)


class Bench:
    """The workloads of a self-test with their references, shared by all that is planted."""

    def __init__(self, layer: LayerWeights, tokens: int, scored: int, swept: int, seed: int) -> None:
        self.layer, self.tokens, self.seed = layer, tokens, seed
        self.scored, self.swept = scored, swept
        self.kept: dict[str, Workbench] = {}

    def of(self, regime: str, tokens: int | None = None) -> Workbench:
        """Return the workbench of a regime, made once."""
        key = f"{regime} {tokens or ''}"
        if key not in self.kept:
            built = regimes.build(regimes.REGIMES[regime], self.layer, tokens or self.tokens, self.seed)
            self.kept[key] = Workbench.of(built)
        return self.kept[key]


def steps(path: PrecisionPath, bench: Bench, first: str = "gaussian") -> Iterator[Row]:
    """Yield the rows of everything that is asked of a path, what shows most faults first."""
    order = dict.fromkeys([first, "gaussian", *regimes.REGIMES])
    for regime in order:
        work = bench.of(regime)
        runner = path.prepare(work.workload.layer)
        yield from Examination(path, runner, work).run()
        if regime == "gaussian":
            yield from Properties(path, runner, work).rows()
            yield from score_rows(path, runner, bench.of("gaussian", bench.scored)).rows
    found = integers_through(path, bench.layer.shape, bench.seed, bench.layer.device)
    if found:
        yield found
    work = bench.of("gaussian", bench.swept + 1)
    runner = path.prepare(work.workload.layer)
    yield Properties(path, runner, work).sweep(sweep_counts(bench.swept))
    yield Properties(path, path.prepare(bench.layer), bench.of("gaussian")).weights_as_views()


def accused(path: PrecisionPath, bench: Bench, first: str = "gaussian") -> Row | None:
    """Return the first row that nobody could expect, or None when the path is clean."""
    return next((r for r in steps(path, bench, first) if not r.good and not r.expected), None)


@dataclass(frozen=True)
class Planted:
    """A fault as a path in one exposure, the regime that shows it first, and why it may not be seen."""

    path: PrecisionPath
    regime: str
    unseen: str = ""


def planted_path(fault: Fault, exposure: str) -> PrecisionPath:
    """Return the path of a fault in an exposure: staged code rounds every operation, fused code as kernels do."""
    dtype = fault.dtypes[0]
    rounding = uniform(dtype) if exposure == "staged" else fused(dtype)
    return _shown(fault.name, exposure, rounding, lambda layer: fault.make(layer, rounding))


def source_path(fault: SourceFault, exposure: str) -> PrecisionPath:
    """Return the path of a fault in the Triton kernels' source, which declare what those kernels do."""
    shown = _shown(fault.name, exposure, fused("bfloat16"), fault.make)
    return replace(shown, scale_bytes=SCALE_BYTES["bfloat16"], packed=True)


def _shown(
    name: str, exposure: str, rounding: Rounding, make: Callable[[LayerWeights], PathRunner]
) -> PrecisionPath:
    def prepare(layer: LayerWeights) -> PathRunner:
        return make(layer) if exposure == "staged" else FusedRunner(make(layer))

    return PrecisionPath(name, rounding.output, rounding, prepare, always)


def planted(bench: Bench, exposure: str) -> list[Planted]:
    """Return every harmful fault that the bench's device can run, in an exposure."""
    shape = bench.layer.shape
    found = [
        Planted(planted_path(f, exposure), f.regime, UNSEEN.get(f.name) or f.unseen(shape))
        for f in all_faults().values()
        if not f.harmless
    ]
    return found + [
        Planted(source_path(f, exposure), f.regime, UNSEEN.get(f.name, ""))
        for f in source_faults(bench)
        if not f.harmless
    ]


def source_faults(bench: Bench) -> list[SourceFault]:
    """Return the faults in Triton source where the kernels run at all."""
    kernels = select(["triton-mxfp4-bfloat16"])[0]
    return [] if kernels.unsupported(bench.layer.device, bench.layer) else list(SOURCE_FAULTS)


def right_variants(bench: Bench) -> list[PrecisionPath]:
    """Return the right variants, those in Triton source among them where they run."""
    return right_paths() + [source_path(f, "staged") for f in source_faults(bench) if f.harmless]


def exposed(bench: Bench, progress: Progress) -> dict[str, Any]:
    """Return which faults are caught in each exposure and by what, and the survivors."""
    return {exposure: caught(planted(bench, exposure), bench, progress, exposure) for exposure in EXPOSURES}


def caught(faults: list[Planted], bench: Bench, progress: Progress, what: str) -> dict[str, Any]:
    """Return which of some faults are caught and by what, and why the survivors are not seen."""
    by: dict[str, str] = {}
    survivors: dict[str, str] = {}
    for number, fault in enumerate(faults):
        progress(f"{what}: {fault.path.name}", number, len(faults))
        if row := _tried(partial(accused, fault.path, bench, fault.regime)):
            by[fault.path.name] = row
        else:
            survivors[fault.path.name] = fault.unseen
    return {"planted": len(faults), "caught": len(by), "by": by, "survivors": survivors}


def _tried(work: Callable[[], Row | None]) -> str:
    try:
        row = work()
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        return f"raised {type(error).__name__}"
    if row is None:
        return ""
    return f"{row.regime} {row.mode} {row.stage} {row.verdict}: {row.reason}"[:200]


def false_alarms(
    bench: Bench, progress: Progress = silent, paths: list[PrecisionPath] | None = None
) -> list[str]:
    """Return the accusations against right variants (all, where none are named): there must be none.

    With all their stages shown: fused, the same numbers would be judged, only fewer of them.
    """
    found = []
    paths = right_variants(bench) if paths is None else paths
    for number, path in enumerate(paths):
        progress(f"right variant {path.name}", number, len(paths))
        if row := accused(path, bench):
            found.append(f"{path.name}: {row.regime} {row.stage} {row.verdict} {row.reason}"[:300])
    return found


UNSEEN = {
    "alpha-in-bfloat16": "code that rounds every operation to bfloat16 holds its constants in it too",
    "alpha-1.7": "rounded to bfloat16 it is the number that 1.702 is rounded to",
    "routing-weights-times-0.999": "code that rounds its weights to bfloat16 moves each by up to 0.2 % anyhow",
    "source-sigmoid-of-bfloat16": "largest where the activation is smallest, which the biases cover in the result",
}
