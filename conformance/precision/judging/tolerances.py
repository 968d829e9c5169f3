"""Other projects' tolerances, as they are used on such layers: what would they have caught?

Sources: vLLM, tests for OCP-MX models (relative difference of at most 0.3 on 80 % of the elements); triton_kernels,
testing.py, assert_close (largest 2e-2, root mean square 4e-3, both relative to the larger of the element and the
reference's root mean square); llama.cpp, tests/test-backend-ops.cpp, MUL_MAT_ID (NMSE 5e-4); cosine similarity as
commonly asserted. Each returns True when it would object.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Objects = Callable[[torch.Tensor, torch.Tensor], bool]


def vllm(actual: torch.Tensor, truth: torch.Tensor) -> bool:
    """Whether fewer than 80 % of the elements are within 30 % of the reference."""
    close = (actual - truth).abs() <= 0.3 * truth.abs()
    return float(close.float().mean()) < 0.8


def triton_kernels(actual: torch.Tensor, truth: torch.Tensor) -> bool:
    """Whether the largest or the root mean square relative error passes 2e-2 or 4e-3; infinities must match."""
    if not torch.equal(torch.isinf(actual), torch.isinf(truth)):
        return True
    rms = truth.square().mean().sqrt()
    error = (actual - truth).abs() / torch.maximum(rms, truth.abs()).clamp_min(1e-30)
    return not (float(error.amax()) <= 2e-2 and float(error.square().mean().sqrt()) <= 4e-3)


def llama_cpp(actual: torch.Tensor, truth: torch.Tensor) -> bool:
    """Whether the squared error is more than 5e-4 of the squared reference."""
    return not float((actual - truth).square().sum() / truth.square().sum()) <= 5e-4


def cosine(actual: torch.Tensor, truth: torch.Tensor) -> bool:
    """Whether the cosine similarity of the flattened tensors is 0.99 or less."""
    return not float(torch.nn.functional.cosine_similarity(actual.flatten(), truth.flatten(), dim=0)) > 0.99


MODELS: dict[str, Objects] = {
    "vLLM": vllm,
    "triton_kernels": triton_kernels,
    "llama.cpp": llama_cpp,
    "cosine": cosine,
}
