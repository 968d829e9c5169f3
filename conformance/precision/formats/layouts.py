"""The three published layouts of the same MXFP4 numbers, and exact conversion between them.

HF and OpenAI-original tensors hold the same bytes under different names: blocks (E, rows, K/32, 16), scales
(E, rows, K/32), gate and up rows interleaved. GGUF holds 17-byte blocks, scale first, byte j of 16 holding elements
j (low nibble) and j + 16, and gate and up as separate tensors.
"""

from __future__ import annotations

import torch

from conformance.errors import UsageError
from conformance.precision.formats.mx import pack, unpack

GGUF_BLOCK_BYTES = 17


def to_gguf(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return GGUF MXFP4 rows: blocks (..., n, 16), scales (..., n) -> (..., 17 n) uint8."""
    codes = unpack(blocks)
    nibbles = codes[..., :16] | (codes[..., 16:] << 4)
    return torch.cat((scales.unsqueeze(-1), nibbles), dim=-1).flatten(-2)


def from_gguf(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (blocks, scales) of GGUF MXFP4 rows: (..., 17 n) uint8 -> (..., n, 16), (..., n).

    Raises UsageError when a row is not a whole number of 17-byte blocks.
    """
    if rows.shape[-1] % GGUF_BLOCK_BYTES:
        raise UsageError(f"an MXFP4 row of {rows.shape[-1]} bytes is not a whole number of 17-byte blocks")
    grouped = rows.unflatten(-1, (-1, GGUF_BLOCK_BYTES))
    nibbles = grouped[..., 1:]
    codes = torch.cat((nibbles & 0x0F, nibbles >> 4), dim=-1)
    return pack(codes), grouped[..., 0].contiguous()


def interleave(gate: torch.Tensor, up: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Return one tensor whose rows alternate gate, up along `dim` (HF and OpenAI's order)."""
    return torch.stack((gate, up), dim=dim + 1).flatten(dim, dim + 1)


def separate(gate_up: torch.Tensor, dim: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (gate, up) of interleaved rows along `dim` (GGUF's order)."""
    gate, up = gate_up.unflatten(dim, (-1, 2)).unbind(dim + 1)
    return gate.contiguous(), up.contiguous()


def openai_name(hf_name: str) -> str:
    """Return OpenAI's original name of an HF MoE tensor, such as `block.3.mlp.mlp1_weight.blocks`.

    Raises UsageError for a name outside the MoE part of a layer.
    """
    prefix, _, rest = hf_name.partition(".mlp.")
    parts = prefix.split(".")
    if rest in _HF_TO_OPENAI and parts[:2] == ["model", "layers"] and len(parts) == 3:
        return f"block.{parts[2]}.mlp.{_HF_TO_OPENAI[rest]}"
    raise UsageError(f"{hf_name!r} is no MoE tensor of the HF layout, so OpenAI's layout has no name for it")


_HF_TO_OPENAI = {
    "experts.gate_up_proj_blocks": "mlp1_weight.blocks",
    "experts.gate_up_proj_scales": "mlp1_weight.scales",
    "experts.gate_up_proj_bias": "mlp1_bias",
    "experts.down_proj_blocks": "mlp2_weight.blocks",
    "experts.down_proj_scales": "mlp2_weight.scales",
    "experts.down_proj_bias": "mlp2_bias",
    "router.weight": "gate.weight",
    "router.bias": "gate.bias",
}
