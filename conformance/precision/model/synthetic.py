"""Synthetic MXFP4 layers, shaped on published magnitudes; always labelled synthetic."""

from __future__ import annotations

import torch

from conformance.precision.formats.mx import BLOCK
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights, MxTensor

# Share of each E2M1 magnitude when Gaussian numbers are quantised in blocks of 32 (measured with `mx.quantise` on a
# million numbers, rounded to 1/128): 0, .5, 1, 1.5, 2, 3, 4, 6.
_MAGNITUDE_COUNTS = (14, 25, 22, 18, 23, 14, 9, 3)


def generator(seed: int, device: torch.device) -> torch.Generator:
    """Return a seeded generator on a device; the same seed gives the same numbers on the same kind of device."""
    return torch.Generator(device=device).manual_seed(seed)


def synthetic_layer(shape: LayerShape, seed: int, device: torch.device) -> LayerWeights:
    """Return a layer whose pre-activations have a spread of 2 to 3, so that the clamp at 7 is reached.

    Every bias, router weight and norm weight is a bfloat16 number, as in the published checkpoints. One row in 512
    of each matrix is an outlier with scales 4 times larger.
    """
    draw = generator(seed, device)
    gate_up = _matrix(shape.experts, 2 * shape.intermediate, shape.hidden, draw, device)
    down = _matrix(shape.experts, shape.hidden, shape.intermediate, draw, device)

    def normal(*size: int, spread: float) -> torch.Tensor:
        values = torch.randn(*size, generator=draw, device=device) * spread
        return values.to(torch.bfloat16).to(torch.float32)

    return LayerWeights(
        shape=shape,
        gate_up=gate_up,
        gate_up_bias=normal(shape.experts, 2 * shape.intermediate, spread=0.5),
        down=down,
        down_bias=normal(shape.experts, shape.hidden, spread=0.5),
        router=normal(shape.experts, shape.hidden, spread=1.5 / shape.hidden**0.5),
        router_bias=normal(shape.experts, spread=0.25),
        norm=(1 + normal(shape.hidden, spread=0.1)).to(torch.bfloat16).to(torch.float32),
    )


def _matrix(experts: int, rows: int, width: int, draw: torch.Generator, device: torch.device) -> MxTensor:
    table = torch.repeat_interleave(
        torch.arange(8, dtype=torch.uint8, device=device), torch.tensor(_MAGNITUDE_COUNTS, device=device)
    )
    codes = torch.cat((table, table + 8))  # 256 entries: one random byte gives one signed code
    blocks = torch.empty(experts, rows, width // BLOCK, BLOCK // 2, dtype=torch.uint8, device=device)
    for expert in range(experts):  # one at a time: the int32 index is eight times the packed bytes
        low, high = (
            codes[torch.randint(0, 256, blocks.shape[1:], generator=draw, device=device, dtype=torch.int32)]
            for _ in range(2)
        )
        blocks[expert] = low | (high << 4)
    # The codes have a spread of 2: scales around 2^-(1 + log2(width)/2) give sums with a spread of 2 to 3.
    middle = 127 - round(torch.log2(torch.tensor(float(width))).item() / 2)
    scales = torch.randint(
        middle - 1,
        middle + 2,
        (experts, rows, width // BLOCK),
        generator=draw,
        device=device,
        dtype=torch.int32,
    )
    scales[:, torch.randint(0, rows, (max(1, rows // 512),), generator=draw, device=device)] += 2
    return MxTensor(blocks, scales.to(torch.uint8))
