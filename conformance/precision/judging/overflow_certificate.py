"""The static certificate: from weights alone, can an expert's numbers leave float16's range?

gate_up row i sees the norm's output, whose length before gamma is at most sqrt(H), so by Cauchy-Schwarz
|gate_up_i| <= sqrt(H) * |gamma * W_i| + |b_i|, and some input attains it. The activation lies in [-42, 56] for the
published limits, so |down_i| <= max(56 p + 42 n, 42 p + 56 n) + |b_i| with p and n the sums of the row's positive
and negative weights. Routing weights sum to 1, so the weighted sum obeys the larger of the experts' bounds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from conformance.precision.formats.floats import FLOAT16
from conformance.precision.model.weights import LayerWeights

# Each bound holds for exact arithmetic; stored numbers may exceed it by their rounding.
ROUNDING_MARGIN = 1 + 2.0**-9


@dataclass(frozen=True)
class Bound:
    """The largest bound over an expert's rows, and the row that has it; `safe` is proof, its absence only a flag."""

    expert: int
    stage: str
    row: int
    bound: float
    safe: bool


def hidden_range(alpha: float, limit: float) -> tuple[float, float]:
    """Return the activation's range (least, greatest) for a clamp limit: (-42, 56) for the published ones."""
    gate = torch.linspace(-40.0, limit, 200_001, dtype=torch.float64)
    glu = gate * torch.sigmoid(alpha * gate)
    highest, lowest = float(glu.max()), float(glu.min())
    products = [up * g for up in (1 - limit, 1 + limit) for g in (lowest, highest)]
    return min(products), max(products)


def bounds(layer: LayerWeights) -> list[Bound]:
    """Return each expert's bounds for gate_up and down, in float64."""
    low, high = hidden_range(layer.shape.alpha, layer.shape.limit)
    found = []
    for expert in range(layer.shape.experts):
        gate_up = layer.fresh("gate_up", expert, torch.float64) * layer.norm.double()
        reach = gate_up.norm(dim=1) * layer.shape.hidden**0.5 + layer.gate_up_bias[expert].double().abs()
        down = layer.fresh("down", expert, torch.float64)
        positive, negative = down.clamp_min(0).sum(1), (-down).clamp_min(0).sum(1)
        span = torch.maximum(high * positive - low * negative, high * negative - low * positive)
        span = span + layer.down_bias[expert].double().abs()
        for stage, values in (("gate_up", reach), ("down", span)):
            row = int(values.argmax())
            bound = float(values[row])
            found.append(Bound(expert, stage, row, bound, bound * ROUNDING_MARGIN < FLOAT16.largest))
    return found


def certificate(layer: LayerWeights, index: int) -> dict[str, Any]:
    """Return one layer's certificate as plain data: what is proved, and the rows that may overflow."""
    found = bounds(layer)
    flagged = [b for b in found if not b.safe]
    largest = max(found, key=lambda b: b.bound)
    return {
        "layer": index,
        "origin": layer.origin,
        "statement": "cannot overflow in float16" if not flagged else "may overflow in float16",
        "experts": layer.shape.experts,
        "experts_proved": layer.shape.experts - len({b.expert for b in flagged}),
        "largest": asdict(largest),
        "may": [asdict(b) for b in flagged],
    }
