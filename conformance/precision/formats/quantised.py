"""Quantised number formats of a product's operands: what rows become when a kernel reads them in fewer bits.

Sources: MX, OCP Microscaling Formats 1.0 (blocks of 32, a shared power of two); FP8, OCP 8-bit Floating Point 1.0;
Q8_0 and Q8_K, ggml (blocks of 32 of int8 with a float16 scale, of 256 with a float32 one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from conformance.precision.formats.mx import BLOCK, E2M1, nearest_codes

FLOAT8_E4M3_MAX, FLOAT8_E5M2_MAX, INT8_MAX = 448.0, 57344.0, 127.0
TINY = 1e-38
BLOCK_K = 256
REACH = 6.0  # standard deviations that a number may be off: 2e-9 of them are further


@dataclass(frozen=True)
class Quantised:
    """A quantised format: `quantise` returns rows (..., K) as the format holds them, `unit` its coarsest relative
    half step, `binades` how far its normal numbers reach below the largest (0: one step for all), `what` one phrase
    for people, `scope` the numbers that share a scale: a block, a row or the tensor."""

    name: str
    unit: float
    binades: int
    quantise: Callable[[torch.Tensor], torch.Tensor]
    what: str
    scope: str = "row"
    block: int = BLOCK

    def peaks(self, sizes: torch.Tensor) -> torch.Tensor:
        """Return the largest of the sizes (P, K) that share each one's scale, as a tensor that broadcasts to them."""
        if self.scope == "tensor":
            return sizes.amax()
        if self.scope == "row":
            return sizes.amax(-1, keepdim=True)
        return sizes.unflatten(-1, (-1, self.block)).amax(-1).repeat_interleave(self.block, -1)


def mx_round(values: torch.Tensor, mantissa_bits: int, largest_exponent: int, emin: int) -> torch.Tensor:
    """Return values quantised in blocks of 32 to an MX float with a shared power-of-two scale."""
    grouped = values.float().unflatten(-1, (-1, BLOCK))
    peak = grouped.abs().amax(-1, keepdim=True).clamp_min(2.0**-118)
    scale = torch.exp2(torch.floor(torch.log2(peak)) - largest_exponent)
    scaled = grouped / scale
    if mantissa_bits == 1:
        table = torch.tensor(E2M1, device=values.device)
        return (table[nearest_codes(scaled).int()] * scale).flatten(-2)
    step = torch.exp2(torch.floor(torch.log2(scaled.abs().clamp_min(2.0**emin))) - mantissa_bits)
    largest = FLOAT8_E4M3_MAX if mantissa_bits == 3 else FLOAT8_E5M2_MAX
    return ((torch.round(scaled / step) * step).clamp(-largest, largest) * scale).flatten(-2)


def _float8(dtype: torch.dtype, largest: float, per_row: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    def quantise(values: torch.Tensor) -> torch.Tensor:
        wide = values.float()
        peak = wide.abs().amax(-1, keepdim=True) if per_row else wide.abs().amax()
        scale = (peak / largest).clamp_min(TINY)
        return (wide / scale).clamp(-largest, largest).to(dtype).float() * scale

    return quantise


def _int8(values: torch.Tensor) -> torch.Tensor:
    wide = values.float()
    scale = (wide.abs().amax(-1, keepdim=True) / INT8_MAX).clamp_min(TINY)
    return torch.round(wide / scale) * scale


def _q8_0(values: torch.Tensor) -> torch.Tensor:
    grouped = values.float().unflatten(-1, (-1, BLOCK))
    exact = (grouped.abs().amax(-1, keepdim=True) / INT8_MAX).clamp_min(TINY)
    held = exact.to(torch.float16).float()  # stored so, while the codes are rounded with the exact one
    return (torch.round(grouped / exact) * held).flatten(-2)


def _q8_k(values: torch.Tensor) -> torch.Tensor:
    grouped = values.float().unflatten(-1, (-1, BLOCK_K))
    scale = (grouped.abs().amax(-1, keepdim=True) / INT8_MAX).clamp_min(TINY)
    return (torch.round(grouped / scale) * scale).flatten(-2)


E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
QUANTISED = {
    q.name: q
    for q in (
        Quantised(
            "mxfp8", 2.0**-4, 14, lambda v: mx_round(v, 3, 8, -6), "MXFP8 (E4M3, blocks of 32)", "block"
        ),
        Quantised(
            "mxfp8_e5m2",
            2.0**-3,
            29,
            lambda v: mx_round(v, 2, 15, -14),
            "MXFP8 (E5M2, blocks of 32)",
            "block",
        ),
        Quantised("mxfp4", 2.0**-2, 2, lambda v: mx_round(v, 1, 2, 0), "MXFP4 (blocks of 32)", "block"),
        Quantised("fp8_e4m3", 2.0**-4, 14, _float8(E4M3, FLOAT8_E4M3_MAX, True), "FP8 E4M3, a scale a row"),
        Quantised(
            "fp8_e4m3_tensor",
            2.0**-4,
            14,
            _float8(E4M3, FLOAT8_E4M3_MAX, False),
            "FP8 E4M3, one scale",
            "tensor",
        ),
        Quantised("fp8_e5m2", 2.0**-3, 29, _float8(E5M2, FLOAT8_E5M2_MAX, True), "FP8 E5M2, a scale a row"),
        Quantised("int8", 1 / 127, 0, _int8, "INT8, a scale a row"),
        Quantised("q8_0", 1 / 127, 0, _q8_0, "Q8_0 (int8, blocks of 32)", "block"),
        Quantised("q8_K", 1 / 127, 0, _q8_k, "Q8_K (int8, blocks of 256)", "block", BLOCK_K),
    )
}


def quantise(values: torch.Tensor, name: str) -> torch.Tensor:
    """Return float32 rows (..., K) as a quantised format holds them; an empty name changes nothing."""
    return QUANTISED[name].quantise(values) if name else values


def quantisation_variance(
    values: torch.Tensor, name: str, variance: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the variance (float64) of quantising each number: its own error here, or its step's where that is larger.

    A path's numbers differ a little from these, so that one which lies on a step here is off it there; and scales
    are rounded in more than one way. The step follows the largest number that shares the scale: where `variance` says
    how far each may be off, the step is the one that the largest would have at `REACH` standard deviations.
    """
    q = QUANTISED[name]
    wide = values.double()
    error = (q.quantise(values).double() - wide).square()
    sizes = wide.abs()
    peak = q.peaks(sizes if variance is None else sizes + REACH * variance.double().sqrt())
    if not q.binades:
        step = peak / INT8_MAX
    else:
        least = peak * 2.0**-q.binades  # below it the step stays the same
        step = torch.exp2(torch.floor(torch.log2(torch.maximum(sizes, least).clamp_min(1e-300)))) * 2 * q.unit
    return torch.maximum(error, step.square() / 12)
