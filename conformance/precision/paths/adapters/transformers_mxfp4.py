"""transformers' own dequantiser of MXFP4, followed by its eager experts: what it computes without the Hub's kernels."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch


def unsupported(device: torch.device, shape: Any) -> str | None:
    """Return why it cannot run here, or None."""
    return None if find_spec("transformers") else "transformers is not installed: pip install transformers"


DECLARATION: dict[str, Any] = {
    "dtype": "bfloat16",
    "rounds": "every-operation",
    "bias_dtype": "bfloat16",
    "prepare": "prepare",
    "unsupported": unsupported,
}


def prepare(
    gate_up_blocks: torch.Tensor,
    gate_up_scales: torch.Tensor,
    down_blocks: torch.Tensor,
    down_scales: torch.Tensor,
    gate_up_bias: torch.Tensor,
    down_bias: torch.Tensor,
    alpha: float,
    limit: float,
    top_k: int,
) -> Any:
    """Return the module with weights that transformers' dequantiser made from the blocks and scales."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    from transformers.models.gpt_oss.configuration_gpt_oss import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts

    experts, _, groups, _ = down_blocks.shape
    config = GptOssConfig(
        hidden_size=down_blocks.shape[1],
        intermediate_size=32 * groups,
        num_local_experts=experts,
        num_experts_per_tok=top_k,
        num_hidden_layers=1,
    )
    config._experts_implementation = "eager"
    with torch.device("meta"):
        module: Any = GptOssExperts(config)
    module.alpha, module.limit = alpha, limit
    values = {
        "gate_up_proj": convert_moe_packed_tensors(gate_up_blocks, gate_up_scales, dtype=torch.bfloat16),
        "down_proj": convert_moe_packed_tensors(down_blocks, down_scales, dtype=torch.bfloat16),
        "gate_up_proj_bias": gate_up_bias,
        "down_proj_bias": down_bias,
    }
    for name, tensor in values.items():
        setattr(module, name, torch.nn.Parameter(tensor.to(down_blocks.device), requires_grad=False))
    return module


def dequantised(
    hidden_states: torch.Tensor, topk_ids: torch.Tensor, topk_weights: torch.Tensor, prepared: Any
) -> torch.Tensor:
    """Return the layer's result (T, H) of transformers' eager experts."""
    found: torch.Tensor = prepared(hidden_states, topk_ids, topk_weights)
    return found
