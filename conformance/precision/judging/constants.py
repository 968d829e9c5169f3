"""The constants of the layer, and the other computations, that a result is asked about: each with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from conformance.precision.formats.floats import FORMATS, binade, torch_dtype
from conformance.precision.formats.quantised import quantise
from conformance.precision.model import reference
from conformance.precision.model.reference import Trace
from conformance.precision.model.regimes import Workload
from conformance.precision.model.rounding import Rounding


@dataclass(frozen=True)
class Suspect:
    """A constant, or another computation, that a path may hold instead of the layer's.

    `gradient` returns d(result)/d(constant) (T, H); `right` is the layer's value, None for a direction, whose
    coefficient is a share of the way to the other computation.
    """

    name: str
    right: Callable[[Workload], float] | None
    gradient: Callable[[Workload, Trace, Rounding], torch.Tensor | None]


def _through_down(work: Workload, trace: Trace, hidden: torch.Tensor) -> torch.Tensor:
    """Return what a change (P, I) of the activation does to the weighted sum (T, H), to first order."""
    out = torch.empty(hidden.shape[0], work.layer.shape.hidden, dtype=hidden.dtype, device=hidden.device)
    for expert, start, stop in trace.pairs.ranges:
        out[start:stop] = hidden[start:stop] @ work.layer.matrix("down", expert, hidden.dtype).T
    return reference.combine(out, trace.routing.weights, trace.pairs)


def _parts(work: Workload, trace: Trace) -> tuple[torch.Tensor, ...]:
    s = work.layer.shape
    gate, up = trace.gate_up[..., ::2], trace.gate_up[..., 1::2]
    low, held = gate.clamp(max=s.limit), up.clamp(-s.limit, s.limit)
    sigmoid = torch.sigmoid(s.alpha * low)
    return gate, up, low, held, sigmoid


def _alpha(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    _, _, low, held, sigmoid = _parts(work, trace)
    return _through_down(work, trace, (held + 1) * low.square() * sigmoid * (1 - sigmoid))


def _gate_limit(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    gate, _, low, held, sigmoid = _parts(work, trace)
    slope = sigmoid * (1 + work.layer.shape.alpha * low * (1 - sigmoid))
    return _through_down(work, trace, torch.where(gate > work.layer.shape.limit, (held + 1) * slope, 0))


def _up_limit(sign: int) -> Callable[[Workload, Trace, Rounding], torch.Tensor]:
    def gradient(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
        _, up, low, _, sigmoid = _parts(work, trace)
        beyond = sign * up > work.layer.shape.limit
        return _through_down(work, trace, torch.where(beyond, sign * low * sigmoid, 0))

    return gradient


def _gate_lower(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    """The gate clamped below too, at minus the limit."""
    gate, _, _, held, _ = _parts(work, trace)
    s = work.layer.shape
    clamped = gate.clamp(-s.limit, s.limit)
    other = (held + 1) * clamped * torch.sigmoid(s.alpha * clamped)
    return _through_down(work, trace, other - trace.hidden)


def _plus_one(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    _, _, low, _, sigmoid = _parts(work, trace)
    return _through_down(work, trace, low * sigmoid)


def _down_bias(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    bias = work.layer.down_bias[trace.pairs.expert].to(trace.down.dtype)
    return reference.combine(bias, trace.routing.weights, trace.pairs)


def _through_swiglu(work: Workload, trace: Trace, gate_up: torch.Tensor) -> torch.Tensor:
    _, up, low, held, sigmoid = _parts(work, trace)
    s = work.layer.shape
    slope = sigmoid * (1 + s.alpha * low * (1 - sigmoid)) * (trace.gate_up[..., ::2] <= s.limit)
    change = (held + 1) * slope * gate_up[..., ::2]
    change = change + low * sigmoid * (up.abs() <= s.limit) * gate_up[..., 1::2]
    return _through_down(work, trace, change)


def _gate_up_bias(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    return _through_swiglu(work, trace, work.layer.gate_up_bias[trace.pairs.expert].to(trace.gate_up.dtype))


def _routing_scale(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    return trace.combined


def _toward_zero(values: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return the mean effect of truncating values to a dtype instead of rounding: half a unit toward zero."""
    return -torch.sign(values) * binade(values) * FORMATS[dtype].unit


def _truncated_result(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    return _toward_zero(trace.combined, r.output) if r.output != "float32" else None


def _truncated_hidden(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    return _through_down(work, trace, _toward_zero(trace.hidden, r.hidden)) if r.hidden != "float32" else None


def _truncated_gate_up(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    if r.gate_up == "float32":
        return None
    return _through_swiglu(work, trace, _toward_zero(trace.gate_up, r.gate_up))


def _weights_in(dtype: torch.dtype) -> Callable[[Workload, Trace, Rounding], torch.Tensor | None]:
    def gradient(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
        if r.routing_weight != "float32" or r.weighted != "float32":
            return None
        weights = trace.routing.weights
        return reference.combine(trace.down, weights.to(dtype).to(weights.dtype) - weights, trace.pairs)

    return gradient


def _constant(value: float) -> Callable[[Workload], float]:
    return lambda work: value


SUSPECTS = (
    Suspect("alpha", lambda work: work.layer.shape.alpha, _alpha),
    Suspect("the gate's clamp limit", lambda work: work.layer.shape.limit, _gate_limit),
    Suspect("the up clamp's upper limit", lambda work: work.layer.shape.limit, _up_limit(1)),
    Suspect("the up clamp's lower limit, negated,", lambda work: work.layer.shape.limit, _up_limit(-1)),
    Suspect("the share of a second clamp of the gate, from below,", None, _gate_lower),
    Suspect("the 1 added to up", _constant(1.0), _plus_one),
    Suspect("the factor on the down bias", _constant(1.0), _down_bias),
    Suspect("the factor on the gate_up bias", _constant(1.0), _gate_up_bias),
    Suspect("the factor on the result (routing weights)", _constant(1.0), _routing_scale),
    Suspect("the share of truncation in the result", None, _truncated_result),
    Suspect("the share of truncation in the activation", None, _truncated_hidden),
    Suspect("the share of truncation in gate_up", None, _truncated_gate_up),
    Suspect("the share of bfloat16 in the routing weights", None, _weights_in(torch.bfloat16)),
    Suspect("the share of float16 in the routing weights", None, _weights_in(torch.float16)),
)


# A share below this is no other computation: roundings of numbers that lie on a grid are not quite unbiased.
LEAST = {suspect.name: 0.3 for suspect in SUSPECTS if suspect.right is None}


def gradients(work: Workload, trace: Trace, rounding: Rounding) -> dict[str, torch.Tensor]:
    """Return the gradient (T, H) of every suspect that the declaration leaves open."""
    found = {}
    for suspect in SUSPECTS:
        gradient = suspect.gradient(work, trace, rounding)
        if gradient is not None:
            found[suspect.name] = gradient
    return found


def quantisation(work: Workload, trace: Trace, rounding: Rounding) -> torch.Tensor | None:
    """Return what the declared quantised operands do to the result (T, H), None where none are declared.

    Saturation makes it no pure noise: it is taken out of the error before a constant is looked for.
    """
    if not (rounding.activation_as or rounding.hidden_as):
        return None
    layer, pairs = work.layer, trace.pairs
    rows = quantise(work.tokens, rounding.activation_as)[pairs.token]
    hidden = reference.swiglu(reference.linear(layer, "gate_up", rows, pairs), layer.shape)
    down = reference.linear(layer, "down", quantise(hidden, rounding.hidden_as), pairs)
    return reference.combine(down, trace.routing.weights, pairs) - trace.combined


def held_weights(work: Workload, trace: Trace, rounding: Rounding) -> torch.Tensor | None:
    """Return what holding the weights in the declared dtype does to the result (T, H), None where it holds them all.

    Equal codes of a block are rounded alike, so that it is no pure noise either.
    """
    layer, pairs = work.layer, trace.pairs
    if all(layer.exact_in(name, rounding.weight) for name in ("gate_up", "down")):
        return None
    dtype = torch_dtype(rounding.weight)

    def linear(name: str, rows: torch.Tensor) -> torch.Tensor:
        out = layer.bias(name)[pairs.expert].to(rows.dtype)
        for expert, start, stop in pairs.ranges:
            out[start:stop] += rows[start:stop] @ layer.matrix(name, expert, dtype).to(rows.dtype).T
        return out

    hidden = reference.swiglu(linear("gate_up", work.tokens[pairs.token]), layer.shape)
    found = reference.combine(linear("down", hidden), trace.routing.weights, pairs) - trace.combined
    return found if bool(torch.isfinite(found).all()) else None
