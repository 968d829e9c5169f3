"""How far an attention path's declared rounding can move each number: variances per element, stage by stage.

Errors of a query reach all its scores at once, so that they are carried through the softmax as one; errors of keys,
probabilities and values are independent from key to key.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from conformance.precision.attention.reference import Attention, AttentionWeights
from conformance.precision.formats.floats import FORMATS, rounding_variance

UNIT = FORMATS["float32"].unit


@dataclass(frozen=True)
class AttentionRounding:
    """Where a path rounds: `dtype` everything is stored in; `scores` the dtype of scores and probabilities.

    `steps` says how many roundings scores go through: product, scale, mask and shift for eager code, none for fused.
    """

    dtype: str
    scores: str
    steps: int


def _linear(
    x: torch.Tensor,
    x_variance: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    result: torch.Tensor,
    of: str,
) -> torch.Tensor:
    squares = x_variance + x.square() * (UNIT**2 * x.shape[1] / 3)
    product = result - bias
    variance = squares @ weight.double().square().T + product.square() * (UNIT**2 * x.shape[1] / 9)
    return variance + rounding_variance(result, of) + rounding_variance(product, "float32")


def _rotated(
    x: torch.Tensor,
    variance: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    angle: torch.Tensor,
    of: str,
) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    va, vb = variance.chunk(2, -1)
    c, s = cos.unsqueeze(1), sin.unsqueeze(1)
    # float32 angles, and the tables' own rounding: one error of a table moves both halves.
    phase = (angle.unsqueeze(1) * UNIT * 2).square()
    table_c, table_s = rounding_variance(cos, of).unsqueeze(1), rounding_variance(sin, of).unsqueeze(1)
    table_c, table_s = table_c + phase * s.square(), table_s + phase * c.square()

    def half(p: torch.Tensor, vp: torch.Tensor, q: torch.Tensor, vq: torch.Tensor, sign: int) -> torch.Tensor:
        value = p * c + sign * q * s
        return (
            vp * c.square() + vq * s.square() + p.square() * table_c + q.square() * table_s
            + rounding_variance(p * c, of) + rounding_variance(q * s, of) + rounding_variance(value, of)
        )  # fmt: skip

    return torch.cat((half(a, va, b, vb, -1), half(b, vb, a, va, 1)), -1)


def spreads(
    weights: AttentionWeights,
    x: torch.Tensor,
    positions: torch.Tensor,
    truth: dict[str, torch.Tensor],
    rounding: AttentionRounding,
) -> dict[str, torch.Tensor]:
    """Return the variance of every stage (shapes as `Attention.stages`), float64."""
    exact, of, t = Attention(weights), rounding.dtype, x.shape[0]
    s = weights.shape
    norm = rounding_variance(truth["norm"], of) + (truth["norm"] * 4 * UNIT).square()
    cos, sin = exact.tables(positions)
    inverse, _ = exact.frequencies(x.device)
    angle = positions.double().unsqueeze(1) * inverse
    found = {"norm": norm}
    rotated = {}
    for name, heads in (("q", s.heads), ("k", s.kv_heads), ("v", s.kv_heads)):
        raw = exact.project(truth["norm"], name)
        variance = _linear(
            truth["norm"], norm, getattr(weights, name), getattr(weights, f"{name}_bias").double(), raw, of
        )
        shaped = variance.view(t, heads, s.head_dim)
        rotated[name] = (
            shaped if name == "v" else _rotated(raw.view(t, heads, s.head_dim), shaped, cos, sin, angle, of)
        )
    found |= {"query": rotated["q"], "key": rotated["k"], "value": rotated["v"]}
    found["context"] = _context(exact, truth, rotated, rounding)
    found["out"] = _linear(
        truth["context"].reshape(t, -1),
        found["context"].reshape(t, -1),
        weights.o,
        weights.o_bias.double(),
        truth["out"],
        of,
    )
    return found


def _context(
    exact: Attention,
    truth: dict[str, torch.Tensor],
    spread: dict[str, torch.Tensor],
    rounding: AttentionRounding,
) -> torch.Tensor:
    q, keys, values = truth["query"], exact.grouped(truth["key"]), exact.grouped(truth["value"])
    context, scale = truth["context"], exact.scale()
    scores = torch.einsum("thd,jhd->htj", q, keys) * scale
    seen = exact.visible(q.shape[0], q.device)
    p = exact.probabilities(scores.masked_fill(~seen, -torch.inf))
    # Of one score's error: from its key, and from what it is rounded to on its way; the query's is common to a row.
    of_score = torch.einsum("thd,jhd->htj", q.square(), exact.grouped(spread["k"])) * scale**2
    of_score = of_score + (UNIT * scores).square() * q.shape[-1]
    of_score = of_score + rounding.steps * rounding_variance(scores.contiguous(), rounding.scores)
    squares = p.square()
    apart = values.square()
    variance = torch.einsum("htj,jhd->thd", squares * of_score, apart)
    variance = variance - 2 * torch.einsum("htj,jhd->thd", squares * of_score, values) * context
    variance = variance + torch.einsum("htj->th", squares * of_score).unsqueeze(-1) * context.square()
    for i in range(q.shape[-1]):  # one channel of the query at a time: its error moves every score of the row
        lever = torch.einsum("htj,jh,jhd->thd", p, keys[..., i], values)
        lever = lever - torch.einsum("htj,jh->th", p, keys[..., i]).unsqueeze(-1) * context
        variance = variance + spread["q"][..., i : i + 1] * (scale * lever).square()
    # The sink's share, whose own rounding scales the whole row.
    share = 1 - torch.einsum("htj->th", p)
    of_sink = rounding.steps * rounding_variance(exact.sinks(), rounding.scores)
    variance = variance + (share.square() * of_sink).unsqueeze(-1) * context.square()
    variance = variance + torch.einsum("htj,jhd->thd", squares, exact.grouped(spread["v"]))
    of_p = rounding_variance(p.contiguous(), rounding.scores) + (p * 4 * UNIT).square()
    variance = variance + torch.einsum("htj,jhd->thd", torch.where(seen, of_p, 0), apart)
    return variance.clamp_min(0) + rounding_variance(context, rounding.dtype)
