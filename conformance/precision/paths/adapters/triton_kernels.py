"""OpenAI's triton_kernels (matmul_ogs), as vLLM carries it in `vllm/third_party`: put its folder on PYTHONPATH.

The package of nearly this name on PyPI is another project. Weights are swizzled once, as vLLM and transformers do.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Any

import torch


def unsupported(device: torch.device, shape: Any) -> str | None:
    """Return why the kernels cannot run here, or None."""
    if device.type != "cuda":
        return "triton_kernels needs a GPU"
    if find_spec("triton_kernels") is None:
        return "triton_kernels is not installed: put the folder that holds it on PYTHONPATH (vllm/third_party has it)"
    if find_spec("triton_kernels.matmul_ogs") is None:
        return "the triton_kernels found here is not OpenAI's, which has matmul_ogs"
    if shape.hidden % 64 or shape.intermediate % 64:
        return "its default layout needs sizes that are multiples of 64"
    return None


# Its clamp is min, which takes the number of a number and a NaN: a NaN in a token comes out as one.
DECLARATION: dict[str, Any] = {
    "dtype": "bfloat16",
    "down": "bfloat16",  # each expert's rows are stored so before they are added
    "scale_bytes": (1, 251),
    "unsupported": unsupported,
    "prepare": "prepare",
    "nan_vanishes": True,
}


def _swizzled(blocks: torch.Tensor, scales: torch.Tensor) -> tuple[Any, Any]:
    from triton_kernels.tensor import FP4, convert_layout, wrap_torch_tensor
    from triton_kernels.tensor_details import layout

    values, value_options = layout.make_default_matmul_mxfp4_w_layout(mx_axis=1)
    scale, scale_options = layout.make_default_matmul_mxfp4_w_scale_layout(mx_axis=1, num_warps=8)
    packed = blocks.flatten(-2).contiguous().transpose(-2, -1)  # (E, K / 2, rows)
    weight = convert_layout(wrap_torch_tensor(packed, dtype=FP4), values, **value_options)
    held = wrap_torch_tensor(scales.contiguous().transpose(-2, -1))
    return weight, convert_layout(held, scale, **scale_options)


def prepare(
    gate_up_blocks: torch.Tensor,
    gate_up_scales: torch.Tensor,
    down_blocks: torch.Tensor,
    down_scales: torch.Tensor,
) -> dict[str, Any]:
    """Return both matrices swizzled, with the precision configuration that carries their scales."""
    from triton_kernels.matmul_ogs import FlexCtx, PrecisionConfig
    from triton_kernels.matmul_ogs_details import opt_flags
    from triton_kernels.numerics import InFlexData

    if torch.cuda.get_device_capability() < (10, 0):
        opt_flags.update_opt_flags_constraints({"split_k": 1})  # as vLLM does on Hopper
    found: dict[str, Any] = {}
    for name, blocks, scales in (
        ("gate_up", gate_up_blocks, gate_up_scales),
        ("down", down_blocks, down_scales),
    ):
        weight, scale = _swizzled(blocks, scales)
        found[name] = weight
        found[f"{name}_config"] = PrecisionConfig(weight_scale=scale, flex_ctx=FlexCtx(rhs_data=InFlexData()))
    return found


def _routing(topk_ids: torch.Tensor, topk_weights: torch.Tensor, experts: int) -> tuple[Any, Any, Any]:
    from triton_kernels.matmul_ogs import GatherIndx, RoutingData, ScatterIndx
    from triton_kernels.tensor import make_ragged_tensor_metadata

    flat = topk_ids.flatten()
    by_expert = torch.argsort(flat, stable=True)
    place = torch.argsort(by_expert)
    counts = (flat.unsqueeze(1) == torch.arange(experts, device=flat.device)).sum(0).to(torch.int32)
    ragged = make_ragged_tensor_metadata(counts, flat.shape[0])
    combine, dispatch = by_expert.to(torch.int32), place.to(torch.int32)
    data = RoutingData(topk_weights.flatten()[by_expert], counts, experts, topk_ids.shape[1], ragged)
    return data, GatherIndx(combine, dispatch), ScatterIndx(dispatch, combine)


def moe(
    hidden_states: torch.Tensor,
    topk_ids: torch.Tensor,
    topk_weights: torch.Tensor,
    prepared: dict[str, Any],
    gate_up_bias: torch.Tensor,
    down_bias: torch.Tensor,
    alpha: float,
    limit: float,
    num_experts: int,
) -> dict[str, torch.Tensor]:
    """Return the layer's result (T, H) and the activation (T, k, I)."""
    import triton_kernels.swiglu
    from triton_kernels.matmul_ogs import FnSpecs, FusedActivation, matmul_ogs

    routing, gather, scatter = _routing(topk_ids, topk_weights, num_experts)
    swiglu = FnSpecs("swiglu", triton_kernels.swiglu.swiglu_fn, ("alpha", "limit"), reduction_n=2)
    hidden = matmul_ogs(
        hidden_states, prepared["gate_up"], gate_up_bias, routing, gather_indx=gather,
        precision_config=prepared["gate_up_config"], fused_activation=FusedActivation(swiglu, (alpha, limit)),
    )  # fmt: skip
    result = matmul_ogs(
        hidden, prepared["down"], down_bias, routing, scatter_indx=scatter,
        precision_config=prepared["down_config"], gammas=routing.gate_scal,
    )  # fmt: skip
    by_token = hidden.reshape(-1, hidden.shape[-1])[scatter.src_indx.long()]
    return {
        "result": result.reshape(hidden_states.shape),
        "hidden": by_token.unflatten(0, topk_ids.shape),
    }


@functools.wraps(moe)  # its parameters say what it asks for
def fused_moe(**given: Any) -> torch.Tensor:
    """Return the layer's result (T, H) alone, as engines call it."""
    return moe(**given)["result"]
