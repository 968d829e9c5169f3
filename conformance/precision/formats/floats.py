"""Floating-point formats: their unit roundoff, range, and the spread of one rounding."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format; `unit` is half the spacing of [1, 2), `emin` its least normal exponent."""

    name: str
    unit: float
    emin: int
    largest: float
    dtype: torch.dtype

    @property
    def overflows_from(self) -> float:
        """Smallest magnitude that rounds to infinity (round to nearest, ties to even)."""
        return self.largest * (1 + self.unit / (2 - 2 * self.unit))


FLOAT64 = FloatFormat("float64", 2.0**-53, -1022, float(torch.finfo(torch.float64).max), torch.float64)
FLOAT32 = FloatFormat("float32", 2.0**-24, -126, float(torch.finfo(torch.float32).max), torch.float32)
BFLOAT16 = FloatFormat("bfloat16", 2.0**-8, -126, float(torch.finfo(torch.bfloat16).max), torch.bfloat16)
FLOAT16 = FloatFormat("float16", 2.0**-11, -14, 65504.0, torch.float16)
FORMATS = {f.name: f for f in (FLOAT64, FLOAT32, BFLOAT16, FLOAT16)}


def torch_dtype(name: str) -> torch.dtype:
    """Return the torch dtype of a format's name."""
    return FORMATS[name].dtype


def binade(values: torch.Tensor) -> torch.Tensor:
    """Return 2^floor(log2|v|) for each float32 or float64 value (0 for zeros and subnormals)."""
    if values.dtype == torch.float64:
        return (values.view(torch.int64) & 0x7FF0000000000000).view(torch.float64)
    return (values.float().view(torch.int32) & 0x7F800000).view(torch.float32)


def rounding_variance(values: torch.Tensor, name: str) -> torch.Tensor:
    """Return the variance of rounding each value once to a format.

    A rounding error is taken as uniform over one unit in the last place, so its standard deviation is
    u * 2^floor(log2|v|) / sqrt(3). Below the least normal exponent the spacing stays constant.
    """
    fmt = FORMATS[name]
    step = binade(values).clamp_min(2.0 ** max(fmt.emin, -126 if values.dtype != torch.float64 else fmt.emin))
    return (step * (fmt.unit / 3**0.5)) ** 2


def ulp(values: torch.Tensor, name: str) -> torch.Tensor:
    """Return the spacing of a format at each value."""
    fmt = FORMATS[name]
    return binade(values).clamp_min(2.0 ** max(fmt.emin, -126)) * (2 * fmt.unit)
