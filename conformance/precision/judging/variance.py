"""The error model: how far a path's declared rounding can move each number, as a variance per element.

Each declared rounding is an independent uniform error; variances go through the stages to first order. A matrix
product adds one product with the squared weights. Accumulation in a format of unit roundoff u over K terms p adds
u^2 K (sum p^2 + v^2 / 3) / 3: the partial sums of K terms in a row, which every blocked order stays below.
The reference's own float32 error is always included, so the model also holds for paths in float32.
"""

from __future__ import annotations

import torch

from conformance.precision.formats.floats import FORMATS, rounding_variance
from conformance.precision.formats.quantised import REACH, quantisation_variance
from conformance.precision.model.parallel import card_parts, slices
from conformance.precision.model.reference import Pairs, Trace, to_slots
from conformance.precision.model.reference import combine as combine_exactly
from conformance.precision.model.rounding import Rounding
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights

# A number this close to a clamp, in standard deviations, may fall on either side of it.
CLAMP_MARGIN = 8.0
CHORDS = (1.0, 3.0, REACH)  # in standard deviations


def work_dtype(layer: LayerWeights) -> torch.dtype:
    """Return the dtype variances are computed in: float64 only where squares leave float32's range."""
    return torch.float64 if layer.extreme else torch.float32


def activation_loss(layer: LayerWeights, rows: torch.Tensor, rounding: Rounding) -> torch.Tensor | None:
    """Return the squared error of holding rows (P, H) in the activation's dtype, None where it holds them exactly."""
    dtype = work_dtype(layer)  # before squaring: a square leaves float32's range long before the error does
    wide = rows.to(dtype)
    held = rows.to(FORMATS[rounding.activation].dtype).to(dtype)
    return None if torch.equal(held, wide) else (held - wide).square()


def accumulation_factor(width: int, accumulate: str) -> float:
    """Return the factor on (sum p^2 + v^2 / 3) for K terms, the float32 reference's own share included."""
    return (FORMATS[accumulate].unit ** 2 + FORMATS["float32"].unit ** 2) * width / 3


def squared_product(layer: LayerWeights, name: str, squares: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Return squares (P, K) times the squared weights of each pair's expert: (P, rows)."""
    dtype = work_dtype(layer)
    out = torch.empty(squares.shape[0], layer.bias(name).shape[1], dtype=dtype, device=squares.device)
    squares = squares.to(dtype)
    for expert, start, stop in pairs.ranges:
        out[start:stop] = squares[start:stop] @ layer.matrix(name, expert, dtype).square().T
    return out


def weight_error_product(
    layer: LayerWeights, name: str, rows: torch.Tensor, pairs: Pairs, held: str
) -> torch.Tensor:
    """Return the variance that holding the weights in `held` adds: rows^2 times the squared weight errors.

    Equal codes of a block are rounded alike, so that errors may add up: what they come to is known, and at least that.
    """
    dtype = work_dtype(layer)
    target = FORMATS[held].dtype
    out = torch.empty(rows.shape[0], layer.bias(name).shape[1], dtype=dtype, device=rows.device)
    given = rows.to(dtype)
    for expert, start, stop in pairs.ranges:
        exact = layer.matrix(name, expert, dtype)
        error = torch.nan_to_num(exact - layer.matrix(name, expert, target).to(dtype), 0.0, 0.0, 0.0)
        apart = given[start:stop].square() @ error.square().T
        out[start:stop] = torch.maximum(apart, (given[start:stop] @ error.T).square())
    return out


def linear(
    layer: LayerWeights,
    name: str,
    rows: torch.Tensor,
    rows_variance: torch.Tensor | None,
    result: torch.Tensor,
    pairs: Pairs,
    rounding: Rounding,
) -> torch.Tensor:
    """Return the variance of the `gate_up` or `down` result (P, N) of rows (P, K) that carry `rows_variance`."""
    dtype = work_dtype(layer)
    factor = accumulation_factor(rows.shape[1], rounding.accumulate)
    squares = rows.to(dtype).square() * factor
    if rows_variance is not None:
        squares = squares + rows_variance.to(dtype)
    quantised = rounding.activation_as if name == "gate_up" else rounding.hidden_as
    if quantised:
        squares = squares + quantisation_variance(rows, quantised, rows_variance).to(dtype)
    variance = squared_product(layer, name, squares, pairs)
    if rounding.split_k > 1:
        variance += split_variance(layer, name, rows, pairs, rounding)
    bias = layer.bias(name)[pairs.expert].to(dtype)
    value = result.to(dtype)
    product_dtype, stored = (
        (rounding.gate_up_product, rounding.gate_up)
        if name == "gate_up"
        else (rounding.down_product, rounding.down)
    )
    variance += (value - bias).square() * (factor / 3)
    variance += rounding_variance(value - bias if rounding.bias_apart else value, product_dtype)
    if rounding.bias_apart or stored != product_dtype:
        variance += rounding_variance(value, stored)
    held_bias = bias.to(FORMATS[product_dtype].dtype).to(dtype)
    variance += torch.nan_to_num(bias - held_bias, 0.0, 0.0, 0.0).square()
    if rounding.weight != "float32" and not layer.exact_in(name, rounding.weight):
        variance += weight_error_product(layer, name, rows, pairs, rounding.weight)
    return variance


def split_variance(
    layer: LayerWeights, name: str, rows: torch.Tensor, pairs: Pairs, rounding: Rounding
) -> torch.Tensor:
    """Return the variance of storing `split_k` partial products, and their running sum, in the split's dtype."""
    dtype = work_dtype(layer)
    out = torch.zeros(rows.shape[0], layer.bias(name).shape[1], dtype=dtype, device=rows.device)
    given = rows.to(dtype)
    for expert, start, stop in pairs.ranges:
        weight = layer.matrix(name, expert, dtype)
        running: torch.Tensor | None = None
        for low, high in slices(rows.shape[1], rounding.split_k):
            part = given[start:stop, low:high] @ weight[:, low:high].T
            out[start:stop] += rounding_variance(part, rounding.split)
            if running is not None:
                part = part + running
                out[start:stop] += rounding_variance(part, rounding.split)
            running = part
    return out


def collective(layer: LayerWeights, trace: Trace, rounding: Rounding) -> torch.Tensor | float:
    """Return the variance that adding the cards' weighted sums (T, H) brings, 0 where there is one card.

    Tensor parallel cards hold slices of the activation, expert parallel ones ranges of experts.
    """
    cards = max(rounding.tensor_parallel, rounding.expert_parallel)
    if cards == 1:
        return 0.0
    pairs, weights = trace.pairs, trace.routing.weights
    total: torch.Tensor | None = None
    found = torch.zeros_like(trace.combined, dtype=work_dtype(layer))
    for card, down in enumerate(card_parts(layer, trace.hidden, trace.down, pairs, rounding)):
        if rounding.tensor_parallel > 1:  # each card stores its part of every product
            per_pair = (
                rounding_variance(down, rounding.down) * weights[pairs.token, pairs.slot, None].square()
            )
            found += to_slots(per_pair, pairs, weights.shape[1]).sum(1)
        part = combine_exactly(down, weights, pairs)
        found += rounding_variance(part, rounding.output)
        total = part if total is None else total + part
        if card:
            found += rounding_variance(total, rounding.collective)
    return found


def swiglu(
    gate_up: torch.Tensor, gate_up_variance: torch.Tensor | None, shape: LayerShape, rounding: Rounding
) -> torch.Tensor:
    """Return the variance of the activation (P, I) of interleaved gate_up (P, 2 I)."""
    wide = gate_up_variance is not None and gate_up_variance.dtype == torch.float64
    value = gate_up.double() if wide else gate_up
    gate, up = value[..., ::2], value[..., 1::2]
    clamped_gate, clamped_up = gate.clamp(max=shape.limit), up.clamp(-shape.limit, shape.limit)
    sigmoid = torch.sigmoid(shape.alpha * clamped_gate)
    slope = sigmoid * (1 - sigmoid)
    glu, plus = clamped_gate * sigmoid, clamped_up + 1
    hidden = plus * glu
    of = rounding.swiglu
    unit = FORMATS["float32"].unit
    scaled = shape.alpha * clamped_gate
    variance = (plus * clamped_gate).square() * (
        rounding_variance(scaled, of) * slope.square()
        + rounding_variance(sigmoid, of)
        # exp on a device: two units, and the rounding of its argument; a sigmoid by way of tanh is exact to one unit.
        + (2 * unit * sigmoid).square()
        + unit**2 / 3
        + (1.5 * unit * scaled * slope).square()
    )
    variance = (
        variance + rounding_variance(glu, of) * plus.square() + rounding_variance(plus, of) * glu.square()
    )
    variance += rounding_variance(hidden, of)
    if rounding.hidden != of:
        variance += rounding_variance(hidden, rounding.hidden)
    if gate_up_variance is not None:
        gate_variance, up_variance = gate_up_variance[..., ::2], gate_up_variance[..., 1::2]
        free_gate = gate < shape.limit + CLAMP_MARGIN * gate_variance.sqrt()
        free_up = up.abs() < shape.limit + CLAMP_MARGIN * up_variance.sqrt()
        gate_slope = sigmoid + shape.alpha * clamped_gate * slope
        from_gate = torch.where(free_gate, (plus * gate_slope).square() * gate_variance, 0)
        from_up = torch.where(free_up, glu.square() * up_variance, 0)
        if rounding.coarse:  # errors that reach where the activation bends: its chords, not its slope
            for k in CHORDS:
                chord = _chord(gate, up, k * gate_variance.sqrt(), k * up_variance.sqrt(), shape) / k
                from_gate = torch.maximum(from_gate, chord.square())
        variance += from_gate + from_up
    return variance


def _chord(
    gate: torch.Tensor, up: torch.Tensor, gate_step: torch.Tensor, up_step: torch.Tensor, shape: LayerShape
) -> torch.Tensor:
    """Return how far the activation moves, at most, when gate and up move by a step in either direction."""

    def value(g: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        low = g.clamp(max=shape.limit)
        return (u.clamp(-shape.limit, shape.limit) + 1) * low * torch.sigmoid(shape.alpha * low)

    here = value(gate, up)
    moved = [value(gate + a * gate_step, up + b * up_step) - here for a in (-1, 1) for b in (-1, 1)]
    return torch.stack([m.abs() for m in moved]).amax(0)


def combine(
    down: torch.Tensor,
    down_variance: torch.Tensor | None,
    weights: torch.Tensor,
    pairs: Pairs,
    rounding: Rounding,
) -> torch.Tensor:
    """Return the variance of the weighted sum (T, H) of down (P, H), given the path's own routing weights (T, k)."""
    known = torch.float32 if down_variance is None else down_variance.dtype
    dtype = torch.promote_types(known, down.dtype)
    weight = weights[pairs.token, pairs.slot].to(dtype).unsqueeze(1)
    value = down.to(dtype)
    per_pair = rounding_variance(weight * value, rounding.weighted)
    if rounding.down != rounding.weighted:
        per_pair = per_pair + rounding_variance(value, rounding.weighted) * weight.square()
    if down_variance is not None:
        per_pair = per_pair + down_variance * weight.square()
    variance = to_slots(per_pair, pairs, weights.shape[1]).sum(1)
    partial = to_slots(weight * value, pairs, weights.shape[1]).cumsum(1)
    total = partial[:, -1]
    # The first addition is to zero, which is exact.
    for slot in range(1, weights.shape[1]):
        step = rounding.combine if rounding.combine_sequential else "float32"
        variance += rounding_variance(partial[:, slot], step)
        variance += rounding_variance(partial[:, slot], "float32")  # the reference's
    if not rounding.combine_sequential or rounding.output != rounding.combine:
        variance += rounding_variance(total, rounding.output)
    return variance


def residual(
    combined: torch.Tensor, output: torch.Tensor, combined_variance: torch.Tensor | None, rounding: Rounding
) -> torch.Tensor:
    """Return the variance of residual + combined (T, H)."""
    variance = rounding_variance(output, rounding.residual) + rounding_variance(output, "float32")
    if rounding.output != rounding.residual:
        variance = variance + rounding_variance(combined, rounding.residual)
    return variance if combined_variance is None else variance + combined_variance


def logits(
    layer: LayerWeights, tokens: torch.Tensor, result: torch.Tensor, rounding: Rounding
) -> torch.Tensor:
    """Return the variance of the router's logits (T, E)."""
    held = FORMATS[rounding.router_input].dtype
    dtype = work_dtype(layer)
    wide, router = tokens.to(dtype), layer.router.to(dtype)
    squares = wide.square() * accumulation_factor(tokens.shape[1], rounding.accumulate)
    squares = squares + (tokens.to(held).to(dtype) - wide).square()
    # A linear layer may deliver product plus bias in one rounding or in two; both are counted.
    value = result.to(dtype)
    bias = layer.router_bias.to(dtype)
    return (
        squares @ router.square().T
        + wide.square() @ (router - layer.router.to(held).to(dtype)).square().T
        + (value - bias).square() * (accumulation_factor(tokens.shape[1], rounding.accumulate) / 3)
        + rounding_variance(value, rounding.router)
        + (rounding_variance(value - bias, rounding.router) if rounding.bias_apart else 0)
        + (bias - bias.to(held).to(dtype)).square()
    )


def routing_weights(weights: torch.Tensor, chosen_logits: torch.Tensor, rounding: Rounding) -> torch.Tensor:
    """Return the variance of the routing weights (T, k), given the path's own logits."""
    unit = FORMATS["float32"].unit
    spread = chosen_logits.amax(-1, keepdim=True) - chosen_logits
    # exp: two units and the rounding of its argument; then the sum and the quotient.
    function = (weights * unit * (4 + spread)).square()
    return (
        rounding_variance(weights, rounding.routing_weight) + rounding_variance(weights, "float32") + function
    )
