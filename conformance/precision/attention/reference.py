"""The reference of the attention block in float64: norm, projections, YaRN, sinks, window, grouped heads.

Every part is a method of `Attention`, so that a planted fault overrides the one that it gets wrong. Source:
openai/gpt-oss, gpt_oss/torch/model.py; YaRN, Peng et al. 2023, with `truncate` false.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from conformance.precision.model.synthetic import generator


@dataclass(frozen=True)
class AttentionShape:
    """Dimensions of one attention block; `window` is None for a layer that sees everything before."""

    name: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None
    base: float = 150000.0
    factor: float = 32.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    original: int = 4096
    eps: float = 1e-5


PRESETS = {
    # Published configuration of openai/gpt-oss-20b and -120b.
    "gpt-oss": AttentionShape("gpt-oss", 2880, 64, 8, 64, 128),
    "tiny": AttentionShape("tiny", 96, 8, 2, 32, 16),
}


@dataclass(frozen=True)
class AttentionWeights:
    """Weights of one block, float32 tensors of bfloat16 numbers: projections (rows, K) with biases, sinks (heads,)."""

    shape: AttentionShape
    gamma: torch.Tensor
    q: torch.Tensor
    q_bias: torch.Tensor
    k: torch.Tensor
    k_bias: torch.Tensor
    v: torch.Tensor
    v_bias: torch.Tensor
    o: torch.Tensor
    o_bias: torch.Tensor
    sinks: torch.Tensor


def synthetic_attention(shape: AttentionShape, seed: int, device: torch.device) -> AttentionWeights:
    """Return seeded weights under which scores have a spread of about 2 and sinks take a fair share."""
    draw = generator(seed, device)

    def bf16(*size: int, spread: float) -> torch.Tensor:
        values = torch.randn(*size, generator=draw, device=device) * spread
        return values.to(torch.bfloat16).float()

    q_rows, kv_rows = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    spread = 1.2 / shape.hidden**0.5
    return AttentionWeights(
        shape=shape,
        gamma=(1 + bf16(shape.hidden, spread=0.1)).to(torch.bfloat16).float(),
        q=bf16(q_rows, shape.hidden, spread=spread),
        q_bias=bf16(q_rows, spread=0.5),
        k=bf16(kv_rows, shape.hidden, spread=spread),
        k_bias=bf16(kv_rows, spread=0.5),
        v=bf16(kv_rows, shape.hidden, spread=1 / shape.hidden**0.5),
        v_bias=bf16(kv_rows, spread=0.2),
        o=bf16(shape.hidden, q_rows, spread=1 / q_rows**0.5),
        o_bias=bf16(shape.hidden, spread=0.2),
        sinks=bf16(shape.heads, spread=1.0) + 1.0,
    )


class Attention:
    """One block computed in a dtype (float64: the reference), each part overridable."""

    def __init__(self, weights: AttentionWeights, dtype: torch.dtype = torch.float64) -> None:
        self.w, self.s, self.dtype = weights, weights.shape, dtype

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        """Return the RMS-normalised rows (T, H) times gamma, computed in float32 or better."""
        wide = x.to(torch.promote_types(self.dtype, torch.float32))
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.s.eps)
        return (wide * scale * self.w.gamma.to(wide.dtype)).to(self.dtype)

    def project(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Return x (T, K) times a projection's matrix, with its bias, in the dtype."""
        weight, bias = getattr(self.w, name), getattr(self.w, f"{name}_bias")
        return torch.nn.functional.linear(x, weight.to(self.dtype), bias.to(self.dtype))

    def frequencies(self, device: torch.device) -> tuple[torch.Tensor, float]:
        """Return YaRN's inverse frequencies (head_dim / 2,) in float64 and its factor on cosine and sine."""
        s = self.s
        pair = torch.arange(0, s.head_dim, 2, device=device, dtype=torch.float64) / s.head_dim
        plain = s.base**-pair
        low, high = (
            s.head_dim * math.log(s.original / (beta * 2 * math.pi)) / (2 * math.log(s.base))
            for beta in (s.beta_fast, s.beta_slow)
        )
        low, high = self.ramp(low, high)
        at = torch.arange(s.head_dim // 2, device=device, dtype=torch.float64)
        slow = ((at - low) / (high - low)).clamp(0, 1)
        return plain / s.factor * slow + plain * (1 - slow), 0.1 * math.log(s.factor) + 1.0

    def ramp(self, low: float, high: float) -> tuple[float, float]:
        """Return where the ramp between the frequencies begins and ends; gpt-oss does not truncate it to integers."""
        return max(low, 0.0), min(high, self.s.head_dim - 1.0)

    def tables(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines (T, head_dim / 2) of positions (T,), in the dtype."""
        inverse, factor = self.frequencies(positions.device)
        wide = torch.promote_types(self.dtype, torch.float32)
        angle = positions.to(wide).unsqueeze(1) * inverse.to(wide)
        return (angle.cos() * factor).to(self.dtype), (angle.sin() * factor).to(self.dtype)

    def rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Return rotated rows (T, heads, head_dim): first half and second half are a pair."""
        a, b = x.chunk(2, -1)
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def visible(self, count: int, device: torch.device) -> torch.Tensor:
        """Return which keys (T, T) a query sees."""
        at = torch.arange(count, device=device)
        apart = at.unsqueeze(1) - at.unsqueeze(0)
        seen = apart >= 0
        return seen & (apart < self.s.window) if self.s.window else seen

    def scale(self) -> float:
        """Return the factor on scores."""
        return 1 / math.sqrt(self.s.head_dim)

    def grouped(self, x: torch.Tensor) -> torch.Tensor:
        """Return keys or values (T, kv, d) repeated for the query heads (T, heads, d): neighbours share."""
        return x.repeat_interleave(self.s.heads // self.s.kv_heads, 1)

    def sinks(self) -> torch.Tensor:
        """Return the sinks (heads,)."""
        return self.w.sinks.to(self.dtype)

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """Return softmax (heads, T, T) of scores with a sink beside them, which takes its share and adds nothing."""
        sink = self.sinks().view(-1, 1, 1).expand(-1, scores.shape[1], 1)
        return torch.softmax(torch.cat((scores, sink), -1), -1)[..., :-1]

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the context (T, heads, d) of queries (T, heads, d), keys and values (T, kv, d)."""
        keys, values = self.grouped(k), self.grouped(v)
        scores = torch.einsum("thd,jhd->htj", q, keys) * self.scale()
        scores = scores.masked_fill(~self.visible(q.shape[0], q.device), -torch.inf)
        return torch.einsum("htj,jhd->thd", self.probabilities(scores), values)

    def stages(self, x: torch.Tensor, positions: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return every stage of rows x (T, H): norm, query and key after rotation, value, context, out."""
        s, t = self.s, x.shape[0]
        normed = self.norm(x)
        q = self.project(normed, "q").view(t, s.heads, s.head_dim)
        k = self.project(normed, "k").view(t, s.kv_heads, s.head_dim)
        v = self.project(normed, "v").view(t, s.kv_heads, s.head_dim)
        cos, sin = self.tables(positions)
        query, key = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        context = self.attend(query, key, v)
        out = self.project(context.reshape(t, -1), "o")
        return {"norm": normed, "query": query, "key": key, "value": v, "context": context, "out": out}
