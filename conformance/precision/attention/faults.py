"""Planted faults of attention: each overrides the one part of the block that it gets wrong."""

# ruff: noqa: D101, D102, RUF012  (the parts are described once, on Attention; a name says what is wrong)

from __future__ import annotations

import math
from dataclasses import replace

import torch

from conformance.precision.attention.paths import Eager
from conformance.precision.attention.reference import AttentionWeights


class SinkDropped(Eager):
    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.softmax(scores, -1)


class SinkScaled(Eager):
    def sinks(self) -> torch.Tensor:
        return super().sinks() * self.scale()


class SinkNegated(Eager):
    def sinks(self) -> torch.Tensor:
        return -super().sinks()


class SinkOfNextHead(Eager):
    def sinks(self) -> torch.Tensor:
        return super().sinks().roll(1)


class SinkIsZero(Eager):
    def sinks(self) -> torch.Tensor:
        return torch.zeros_like(super().sinks())


class SinkAddedToScores(Eager):
    """The sink as a bias on every score, which softmax takes back."""

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.softmax(scores + self.sinks().view(-1, 1, 1), -1)


class SinkTwice(Eager):
    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        sink = self.sinks().view(-1, 1, 1).expand(-1, scores.shape[1], 2)
        return torch.softmax(torch.cat((scores, sink), -1), -1)[..., :-2]


class SinkHasAValue(Eager):
    """The sink's share goes to the first key's value instead of to nothing."""

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        p = super().probabilities(scores).clone()
        p[..., 0] += 1 - p.sum(-1)
        return p


class _Window(Eager):
    shift = 0

    def visible(self, count: int, device: torch.device) -> torch.Tensor:
        at = torch.arange(count, device=device)
        apart = at.unsqueeze(1) - at.unsqueeze(0)
        window = (self.s.window or count) + self.shift
        return (apart >= 0) & (apart < window)


class WindowOneLess(_Window):
    shift = -1


class WindowOneMore(_Window):
    shift = 1


class WindowMissing(_Window):
    shift = 1 << 20


class SeesTheNext(Eager):
    def visible(self, count: int, device: torch.device) -> torch.Tensor:
        seen = super().visible(count, device)
        return seen | torch.diag(torch.ones(count - 1, dtype=torch.bool, device=device), 1)


class NotItself(Eager):
    """The mask leaves a token's own key out, but for the first, which would see nothing."""

    def visible(self, count: int, device: torch.device) -> torch.Tensor:
        seen = super().visible(count, device) & ~torch.eye(count, dtype=torch.bool, device=device)
        seen[0, 0] = True
        return seen


class FirstKeyHidden(Eager):
    def visible(self, count: int, device: torch.device) -> torch.Tensor:
        seen = super().visible(count, device).clone()
        seen[1:, 0] = False
        return seen


class _Shape(Eager):
    changes: dict[str, float] = {}

    def __init__(self, weights: AttentionWeights, dtype: torch.dtype) -> None:
        super().__init__(replace(weights, shape=replace(weights.shape, **self.changes)), dtype)  # type: ignore[arg-type]


class YarnFactor16(_Shape):
    changes = {"factor": 16.0}


class YarnMissing(_Shape):
    changes = {"factor": 1.0}


class Base10000(_Shape):
    changes = {"base": 10000.0}


class Epsilon(_Shape):
    changes = {"eps": 1e-6}


class YarnTruncated(Eager):
    def ramp(self, low: float, high: float) -> tuple[float, float]:
        return super().ramp(math.floor(low), math.ceil(high))


class YarnScaleMissing(Eager):
    def frequencies(self, device: torch.device) -> tuple[torch.Tensor, float]:
        return super().frequencies(device)[0], 1.0


class PairsInterleaved(Eager):
    def rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        a, b = x[..., ::2], x[..., 1::2]
        c, s = cos.unsqueeze(1), sin.unsqueeze(1)
        return torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)


class SineNegated(Eager):
    def rotate(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        return super().rotate(x, cos, -sin)


class ScaleByDimension(Eager):
    def scale(self) -> float:
        return 1 / self.s.head_dim


class ScaleTimesYarnSquared(Eager):
    """YaRN's factor, which the tables carry, once more on the scores."""

    def scale(self) -> float:
        return super().scale() * self.frequencies(self.w.q.device)[1] ** 2


class HeadsInterleaved(Eager):
    def grouped(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, self.s.heads // self.s.kv_heads, 1)


class OneHeadShifted(Eager):
    def grouped(self, x: torch.Tensor) -> torch.Tensor:
        return super().grouped(x).roll(1, 1)


class _NoBias(Eager):
    which = ""

    def project(self, x: torch.Tensor, name: str) -> torch.Tensor:
        found = super().project(x, name)
        return found - getattr(self.w, f"{name}_bias").to(self.dtype) if name == self.which else found


class QueryBiasMissing(_NoBias):
    which = "q"


class ValueBiasMissing(_NoBias):
    which = "v"


class OutBiasMissing(_NoBias):
    which = "o"


class MeanSubtracted(Eager):
    def norm(self, x: torch.Tensor) -> torch.Tensor:
        return super().norm(x - x.mean(-1, keepdim=True))


class SquaredInHalf(Eager):
    """RMSNorm squares in the dtype, which float16 cannot beyond 256."""

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.s.eps)
        return x * scale * self.w.gamma.to(self.dtype)


def attention_faults() -> dict[str, type[Eager]]:
    """Return every planted fault by name."""
    found: dict[str, type[Eager]] = {}
    open_ = list(Eager.__subclasses__())
    while open_:
        kind = open_.pop(0)
        open_ += kind.__subclasses__()
        if not kind.__name__.startswith("_") and kind.__module__ == __name__:
            found[kind.__name__] = kind
    return found
