"""bitsandbytes' 4-bit formats, NF4 and FP4, dequantised exactly as its file says: code times the block's scale.

A byte holds two elements, the first in its high nibble. Blocks of 64 share a scale; with double quantisation the
scales are bytes too: an entry of a second table times the scale of 256 of them, and an offset. Source: bitsandbytes,
functional.quantize_4bit and QuantState.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from conformance.errors import UsageError

# bitsandbytes' own table: quantiles of a normal distribution, 0 among them.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
BLOCK, SCALES = 64, 256


@dataclass(frozen=True)
class FourBit:
    """One matrix: `packed` uint8 of two codes a byte, `scales` a block (float32, or uint8 when nested), `table` (16,).

    Nested: `nested_table` (256,), `nested_scales` one for each `nested_block` of the scales, and `offset`.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    table: torch.Tensor
    shape: tuple[int, int]
    block: int = BLOCK
    nested_table: torch.Tensor | None = None
    nested_scales: torch.Tensor | None = None
    nested_block: int = SCALES
    offset: float = 0.0

    def block_scales(self) -> torch.Tensor:
        """Return the scale of every block, float32."""
        if self.nested_table is None or self.nested_scales is None:
            return self.scales.float()
        outer = self.nested_scales.float().repeat_interleave(self.nested_block)[: self.scales.numel()]
        return self.nested_table.float()[self.scales.long()] * outer + self.offset

    def numbers(self) -> torch.Tensor:
        """Return the matrix (rows, K) in float32: one rounding, of code times scale."""
        packed = self.packed.flatten()
        codes = torch.stack((packed >> 4, packed & 15), -1).flatten().long()
        scales = self.block_scales().repeat_interleave(self.block)[: codes.numel()]
        return (self.table.float()[codes] * scales)[: self.shape[0] * self.shape[1]].view(self.shape)

    def checked(self, where: str) -> FourBit:
        """Return it when its parts belong together.

        Raises UsageError where they do not.
        """
        count = self.shape[0] * self.shape[1]
        blocks = -(-count // self.block)
        wrong = ""
        if self.packed.dtype != torch.uint8 or self.packed.numel() != -(-count // 2):
            wrong = (
                f"{self.packed.numel()} bytes of {self.packed.dtype} cannot be {self.shape} numbers of 4 bits"
            )
        elif self.scales.numel() != blocks:
            wrong = f"{self.scales.numel()} scales, and {blocks} blocks of {self.block}"
        elif self.table.numel() != 16:
            wrong = f"a table of {self.table.numel()} codes, not 16"
        elif (self.scales.dtype == torch.uint8) != (self.nested_table is not None):
            wrong = "its scales are quantised, and the tables that say how are missing"
        elif self.nested_scales is not None and self.nested_scales.numel() != -(-blocks // self.nested_block):
            wrong = f"{self.nested_scales.numel()} nested scales for {blocks} blocks"
        if wrong:
            raise UsageError(f"{where}: {wrong}: the checkpoint is damaged, fetch it again")
        return self


def quantise(values: torch.Tensor, nested: bool = True) -> FourBit:
    """Return a matrix (rows, K) in NF4: the nearest code of each element, the block's largest as its scale."""
    flat = values.float().flatten()
    blocks = torch.nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1)
    table = torch.tensor(NF4, device=values.device)
    middles = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize(blocks / scales.clamp_min(1e-30).unsqueeze(1), middles).to(torch.uint8)
    codes = codes.flatten()[: flat.numel() + flat.numel() % 2]
    packed = (codes[::2] << 4) | codes[1::2]
    found = FourBit(packed, scales, table, (values.shape[0], values.shape[1]))
    if not nested:
        return found
    offset = scales.mean()
    apart = scales - offset
    grouped = torch.nn.functional.pad(apart, (0, -apart.numel() % SCALES)).view(-1, SCALES)
    outer = grouped.abs().amax(1).clamp_min(1e-30)
    steps = torch.linspace(-1, 1, 255, device=values.device)
    second = torch.cat((steps, steps[-1:]))  # 256 entries
    places = torch.bucketize(grouped / outer.unsqueeze(1), (steps[1:] + steps[:-1]) / 2)
    return replace(
        found,
        scales=places.to(torch.uint8).flatten()[: scales.numel()],
        nested_table=second,
        nested_scales=outer,
        offset=float(offset),
    )
