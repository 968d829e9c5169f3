"""Faults of routing, weighting, the sum over experts and the residual."""

from __future__ import annotations

import torch

from conformance.precision.faults.base import fault
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.paths.torch_loop import LoopRunner


@fault("softmax-over-all-experts", "router")
class _AllExperts(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        return Routing(
            r.logits, r.indices, torch.softmax(r.logits.float(), -1).gather(1, r.indices).to(r.weights.dtype)
        )


@fault("routing-weights-uniform", "router")
class _Uniform(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        return Routing(r.logits, r.indices, torch.full_like(r.weights, 1 / r.weights.shape[1]))


@fault("routing-weights-reversed", "router")
class _Reversed(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        return Routing(r.logits, r.indices, r.weights.flip(1))


@fault("sigmoid-routing", "router")
class _Sigmoid(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        raw = torch.sigmoid(r.logits.gather(1, r.indices))
        return Routing(r.logits, r.indices, raw / raw.sum(1, keepdim=True))


@fault("wrong-second-expert", "router")
class _SecondExpert(LoopRunner):
    """One token goes to its fifth-best expert instead of its second-best."""

    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        indices = r.indices.clone()
        indices[0, 1] = torch.topk(r.logits[0], indices.shape[1] + 1).indices[-1]
        return Routing(r.logits, indices, r.weights)


@fault("least-expert-dropped", "router")
class _Dropped(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        weights = r.weights.clone()
        weights[:, -1] = 0
        return Routing(r.logits, r.indices, weights)


@fault(
    "tie-goes-to-last-index",
    "router",
    harmless="equal logits: any of the tied experts is right",
    regime="router-ties",
)
class _LastIndex(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        order = torch.sort(r.logits.flip(1), dim=1, descending=True, stable=True)
        top_k = self.layer.shape.top_k
        indices = r.logits.shape[1] - 1 - order.indices[:, :top_k]
        weights = torch.softmax(order.values[:, :top_k], -1).to(r.weights.dtype)
        return Routing(r.logits, indices, weights)


@fault("weight-applied-twice", "combine")
class _Twice(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        return super().combine(
            down, pairs, Routing(routing.logits, routing.indices, routing.weights.square())
        )


@fault("weight-not-applied", "combine")
class _NotApplied(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        return super().combine(
            down, pairs, Routing(routing.logits, routing.indices, torch.ones_like(routing.weights))
        )


@fault("down-bias-unweighted", "combine")
class _BiasUnweighted(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        pairs = Pairs.of(routing.indices, self.layer.shape.experts)
        bias = self.layer.down_bias[pairs.expert]
        down = self.down(self.swiglu(self.gate_up(tokens, pairs)), pairs)
        bare = self.combine((down.float() - bias).to(down.dtype), pairs, routing).float()
        return bare.index_add(0, pairs.token, bias).to(down.dtype)


@fault("last-token-dropped", "combine")
class _LastToken(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        out = super().experts(tokens, routing)
        out[-1] = 0
        return out


@fault("two-tokens-exchanged", "combine")
class _Exchanged(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        out = super().experts(tokens, routing)
        out[[0, 1]] = out[[1, 0]]
        return out


@fault("last-columns-unwritten", "combine")
class _Unwritten(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        out = super().experts(tokens, routing)
        out[:, -16:] = 0
        return out


@fault("averaged-over-experts", "combine")
class _Averaged(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        return super().experts(tokens, routing) / routing.indices.shape[1]


@fault("nan-in-one-element", "combine")
class _NaN(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        out = super().experts(tokens, routing)
        out[0, 0] = torch.nan
        return out


@fault("experts-summed-in-reverse", "combine", harmless="the same roundings in another order")
class _Reverse(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        backwards = Pairs(pairs.token, pairs.slot, pairs.expert, pairs.ranges[::-1], pairs.tokens)
        return super().combine(down, backwards, routing)


@fault("residual-missing", "residual")
class _NoResidual(LoopRunner):
    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        return super().residual(torch.zeros_like(residual), combined)


@fault("residual-twice", "residual")
class _TwoResiduals(LoopRunner):
    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        return super().residual(2 * residual, combined)
