"""Small-integer workloads on which every dtype is exact: the check of meaning for kernels without float32."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from conformance.precision.formats.mx import BLOCK, pack
from conformance.precision.model.reference import Pairs, Routing, combine, linear
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import generator
from conformance.precision.model.weights import LayerWeights, MxTensor

PER_TOKEN = 8  # non-zero inputs of a token: 8 * 6 * 2 * 2 + 8 < 256, which 8 bits of mantissa hold


def integer_layer(shape: LayerShape, seed: int, device: torch.device) -> LayerWeights:
    """Return a layer of integer weights (codes 0, 1, 2, 3, 4, 6 at scales 1 and 2) and integer biases."""
    draw = generator(seed, device)

    def matrix(rows: int, width: int) -> MxTensor:
        size = (shape.experts, rows, width // 32, 16)
        choice = torch.tensor(
            (0, 2, 4, 5, 6, 7, 10, 12, 13, 14, 15, 0, 2, 10, 4, 12), dtype=torch.uint8, device=device
        )
        low, high = (
            choice[torch.randint(0, 16, size, generator=draw, device=device, dtype=torch.int32)]
            for _ in range(2)
        )
        scales = torch.randint(127, 129, size[:-1], generator=draw, device=device, dtype=torch.int32)
        return MxTensor(low | (high << 4), scales.to(torch.uint8))

    def whole(*size: int) -> torch.Tensor:
        return torch.randint(-8, 9, size, generator=draw, device=device).float()

    return LayerWeights(
        shape=shape,
        gate_up=matrix(2 * shape.intermediate, shape.hidden),
        gate_up_bias=whole(shape.experts, 2 * shape.intermediate),
        down=matrix(shape.hidden, shape.intermediate),
        down_bias=whole(shape.experts, shape.hidden),
        router=torch.zeros(shape.experts, shape.hidden, device=device),
        router_bias=torch.zeros(shape.experts, device=device),
        norm=torch.ones(shape.hidden, device=device),
        origin="synthetic integers",
    )


def integer_rows(rows: int, width: int, seed: int, device: torch.device) -> torch.Tensor:
    """Return (rows, width) float32 with 8 entries of +-1 or +-2 each, the first and last column always among them."""
    draw = generator(seed, device)
    values = torch.zeros(rows, width, device=device)
    places = torch.randint(0, width, (rows, PER_TOKEN - 2), generator=draw, device=device)
    signs = torch.randint(0, 4, (rows, PER_TOKEN), generator=draw, device=device)
    sizes = torch.tensor((-2.0, -1.0, 1.0, 2.0), device=device)[signs]
    values.scatter_(1, places, sizes[:, 2:])
    values[:, 0], values[:, -1] = sizes[:, 0], sizes[:, 1]
    return values


def spread_routing(tokens: int, shape: LayerShape, device: torch.device) -> Routing:
    """Return a routing that visits every expert in turn, with equal weights."""
    start = torch.arange(tokens, device=device) * shape.top_k
    indices = (start[:, None] + torch.arange(shape.top_k, device=device)) % shape.experts
    weights = torch.full((tokens, shape.top_k), 1 / shape.top_k, device=device)
    return Routing(torch.zeros(tokens, shape.experts, device=device), indices, weights)


@dataclass(frozen=True)
class IntegerWork:
    """Integers through a whole layer: tokens (T, H), a routing of equal weights, and the exact result (T, H)."""

    layer: LayerWeights
    tokens: torch.Tensor
    routing: Routing
    result: torch.Tensor


def fused_integers(shape: LayerShape, seed: int, device: torch.device) -> IntegerWork:
    """Return a workload on which a whole layer is exact in 8 bits of mantissa.

    Every gate is far above the limit, so that the activation is 7 (up + 1) once it is rounded to 16 bits; each row of
    down has one weight of 4 or -4, so that a quarter of it, the routing's weight, is an integer below 64.
    """
    layer = integer_layer(shape, seed, device)
    draw = generator(seed + 3, device)
    bias = layer.gate_up_bias.clone()
    bias[:, ::2] = 1024.0
    size = (shape.experts, shape.hidden, shape.intermediate)
    codes = torch.zeros(size, dtype=torch.uint8, device=device)
    place = torch.randint(0, shape.intermediate, (*size[:2], 1), generator=draw, device=device)
    sign = torch.randint(0, 2, (*size[:2], 1), generator=draw, device=device)
    codes.scatter_(2, place, (6 + 8 * sign).to(torch.uint8))  # code 6 is 4
    scales = torch.full((*size[:2], size[2] // BLOCK), 127, dtype=torch.uint8, device=device)
    down_bias = 4.0 * torch.randint(-8, 9, size[:2], generator=draw, device=device)
    layer = layer.changed(
        gate_up_bias=bias, down=MxTensor(pack(codes.unflatten(2, (-1, BLOCK))), scales), down_bias=down_bias
    )
    count = 64
    tokens = integer_rows(count, shape.hidden, seed + 1, device)
    routing = spread_routing(count, shape, device)
    pairs = Pairs.of(routing.indices, shape.experts)
    up = linear(layer, "gate_up", tokens[pairs.token].double(), pairs)[..., 1::2]
    hidden = shape.limit * (up.clamp(-shape.limit, shape.limit) + 1)
    down = linear(layer, "down", hidden, pairs)
    return IntegerWork(layer, tokens, routing, combine(down, routing.weights.double(), pairs).float())
