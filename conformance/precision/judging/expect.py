"""What the declared formats alone imply: where the reference's own numbers do not fit, an overflow is no surprise."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from conformance.precision.formats.floats import FORMATS
from conformance.precision.model.reference import Trace, to_slots
from conformance.precision.model.regimes import Workload
from conformance.precision.model.weights import MxTensor
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.verdicts import STAGES, Verdict

NEAR = 0.99  # a number within 1 % of the limit may overflow by its rounding error


@dataclass
class Expectation:
    """Stages at which an overflow is implied, and whether the weights themselves do not fit."""

    overflow: set[str] = field(default_factory=set)
    weights: str = ""  # why the path cannot hold them

    def excuses(self, stage: str, verdict: Verdict) -> bool:
        """Whether a verdict at a stage follows from the formats: an overflow may, an error never does."""
        if verdict not in (Verdict.OVERFLOW, Verdict.SATURATED):
            return False
        if self.weights and stage != "router":
            return True
        return any(s in self.overflow for s in STAGES[: STAGES.index(stage) + 1])


def expectation(path: PrecisionPath, work: Workload, trace: Trace) -> Expectation:
    """Return what a path's declaration implies on a workload, from the reference's numbers."""
    r, layer, pairs = path.rounding, work.layer, trace.pairs
    found = Expectation(weights=unheld_weights(path, work))
    weights = trace.routing.weights[pairs.token, pairs.slot, None]
    partial = to_slots(weights * trace.down, pairs, trace.routing.weights.shape[1]).cumsum(1)
    checks = (
        ("gate_up", trace.gate_up - layer.gate_up_bias[pairs.expert], r.gate_up_product),
        ("gate_up", trace.gate_up, r.gate_up),
        ("gate_up", trace.gate_up, r.gate_up_product),
        ("down", trace.down - layer.down_bias[pairs.expert], r.down_product),
        ("down", trace.down, r.down),
        ("down", trace.down, r.down_product),
        ("combine", trace.down, r.weighted),
        ("combine", partial, r.combine),
        ("combine", trace.combined, r.output),
        ("residual", trace.combined, r.residual),
        ("residual", trace.output, r.residual),
    )
    for stage, values, dtype in checks:
        largest = float(torch.where(torch.isfinite(values), values.abs(), 0).amax())
        if largest >= NEAR * FORMATS[dtype].overflows_from:
            found.overflow.add(stage)
    return found


def unheld_weights(path: PrecisionPath, work: Workload) -> str:
    """Return why a path's weights leave the range it holds, or an empty string."""
    for name, matrix in (("gate_up", work.layer.gate_up), ("down", work.layer.down)):
        if isinstance(matrix, MxTensor):
            low, high = matrix.scale_range
            first, last = path.scale_bytes
            if low < first or high > last:
                return f"{name} has scale bytes {low} to {high}, and the path holds {first} to {last}"
        elif not work.layer.exact_in(name, path.rounding.weight):
            return f"{name} holds numbers that {path.rounding.weight} rounds"
    return ""
