"""MXFP4: 32 E2M1 codes share one E8M0 scale byte; exact dequantising and the OCP quantiser.

Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5 and 6.
"""

from __future__ import annotations

from functools import cache

import torch

from conformance.precision.shape import BLOCK

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
SCALE_BIAS = 127
NAN_SCALE = 255
E2M1_MAX_EXPONENT = 2  # 6.0 = 1.5 * 2^2


def scale_values(scales: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return 2^(byte - 127) for each E8M0 byte, NaN for byte 255, in a float dtype that holds it (>= float32)."""
    bits = scales.to(torch.int64)
    if dtype == torch.float64:
        values = ((bits - SCALE_BIAS + 1023) << 52).view(torch.float64)
        return torch.where(bits == NAN_SCALE, torch.nan, values)
    # Byte 0 is 2^-127, a subnormal of float32: its mantissa's top bit. Bits are set directly because some
    # devices flush subnormals in arithmetic.
    raw = torch.where(bits == 0, torch.full_like(bits, 0x00400000), bits << 23).to(torch.int32)
    values = raw.view(torch.float32)
    return torch.where(bits == NAN_SCALE, torch.nan, values).to(dtype)


def unpack(blocks: torch.Tensor) -> torch.Tensor:
    """Return the E2M1 codes of packed bytes: (..., 16) uint8 -> (..., 32), byte j holding 2j (low nibble), 2j+1."""
    return torch.stack((blocks & 0x0F, blocks >> 4), dim=-1).flatten(-2)


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Return packed bytes of E2M1 codes, the inverse of `unpack`: (..., 32) -> (..., 16) uint8."""
    return (codes[..., ::2] | (codes[..., 1::2] << 4)).to(torch.uint8)


def all_normal(scales: torch.Tensor) -> bool:
    """Whether float32 holds every product of these scale bytes as a normal number: bytes 2 to 252."""
    return bool(((scales >= 2) & (scales <= 252)).all())


@cache
def _table(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    # Kept on the device: a copy from the host would break a captured graph.
    return torch.tensor(E2M1, dtype=dtype, device=device)


def dequantise(
    blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype, normal: bool | None = None
) -> torch.Tensor:
    """Return the numbers of MXFP4 blocks, rounded once to `dtype`.

    blocks (..., n, 16) uint8 and scales (..., n) uint8 give (..., 32 n). bfloat16 and float32 hold every product for
    scale bytes 0..252, float16 for 104..140; beyond, the one rounding gives a subnormal, zero or an infinity. Byte
    255 is NaN whatever the codes (OCP MX 1.0, section 5.4.1). `normal` is `all_normal(scales)` where that is known
    already, so that no device has to be waited for.
    """
    # float32 holds every product of bytes 2..252 as a normal number, so that the only rounding is the one to the
    # target; elsewhere float64 does the product, since some devices flush float32's subnormals.
    narrow = dtype != torch.float64 and (all_normal(scales) if normal is None else normal)
    work = torch.float32 if narrow else torch.float64
    values = _table(blocks.device, work)[unpack(blocks).int()]
    values *= scale_values(scales, work).unsqueeze(-1)
    flat = values.flatten(-2)
    if dtype == torch.float16 and not narrow:
        # A product needs 2 bits of mantissa, so float32 in between cannot round a second time.
        flat = flat.to(torch.float32)
    return flat.to(dtype)


def quantise(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (blocks, scales) of float values by the OCP rule: (..., 32 n) -> (..., n, 16), (..., n) uint8.

    The shared exponent is floor(log2(largest magnitude)) - 2, clamped to bytes 0..254; elements are rounded to the
    nearest E2M1, ties to the even mantissa, and saturate at 6 (OCP MX 1.0, section 6.3). A block that holds a NaN or
    an infinity gets scale 255.
    """
    grouped = values.to(torch.float64).unflatten(-1, (-1, BLOCK))
    peak = grouped.abs().amax(-1)
    finite = torch.isfinite(peak)
    _, exponent = torch.frexp(torch.where(finite & (peak > 0), peak, torch.ones_like(peak)))
    byte = (exponent.to(torch.int64) - 1 - E2M1_MAX_EXPONENT + SCALE_BIAS).clamp(0, 254)
    byte = torch.where(peak == 0, torch.full_like(byte, 0), byte)
    scale = scale_values(byte.to(torch.uint8))
    scaled = torch.where(finite.unsqueeze(-1), grouped, torch.zeros_like(grouped)) / scale.unsqueeze(-1)
    codes = nearest_codes(scaled)
    byte = torch.where(finite, byte, torch.full_like(byte, NAN_SCALE))
    return pack(codes), byte.to(torch.uint8)


def nearest_codes(values: torch.Tensor) -> torch.Tensor:
    """Return the E2M1 code nearest to each value, ties to the even mantissa, saturating at 6."""
    magnitude = values.abs().contiguous()
    # Midpoints between neighbours 0, .5, 1, 1.5, 2, 3, 4, 6. A tie goes to the code with an even last bit:
    # `right` decides whether a value equal to the midpoint goes up.
    midpoints = torch.tensor(
        (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0), dtype=values.dtype, device=values.device
    )
    low = torch.bucketize(magnitude, midpoints, right=False)  # a tie stays below
    high = torch.bucketize(magnitude, midpoints, right=True)  # a tie goes above
    code = torch.where(low % 2 == 0, low, high)
    return (code + 8 * torch.signbit(values)).to(torch.uint8)
