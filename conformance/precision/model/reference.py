"""The reference: each stage of the MoE layer in float32 (or float64, to certify it), one expert at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights


@dataclass(frozen=True)
class Routing:
    """Where tokens go: logits (T, E), expert indices (T, k) and their weights (T, k), which sum to 1."""

    logits: torch.Tensor
    indices: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Pairs:
    """The (token, expert) pairs of a routing, sorted by expert: token, slot, expert (P,), and each expert's range."""

    token: torch.Tensor
    slot: torch.Tensor
    expert: torch.Tensor
    ranges: tuple[tuple[int, int, int], ...]  # (expert, start, stop), only experts that are used
    tokens: int

    @staticmethod
    def of(indices: torch.Tensor, experts: int) -> Pairs:
        """Return the pairs of expert indices (T, k)."""
        flat = indices.flatten()
        order = torch.sort(flat, stable=True).indices
        counts = torch.bincount(flat, minlength=experts).tolist()
        ranges, start = [], 0
        for expert, count in enumerate(counts):
            if count:
                ranges.append((expert, start, start + count))
            start += count
        top_k = indices.shape[1]
        return Pairs(order // top_k, order % top_k, flat[order], tuple(ranges), indices.shape[0])


@dataclass(frozen=True)
class Trace:
    """Every stage's result on one input; pair-wise stages are in the order of `pairs`."""

    routing: Routing
    pairs: Pairs
    gate_up: torch.Tensor  # (P, 2 I)
    hidden: torch.Tensor  # (P, I)
    down: torch.Tensor  # (P, H)
    combined: torch.Tensor  # (T, H)
    output: torch.Tensor  # (T, H), the residual added


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a @ b: the one product of the reference, so that a test can make it coarser and see it noticed."""
    return a @ b


def route(layer: LayerWeights, tokens: torch.Tensor) -> Routing:
    """Return the routing of tokens (T, H): top-k of the logits, softmax over the chosen k."""
    dtype = tokens.dtype
    logits = matmul(tokens, layer.router.to(dtype).T) + layer.router_bias.to(dtype)
    values, indices = torch.topk(logits, layer.shape.top_k, dim=-1)
    return Routing(logits, indices, torch.softmax(values, dim=-1))


def rerouted(logits: torch.Tensor, indices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the routing weights (T, k) that given logits and indices imply."""
    return torch.softmax(logits.to(dtype).gather(1, indices), dim=-1)


def linear(layer: LayerWeights, name: str, rows: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Return the `gate_up` or `down` product with bias of rows (P, K), expert by expert."""
    bias = layer.bias(name).to(rows.dtype)
    out = torch.empty(rows.shape[0], bias.shape[1], dtype=rows.dtype, device=rows.device)
    for expert, start, stop in pairs.ranges:
        out[start:stop] = matmul(rows[start:stop], layer.matrix(name, expert, rows.dtype).T) + bias[expert]
    return out


def swiglu(gate_up: torch.Tensor, shape: LayerShape) -> torch.Tensor:
    """Return (up + 1) * gate * sigmoid(alpha * gate) of interleaved (P, 2 I), gate clamped above, up on both sides."""
    gate = gate_up[..., ::2].clamp(max=shape.limit)
    up = gate_up[..., 1::2].clamp(-shape.limit, shape.limit)
    return (up + 1) * (gate * torch.sigmoid(shape.alpha * gate))


def combine(down: torch.Tensor, weights: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Return the routing-weighted sum over each token's experts: down (P, H), weights (T, k) -> (T, H)."""
    weighted = down * weights[pairs.token, pairs.slot].to(down.dtype).unsqueeze(1)
    return to_slots(weighted, pairs, weights.shape[1]).sum(1)


def to_slots(rows: torch.Tensor, pairs: Pairs, top_k: int) -> torch.Tensor:
    """Return pair rows (P, C) as (T, k, C), the k of a token ordered by expert index."""
    out = torch.empty(pairs.tokens, top_k, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
    # Pairs are sorted by expert, so a stable sort by token leaves each token's experts in ascending order.
    order = torch.sort(pairs.token, stable=True).indices
    out.view(pairs.tokens * top_k, *rows.shape[1:])[:] = rows[order]
    return out


def trace(
    layer: LayerWeights,
    tokens: torch.Tensor,
    residual: torch.Tensor,
    routing: Routing | None = None,
) -> Trace:
    """Return every stage on tokens (T, H) and residual (T, H), in the dtype of `tokens`.

    A given `routing` is followed instead of the layer's own: that is how a path whose router chose otherwise within
    its rounding is judged on the rest.
    """
    chosen = routing or route(layer, tokens)
    pairs = Pairs.of(chosen.indices, layer.shape.experts)
    gate_up = linear(layer, "gate_up", tokens[pairs.token], pairs)
    hidden = swiglu(gate_up, layer.shape)
    down = linear(layer, "down", hidden, pairs)
    combined = combine(down, chosen.weights, pairs)
    return Trace(chosen, pairs, gate_up, hidden, down, combined, residual.to(combined.dtype) + combined)


def rms_norm(values: torch.Tensor, gamma: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    """Return the RMS-normalised rows of (T, H), times gamma."""
    return values * torch.rsqrt(values.square().mean(-1, keepdim=True) + eps) * gamma.to(values.dtype)
