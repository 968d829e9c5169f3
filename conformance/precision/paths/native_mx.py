"""Native MX matrix products: what this card and this version of torch can and cannot do."""

from __future__ import annotations

import torch

from conformance.precision.model.rounding import uniform
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath


def _unsupported(device: torch.device, layer: LayerWeights) -> str:
    if device.type != "cuda":
        return "native MX products need a GPU of compute capability 10.0 or later, and there is none here"
    major, minor = torch.cuda.get_device_capability(device)
    if major < 10:
        return (
            f"compute capability {major}.{minor} has no MX matrix unit: native MX products need 10.0 or later; "
            "the Triton path computes the same weights in bfloat16"
        )
    return "not judged: this version has no runner for native MX products, because none could be tried on such a card"


def _prepare(layer: LayerWeights) -> PathRunner:
    raise RuntimeError("the native MX path has no runner")


@PATHS.named("native_mx")
def paths() -> list[PrecisionPath]:
    """Return the native path, which is UNSUPPORTED wherever it cannot be judged."""
    return [PrecisionPath("native-mxfp4", "mxfp4", uniform("bfloat16"), _prepare, _unsupported, trusted=True)]
