"""Faults of weights, biases and their layout: a right computation on wrong numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance.precision.faults.base import weight_fault
from conformance.precision.formats.layouts import from_gguf, separate
from conformance.precision.formats.mx import pack, unpack
from conformance.precision.model.weights import LayerWeights, MxTensor

Change = Callable[[MxTensor], MxTensor]


def _both(change: Change) -> Callable[[LayerWeights], LayerWeights]:
    return lambda layer: layer.mapped("gate_up", change).mapped("down", change)


def _gate_up(change: Change) -> Callable[[LayerWeights], LayerWeights]:
    return lambda layer: layer.mapped("gate_up", change)


def _down(change: Change) -> Callable[[LayerWeights], LayerWeights]:
    return lambda layer: layer.mapped("down", change)


def _codes(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda m: MxTensor(pack(change(unpack(m.blocks))), m.scales)


def _scales(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda m: MxTensor(m.blocks, change(m.scales))


def _edit(change: Callable[[torch.Tensor, torch.Tensor], None]) -> Change:
    def apply(m: MxTensor) -> MxTensor:
        blocks, scales = m.blocks.clone(), m.scales.clone()
        change(blocks, scales)
        return MxTensor(blocks, scales)

    return apply


def _drop_tail(blocks: torch.Tensor, scales: torch.Tensor) -> None:
    blocks[:, :, -1] = 0


def _one_scale(blocks: torch.Tensor, scales: torch.Tensor) -> None:
    scales[:, 3, 1] += 1  # one block of one row of each expert


def _zero_row(blocks: torch.Tensor, scales: torch.Tensor) -> None:
    blocks[:, 2] = 0  # a gate row: even rows are gates


def _shift_rows(blocks: torch.Tensor, scales: torch.Tensor) -> None:
    blocks[:] = blocks.roll(1, 1)
    scales[:] = scales.roll(1, 1)


def _scales_transposed(scales: torch.Tensor) -> torch.Tensor:
    experts, rows, width = scales.shape
    return scales.transpose(1, 2).reshape(experts, rows, width).contiguous()


def _as_gguf(m: MxTensor) -> MxTensor:
    """Read HF bytes as if they were in GGUF's element order."""
    row = torch.cat((m.scales.unsqueeze(-1), m.blocks), -1).flatten(-2)
    return MxTensor(*from_gguf(row))


weight_fault("nibbles-swapped", _both(lambda m: MxTensor((m.blocks << 4) | (m.blocks >> 4), m.scales)))
weight_fault("gguf-element-order", _both(_as_gguf))
weight_fault("k-tail-dropped", _both(_edit(_drop_tail)))
weight_fault("one-block-scale-off-by-one", _gate_up(_edit(_one_scale)))
weight_fault("scale-bias-126", _both(_scales(lambda s: s + 1)))
weight_fault("scale-bias-128-in-down", _down(_scales(lambda s: s - 1)))
weight_fault("scales-transposed", _both(_scales(_scales_transposed)))
weight_fault("scales-of-next-block", _both(_scales(lambda s: s.roll(-1, 2))))
weight_fault("one-gate-row-zero", _gate_up(_edit(_zero_row)))
weight_fault("rows-shifted-by-one", _down(_edit(_shift_rows)))
weight_fault("six-read-as-four", _both(_codes(lambda c: torch.where(c % 8 == 7, c - 1, c))))
weight_fault("half-flushed-to-zero", _both(_codes(lambda c: torch.where(c % 8 == 1, c - 1, c))))
weight_fault("sign-dropped", _down(_codes(lambda c: c % 8)))
weight_fault("experts-shifted-by-one", _both(lambda m: MxTensor(m.blocks.roll(1, 0), m.scales.roll(1, 0))))
weight_fault("down-of-next-expert", _down(lambda m: MxTensor(m.blocks.roll(-1, 0), m.scales.roll(-1, 0))))
weight_fault(
    "negative-zero-read-as-zero",
    _both(_codes(lambda c: torch.where(c == 8, torch.zeros_like(c), c))),
    harmless="-0 and 0 are the same number in every product",
)

_ZERO = torch.zeros_like
weight_fault("down-bias-missing", lambda w: w.changed(down_bias=_ZERO(w.down_bias)), family="bias")
weight_fault("gate-up-bias-missing", lambda w: w.changed(gate_up_bias=_ZERO(w.gate_up_bias)), family="bias")
weight_fault(
    "gate-up-bias-of-next-expert", lambda w: w.changed(gate_up_bias=w.gate_up_bias.roll(1, 0)), family="bias"
)
weight_fault(
    "gate-up-bias-not-interleaved",
    lambda w: w.changed(gate_up_bias=torch.cat(separate(w.gate_up_bias), 1)),
    family="bias",
)
weight_fault("down-bias-twice", lambda w: w.changed(down_bias=2 * w.down_bias), family="bias")
weight_fault("router-bias-missing", lambda w: w.changed(router_bias=_ZERO(w.router_bias)), family="router")
weight_fault("router-rows-shifted", lambda w: w.changed(router=w.router.roll(1, 0)), family="router")
