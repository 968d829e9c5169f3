"""The plain loop over experts in torch, with a dtype for each stage: the common dtypes and every policy."""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

import torch

from conformance.precision.formats.floats import torch_dtype
from conformance.precision.formats.quantised import quantise
from conformance.precision.model.parallel import card_parts, slices
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import Rounding, uniform
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath, always, held_scales


def activation(gate_up: torch.Tensor, shape: LayerShape) -> torch.Tensor:
    """Return the clamped SwiGLU of interleaved (P, 2 I), every operation in the dtype of `gate_up`."""
    gate, up = gate_up[..., ::2], gate_up[..., 1::2]
    gate = gate.clamp(max=shape.limit)
    up = up.clamp(min=-shape.limit, max=shape.limit)
    return (up + 1) * (gate * torch.sigmoid(gate * shape.alpha))


class LoopRunner(PathRunner):
    """One layer's stages, each computed and stored in the dtypes of a declaration."""

    def __init__(self, layer: LayerWeights, rounding: Rounding) -> None:
        self.layer = layer
        self.rounding = rounding
        self.router = layer.router.to(torch_dtype(rounding.router_input))
        self.router_bias = layer.router_bias.to(torch_dtype(rounding.router_input))

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor]:
        dtype = torch_dtype(self.rounding.weight)
        return {name: self.layer.matrix(name, expert, dtype) for name in ("gate_up", "down")}

    def route(self, tokens: torch.Tensor) -> Routing:
        logits = torch.nn.functional.linear(tokens.to(self.router.dtype), self.router, self.router_bias)
        logits = logits.to(torch_dtype(self.rounding.router))
        values, indices = torch.topk(logits, self.layer.shape.top_k, dim=-1)
        weight_dtype = torch_dtype(self.rounding.routing_weight)
        weights = torch.softmax(values, dim=-1, dtype=torch.promote_types(values.dtype, weight_dtype))
        return Routing(logits, indices, weights.to(weight_dtype))

    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        """Return rows (n, K) times one expert's matrix in `dtype`, without the bias."""
        weight = self.layer.matrix(name, expert, torch_dtype(self.rounding.weight)).to(dtype)
        if self.rounding.split_k == 1:
            return rows.to(dtype) @ weight.T
        held = torch_dtype(self.rounding.split)
        total: torch.Tensor | None = None
        for low, high in slices(rows.shape[1], self.rounding.split_k):
            part = (rows[:, low:high].to(dtype) @ weight[:, low:high].T).to(held)
            total = part if total is None else total + part
        assert total is not None
        return total.to(dtype)

    def linear(self, name: str, rows: torch.Tensor, pairs: Pairs, product: str, stored: str) -> torch.Tensor:
        """Return the product with bias of rows (P, K): rounded to `product`, the bias added in the finer dtype."""
        dtype = torch_dtype(product)
        bias = self.layer.bias(name).to(dtype).to(torch.promote_types(dtype, torch_dtype(stored)))
        out = torch.empty(rows.shape[0], bias.shape[1], dtype=torch_dtype(stored), device=rows.device)
        for expert, start, stop in pairs.ranges:
            out[start:stop] = self.product(rows[start:stop], name, expert, dtype) + bias[expert]
        return out

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        held = tokens.to(torch_dtype(self.rounding.activation))
        rows = quantise(held, self.rounding.activation_as)[pairs.token]
        return self.linear("gate_up", rows, pairs, self.rounding.gate_up_product, self.rounding.gate_up)

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        inside = gate_up.to(torch_dtype(self.rounding.gate_up)).to(torch_dtype(self.rounding.swiglu))
        return activation(inside, self.layer.shape).to(torch_dtype(self.rounding.hidden))

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        rows = quantise(hidden.to(torch_dtype(self.rounding.hidden)), self.rounding.hidden_as)
        return self.linear("down", rows, pairs, self.rounding.down_product, self.rounding.down)

    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        dtype = torch_dtype(self.rounding.combine)
        inside = torch_dtype(self.rounding.weighted)
        out = torch.zeros(pairs.tokens, down.shape[1], dtype=dtype, device=down.device)
        rows = down.to(torch_dtype(self.rounding.down)).to(inside)
        for _, start, stop in pairs.ranges:
            token = pairs.token[start:stop]
            weight = routing.weights[token, pairs.slot[start:stop], None].to(inside)
            out.index_add_(0, token, (rows[start:stop] * weight).to(dtype))
        return out.to(torch_dtype(self.rounding.output))

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        pairs = Pairs.of(routing.indices, self.layer.shape.experts)
        hidden = self.swiglu(self.gate_up(tokens, pairs))
        r = self.rounding
        cards = max(r.tensor_parallel, r.expert_parallel)
        if cards == 1:
            return self.combine(self.down(hidden, pairs), pairs, routing)
        whole = self.down(hidden, pairs)
        total: torch.Tensor | None = None
        for down in card_parts(self.layer, hidden.float(), whole.float(), pairs, r):
            part = self.combine(down.to(whole.dtype), pairs, routing).to(torch_dtype(r.collective))
            total = part if total is None else total + part
        assert total is not None
        return total.to(torch_dtype(r.output))

    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        dtype = torch_dtype(self.rounding.residual)
        return residual.to(dtype) + combined.to(torch_dtype(self.rounding.output)).to(dtype)


class AutocastRunner(LoopRunner):
    """float32 weights under float16 autocast: products in float16, everything else as autocast decides."""

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.layer.device.type, dtype=torch.float16)

    def route(self, tokens: torch.Tensor) -> Routing:
        with self._autocast():
            logits = torch.nn.functional.linear(tokens, self.layer.router, self.layer.router_bias)
            values, indices = torch.topk(logits, self.layer.shape.top_k, dim=-1)
            weights = torch.softmax(values.float(), dim=-1)
        return Routing(logits, indices, weights)

    def linear(self, name: str, rows: torch.Tensor, pairs: Pairs, product: str, stored: str) -> torch.Tensor:
        bias = self.layer.bias(name)
        out = torch.empty(rows.shape[0], bias.shape[1], dtype=torch.float32, device=rows.device)
        with self._autocast():
            for expert, start, stop in pairs.ranges:
                weight = self.layer.matrix(name, expert, torch.float32)
                out[start:stop] = rows[start:stop].float() @ weight.T + bias[expert]
        return out

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor]:
        # Autocast itself makes the float16 copy that the product reads.
        return {name: self.layer.matrix(name, expert).to(torch.float16) for name in ("gate_up", "down")}


def loop_path(name: str, dtype: str, rounding: Rounding, claim: str = "") -> PrecisionPath:
    """Return a path that computes a declaration with the plain loop."""
    return PrecisionPath(
        name,
        dtype,
        rounding,
        lambda layer: LoopRunner(layer, rounding),
        always,
        scale_bytes=held_scales(rounding.weight),
        claim=claim,
        trusted=True,
    )


AUTOCAST = uniform("float32").but(
    activation="float16",
    weight="float16",
    router_input="float16",
    router="float16",
    gate_up_product="float16",
    hidden="float16",
    down_product="float16",
)


@PATHS.named("torch_loop")
def paths() -> list[PrecisionPath]:
    """Return the loop in float32, bfloat16 and float16, and under float16 autocast."""
    found = [loop_path(f"torch-{d}", d, uniform(d)) for d in ("float32", "bfloat16", "float16")]
    found.append(
        PrecisionPath(
            "torch-float16-autocast",
            "float16",
            AUTOCAST,
            lambda layer: AutocastRunner(layer, AUTOCAST),
            always,
            scale_bytes=held_scales("float16"),
            trusted=True,
        )
    )
    return found
