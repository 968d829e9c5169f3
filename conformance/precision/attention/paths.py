"""Implementations of the attention block under test: each from hidden rows and positions to the stages it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from conformance.precision.attention.reference import Attention, AttentionWeights
from conformance.precision.attention.variance import AttentionRounding
from conformance.precision.formats.floats import torch_dtype

Run = Callable[[torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]
DTYPES = ("float32", "bfloat16", "float16")
EAGER_STEPS = 4  # product, scale, mask, shift


@dataclass(frozen=True)
class AttentionPath:
    """A path: `prepare` returns a function of rows (T, H) in the dtype and positions (T,) to stages."""

    name: str
    dtype: str
    rounding: AttentionRounding
    prepare: Callable[[AttentionWeights], Run]
    unsupported: Callable[[torch.device], str | None]


class Eager(Attention):
    """Plain torch code in a dtype: every operation rounds."""

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """Return softmax (heads, T, T) with the sink, shifted by the largest score as eager code does."""
        sink = self.sinks().view(-1, 1, 1).expand(-1, scores.shape[1], 1)
        both = torch.cat((scores, sink), -1)
        return torch.softmax(both - both.amax(-1, keepdim=True), -1)[..., :-1]


class Sdpa(Attention):
    """torch's scaled_dot_product_attention: the sink is one more key whose value is zero."""

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the context (T, heads, d), the sink's score carried by the mask."""
        t = q.shape[0]
        keys, values = (x.transpose(0, 1) for x in (self.grouped(k), self.grouped(v)))
        none = torch.zeros(keys.shape[0], 1, keys.shape[2], dtype=keys.dtype, device=keys.device)
        mask = torch.zeros(keys.shape[0], t, t + 1, dtype=q.dtype, device=q.device)
        mask[..., :-1].masked_fill_(~self.visible(t, q.device), -torch.inf)
        mask[..., -1] = self.sinks().unsqueeze(1)
        found = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(0, 1).unsqueeze(0),
            torch.cat((keys, none), 1).unsqueeze(0),
            torch.cat((values, none), 1).unsqueeze(0),
            attn_mask=mask.unsqueeze(0),
            scale=self.scale(),
        )
        return found.squeeze(0).transpose(0, 1)


class Flex(Attention):
    """flex attention, the sink applied to its log-sum-exp afterwards."""

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the context (T, heads, d) of attention without sinks, times the share that a sink leaves it."""
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        window = self.s.window or 1 << 30

        def seen(batch: Any, head: Any, at: Any, key: Any) -> Any:
            return (key <= at) & (at - key < window)

        t = q.shape[0]
        mask = create_block_mask(seen, None, None, t, t, device=str(q.device))
        given = (x.transpose(0, 1).unsqueeze(0) for x in (q, self.grouped(k), self.grouped(v)))
        found: Any = flex_attention(*given, block_mask=mask, scale=self.scale(), return_lse=True)
        out, lse = found
        share = torch.sigmoid(lse - self.w.sinks.view(1, -1, 1)).unsqueeze(-1)
        return (out.float() * share).to(self.dtype).squeeze(0).transpose(0, 1)


def _torch_path(kind: type[Attention], name: str, dtype: str, rounding: AttentionRounding) -> AttentionPath:
    def prepare(weights: AttentionWeights) -> Run:
        return kind(weights, torch_dtype(dtype)).stages

    return AttentionPath(f"{name}-{dtype}", dtype, rounding, prepare, lambda device: None)


def _transformers(weights: AttentionWeights, dtype: torch.dtype) -> Run:
    from transformers.models.gpt_oss.configuration_gpt_oss import GptOssConfig
    from transformers.models.gpt_oss.modeling_gpt_oss import (
        GptOssAttention,
        GptOssRMSNorm,
        GptOssRotaryEmbedding,
    )

    s, device = weights.shape, weights.q.device
    config = GptOssConfig(
        hidden_size=s.hidden,
        num_attention_heads=s.heads,
        num_key_value_heads=s.kv_heads,
        head_dim=s.head_dim,
        sliding_window=s.window or 1,
        num_hidden_layers=1,
        layer_types=["sliding_attention" if s.window else "full_attention"],
        rms_norm_eps=s.eps,
    )
    config._attn_implementation = "eager"
    block: Any = GptOssAttention(config, 0).to(device=device, dtype=dtype)
    norm: Any = GptOssRMSNorm(s.hidden, eps=s.eps).to(device=device, dtype=dtype)
    rotary: Any = GptOssRotaryEmbedding(config).to(device)
    given = {"norm": weights.gamma, "sinks": weights.sinks}
    for name in "qkvo":
        given[f"{name}_proj.weight"] = getattr(weights, name)
        given[f"{name}_proj.bias"] = getattr(weights, f"{name}_bias")
    with torch.no_grad():
        norm.weight.copy_(given.pop("norm"))
        for name, parameter in block.named_parameters():
            parameter.copy_(given[name])
    exact = Attention(weights)

    def run(x: torch.Tensor, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        normed = norm(x).unsqueeze(0)
        tables = rotary(normed, positions.unsqueeze(0))
        mask = torch.zeros(1, 1, x.shape[0], x.shape[0], dtype=dtype, device=device)
        mask.masked_fill_(~exact.visible(x.shape[0], device), torch.finfo(dtype).min)
        out, _ = block(normed, tables, mask)
        return {"norm": normed.squeeze(0), "out": out.squeeze(0)}

    return run


def attention_paths() -> list[AttentionPath]:
    """Return every path in float32, bfloat16 and float16."""
    found = []
    for dtype in DTYPES:
        eager = AttentionRounding(dtype, dtype, EAGER_STEPS)
        core = AttentionRounding(dtype, dtype, 2)  # scores and probabilities, at most, in the dtype
        found += [
            _torch_path(Eager, "torch-eager", dtype, eager),
            _torch_path(Sdpa, "torch-sdpa", dtype, core),
            _torch_path(Flex, "torch-flex", dtype, core),
            AttentionPath(
                f"transformers-eager-{dtype}",
                dtype,
                eager,
                lambda weights, d=dtype: _transformers(weights, torch_dtype(d)),  # type: ignore[misc]  # as in faults
                lambda device: None if find_spec("transformers") else "transformers is not installed",
            ),
        ]
    return found
