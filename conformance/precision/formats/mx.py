"""MXFP4: 32 E2M1 codes share one E8M0 scale byte; exact dequantising and the OCP quantiser.

Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5 and 6.
"""

from __future__ import annotations

from functools import cache

import torch

BLOCK = 32  # elements that share one E8M0 scale
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


# Two neighbouring numbers seen as one: what a byte of two codes stands for is fetched in one piece.
_PAIR_VIEW = {
    torch.float16: torch.int32,
    torch.bfloat16: torch.int32,
    torch.float32: torch.int64,
    torch.float64: torch.complex128,
}


@cache
def _pairs(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return what each of 256 bytes of codes means under each of 256 scale bytes: (65536,), at 256 scale + byte.

    Computed on the CPU, because some devices flush float32's subnormals; kept on the device, because a copy from the
    host would break a captured graph.
    """
    every = torch.arange(256, dtype=torch.uint8)
    codes = torch.tensor(E2M1, dtype=torch.float64)[unpack(every.unsqueeze(1)).int()]
    values = scale_values(every)[:, None, None] * codes
    if dtype == torch.float16:
        # A product needs 2 bits of mantissa, so float32 in between cannot round a second time.
        values = values.to(torch.float32)
    return values.to(dtype).view(_PAIR_VIEW[dtype]).flatten().to(device)


def dequantise(blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the numbers of MXFP4 blocks, rounded once to `dtype`.

    blocks (..., n, 16) uint8 and scales (..., n) uint8 give (..., 32 n). bfloat16 and float32 hold every product for
    scale bytes 0..252, float16 for 104..140; beyond, the one rounding gives a subnormal, zero or an infinity. Byte
    255 is NaN whatever the codes (OCP MX 1.0, section 5.4.1).
    """
    entry = (scales.int() << 8).unsqueeze(-1) + blocks
    found = _pairs(blocks.device, dtype).index_select(0, entry.flatten()).view(dtype)
    return found.unflatten(0, (*scales.shape[:-1], scales.shape[-1] * BLOCK))


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
