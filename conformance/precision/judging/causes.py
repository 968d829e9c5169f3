"""Roundings that nobody declared, as extra variances: what a degraded path most likely does."""

from __future__ import annotations

import torch

from conformance.precision.formats.floats import FORMATS, rounding_variance
from conformance.precision.judging.variance import squared_product
from conformance.precision.model.reference import Pairs
from conformance.precision.model.weights import LayerWeights

# Mean of 4^floor(log2 v) / v^2 over a binade: how a rounding's variance follows from a square alone.
BINADE_MEAN = 0.54


def linear_causes(
    layer: LayerWeights, name: str, rows: torch.Tensor, result: torch.Tensor, pairs: Pairs
) -> dict[str, torch.Tensor]:
    """Return extra variances of the `gate_up` or `down` result under each known undeclared rounding."""
    terms = squared_product(layer, name, rows.to(torch.float32).square(), pairs)
    value = result.to(terms.dtype)
    product = value - layer.bias(name)[pairs.expert].to(terms.dtype)
    width = rows.shape[1]

    def partial_sums(dtype: str, every: int) -> torch.Tensor:
        steps = width / every
        return FORMATS[dtype].unit ** 2 / 3 * BINADE_MEAN * (steps / 2 * terms + steps / 3 * product.square())

    def inputs(unit: float, operands: int) -> torch.Tensor:
        return terms * (unit**2 / 3 * BINADE_MEAN * operands)

    return {
        "TF32: both factors rounded to 11 bits": inputs(2.0**-11, 2),
        "a float16 accumulator": partial_sums("float16", 16),
        "partial sums stored in float16 (split K)": partial_sums("float16", 128),
        "partial sums stored in bfloat16 (split K)": partial_sums("bfloat16", 128),
        "activations quantised to MXFP8": inputs(2.0**-4, 1),
        "activations quantised to MXFP4": inputs(2.0**-2, 1),
        **storage_causes(value),
    }


def storage_causes(result: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return extra variances of a result that was stored more coarsely than declared."""
    return {
        f"a result stored in {name} on the way": rounding_variance(result, name)
        for name in ("bfloat16", "float16")
    }
