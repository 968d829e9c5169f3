"""FlashInfer's fused MoE, whose kernels run on cards only: no call of them was run here, and none is guessed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch


def unsupported(device: torch.device, shape: Any) -> str | None:
    """Return why it is not judged: always a reason, with the way to judge it."""
    if device.type != "cuda":
        return "FlashInfer's kernels need a GPU"
    if find_spec("flashinfer") is None:
        return "FlashInfer is not installed: pip install flashinfer-python"
    return (
        "no call of FlashInfer's cutlass_fused_moe or trtllm_fp4_block_scale_moe was tried with this project: give a "
        "function of your own that calls the one you use, --kernel FILE.py:FUNCTION (docs/kernels.md)"
    )


DECLARATION: dict[str, Any] = {"dtype": "bfloat16", "unsupported": unsupported}


def fused_moe(
    hidden_states: torch.Tensor, topk_ids: torch.Tensor, topk_weights: torch.Tensor
) -> torch.Tensor:
    """Never called: `unsupported` says why."""
    raise NotImplementedError
