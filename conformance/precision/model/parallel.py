"""How a layer is cut among cards: slices of the activation (tensor parallel) or ranges of experts (expert parallel)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch

from conformance.precision.model.reference import Pairs
from conformance.precision.model.rounding import Rounding
from conformance.precision.model.weights import LayerWeights


def slices(width: int, count: int) -> list[tuple[int, int]]:
    """Return `count` near-equal ranges of a width, in multiples of 32 where it is one."""
    unit = 32 if width % 32 == 0 and width // 32 >= count else 1
    edges = [width // unit * i // count * unit for i in range(count)] + [width]
    return list(pairwise(edges))


def card_parts(
    layer: LayerWeights, hidden: torch.Tensor, down: torch.Tensor, pairs: Pairs, rounding: Rounding
) -> Iterator[torch.Tensor]:
    """Yield each card's part of the down result (P, H): they add up to `down`; the first card adds the bias."""
    if rounding.expert_parallel > 1:
        owner = pairs.expert * rounding.expert_parallel // layer.shape.experts
        for card in range(rounding.expert_parallel):
            yield torch.where((owner == card).unsqueeze(1), down, 0)
        return
    for card, (low, high) in enumerate(slices(hidden.shape[1], rounding.tensor_parallel)):
        part = torch.empty_like(down)
        for expert, start, stop in pairs.ranges:
            weight = layer.matrix("down", expert, down.dtype)
            part[start:stop] = hidden[start:stop, low:high].to(down.dtype) @ weight[:, low:high].T
        yield part + layer.down_bias[pairs.expert].to(down.dtype) if card == 0 else part
