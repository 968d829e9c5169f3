"""Kernels of strangers: right ones, and each way of being wrong that a run must survive."""

import os
import signal
import time

import torch

DECLARATION = {"dtype": "bfloat16"}


def moe(
    hidden_states, topk_ids, topk_weights, gate_up_proj, gate_up_bias, down_proj, down_bias, alpha, limit
):
    result = torch.zeros(hidden_states.shape)
    for expert in range(gate_up_proj.shape[0]):
        token, slot = (topk_ids == expert).nonzero(as_tuple=True)
        gate_up = hidden_states[token].float() @ gate_up_proj[expert].float().T + gate_up_bias[expert]
        gate, up = gate_up[:, ::2].clamp(max=limit), gate_up[:, 1::2].clamp(-limit, limit)
        hidden = ((up + 1) * gate * torch.sigmoid(alpha * gate)).to(torch.bfloat16)
        down = hidden.float() @ down_proj[expert].float().T + down_bias[expert]
        result.index_add_(0, token, down * topk_weights[token, slot, None])
    return result.to(torch.bfloat16)


def alpha_in_bfloat16(
    hidden_states, topk_ids, topk_weights, gate_up_proj, gate_up_bias, down_proj, down_bias, alpha, limit
):
    alpha = float(torch.tensor(alpha).bfloat16())
    return moe(
        hidden_states, topk_ids, topk_weights, gate_up_proj, gate_up_bias, down_proj, down_bias, alpha, limit
    )


def from_gguf(
    hidden_states,
    topk_ids,
    topk_weights,
    gate_rows,
    up_rows,
    down_rows,
    gate_bias,
    up_bias,
    down_bias,
    alpha,
    limit,
):
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    def numbers(rows):
        return torch.from_numpy(dequantize(rows.numpy(), GGMLQuantizationType.MXFP4))

    gate, up, down = (numbers(rows) for rows in (gate_rows, up_rows, down_rows))
    both = torch.stack((gate, up), 2).flatten(1, 2)
    bias = torch.stack((gate_bias, up_bias), 2).flatten(1)
    return moe(hidden_states, topk_ids, topk_weights, both, bias, down, down_bias, alpha, limit)


def writes_nothing(hidden_states):
    return torch.empty_like(hidden_states)


def crashes(hidden_states):
    print("the last words")
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(hidden_states):
    time.sleep(1000)


def floods(hidden_states):
    print("x" * 3_000_000)
    return torch.zeros_like(hidden_states)


def wrong_shape(hidden_states):
    return hidden_states[:, 1:]


def wrong_dtype(hidden_states):
    return hidden_states.float()


def wrong_kind(hidden_states):
    return [hidden_states]


def takes_anything(*arguments):
    return arguments


def takes_unknown(hidden_states, weights):
    return hidden_states
