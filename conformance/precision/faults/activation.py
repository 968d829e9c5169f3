"""Faults of the activation."""

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance.precision.faults.base import FAULTS, Fault
from conformance.precision.formats.floats import torch_dtype
from conformance.precision.model.rounding import Rounding
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PathRunner
from conformance.precision.paths.torch_loop import LoopRunner

Gate = Callable[[torch.Tensor, LayerShape], torch.Tensor]


class _OtherActivation(LoopRunner):
    def __init__(self, layer: LayerWeights, rounding: Rounding, wrong: Gate) -> None:
        super().__init__(layer, rounding)
        self.wrong = wrong

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        inside = gate_up.to(torch_dtype(self.rounding.gate_up)).to(torch_dtype(self.rounding.swiglu))
        return self.wrong(inside, self.layer.shape).to(torch_dtype(self.rounding.hidden))


def _gated(gate: torch.Tensor, up: torch.Tensor, alpha: float, plus: float = 1.0) -> torch.Tensor:
    return (up + plus) * (gate * torch.sigmoid(gate * alpha))


def _clamped(x: torch.Tensor, s: LayerShape, limit: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    top = limit or s.limit
    return x[..., ::2].clamp(max=top), x[..., 1::2].clamp(-top, top)


def _halves(x: torch.Tensor) -> torch.Tensor:
    gate, up = x.chunk(2, dim=-1)
    return torch.stack((gate, up), -1).flatten(-2)


def _standard(x: torch.Tensor, s: LayerShape) -> torch.Tensor:
    return _gated(*_clamped(x, s), s.alpha)


WRONG: dict[str, Gate] = {
    "plain-silu": lambda x, s: _gated(*_clamped(x, s), 1.0),
    "alpha-1.7": lambda x, s: _gated(*_clamped(x, s), 1.7),
    "limit-6": lambda x, s: _gated(*_clamped(x, s, 6.0), s.alpha),
    "clamp-missing": lambda x, s: _gated(x[..., ::2], x[..., 1::2], s.alpha),
    "up-clamp-missing": lambda x, s: _gated(_clamped(x, s)[0], x[..., 1::2], s.alpha),
    "gate-clamp-missing": lambda x, s: _gated(x[..., ::2], _clamped(x, s)[1], s.alpha),
    "up-clamp-one-sided": lambda x, s: _gated(_clamped(x, s)[0], x[..., 1::2].clamp(max=s.limit), s.alpha),
    "gate-clamped-below-at-zero": lambda x, s: _gated(
        _clamped(x, s)[0].clamp(min=0), _clamped(x, s)[1], s.alpha
    ),
    "clamp-after-activation": lambda x, s: _gated(x[..., ::2], x[..., 1::2], s.alpha).clamp(
        -s.limit, s.limit
    ),
    "up-plus-one-missing": lambda x, s: _gated(*_clamped(x, s), s.alpha, 0.0),
    "gate-and-up-exchanged": lambda x, s: _gated(*_clamped(x, s)[::-1], s.alpha),
    "not-interleaved": lambda x, s: _standard(_halves(x), s),
    "sigmoid-only": lambda x, s: (_clamped(x, s)[1] + 1) * torch.sigmoid(_clamped(x, s)[0] * s.alpha),
    "relu-for-silu": lambda x, s: (_clamped(x, s)[1] + 1) * _clamped(x, s)[0].relu(),
}


def _register(name: str, wrong: Gate) -> None:
    def make(layer: LayerWeights, rounding: Rounding) -> PathRunner:
        return _OtherActivation(layer, rounding, wrong)

    FAULTS[name] = Fault(name, "activation", make)


for _name, _wrong in WRONG.items():
    _register(_name, _wrong)
