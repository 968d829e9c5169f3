"""Faults of kernels: what hides between token counts, in stale memory, in a constant, in one token of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from conformance.precision.faults.base import FAULTS, Fault, fault
from conformance.precision.formats.floats import torch_dtype
from conformance.precision.formats.quantised import quantise
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import Rounding
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.torch_loop import LoopRunner

HALF_ONLY = ("bfloat16",)


class _Experts(LoopRunner):
    """The loop with something done to its result, given the tokens and the routing."""

    change: Callable[[torch.Tensor, torch.Tensor, Routing], torch.Tensor]

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        return type(self).change(super().experts(tokens, routing), tokens, routing)


def _result_fault(
    name: str, change: Callable[[torch.Tensor, torch.Tensor, Routing], torch.Tensor], family: str
) -> None:
    FAULTS[name] = Fault(name, family, type("_Changed", (_Experts,), {"change": staticmethod(change)}))


def _last_row_off(low: int, high: int) -> Callable[[torch.Tensor, torch.Tensor, Routing], torch.Tensor]:
    def change(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        if low <= out.shape[0] <= high:
            out[-1] = out[-1] * 1.5
        return out

    return change


def _second_chunk(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    if out.shape[0] > 512:
        out[512:] = out[: out.shape[0] - 512].clone() if out.shape[0] <= 1024 else out[512:].flip(0)
    return out


def _nan_spreads(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    return out if bool(torch.isfinite(tokens).all()) else torch.full_like(out, torch.nan)


def _nan_swallowed(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    return out.nan_to_num(0.0, 0.0, 0.0)


def _writes_into_input(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    tokens.copy_(out.to(tokens.dtype))
    return out


def _writes_into_weights(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    routing.weights.mul_(0.5)
    return out


def _random_element(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    place = torch.randint(0, out.numel(), (1,), device=out.device)
    out.view(-1)[place] *= 2  # a race: another element each time
    return out


def _unwritten_tail(out: torch.Tensor, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
    fresh = torch.empty_like(out)
    fresh[:, : -out.shape[1] // 16] = out[:, : -out.shape[1] // 16]
    return fresh


_result_fault("wrong-at-3-and-4-tokens", _last_row_off(3, 4), "bucket")
_result_fault("wrong-at-5-to-16-tokens", _last_row_off(5, 16), "bucket")
_result_fault("wrong-at-one-token", _last_row_off(1, 1), "bucket")
_result_fault("wrong-beyond-2048-tokens", _last_row_off(2049, 1 << 30), "bucket")
_result_fault("second-chunk-over-512", _second_chunk, "bucket")
_result_fault("nan-of-one-token-spreads", _nan_spreads, "containment")
_result_fault("nan-swallowed", _nan_swallowed, "containment")
_result_fault("writes-into-its-input", _writes_into_input, "memory")
_result_fault("writes-into-the-routing-weights", _writes_into_weights, "memory")
_result_fault("unwritten-tail", _unwritten_tail, "memory")
_result_fault("race-on-one-element", _random_element, "memory")


@fault("capacity-of-192", "bucket")
class _Capacity(LoopRunner):
    """No expert takes more than 192 tokens: the rest is dropped."""

    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        kept = down.clone()
        for _, start, stop in pairs.ranges:
            kept[min(start + 192, stop) : stop] = 0
        return super().combine(kept, pairs, routing)


@fault("stale-workspace", "memory")
class _Stale(LoopRunner):
    """The last row of every block of 16 is not computed: the workspace, kept between calls, holds an older one."""

    def __init__(self, layer: LayerWeights, rounding: Rounding) -> None:
        super().__init__(layer, rounding)
        self.kept: dict[tuple[int, ...], torch.Tensor] = {}

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        out = super().experts(tokens, routing)
        size = tuple(out.shape)
        if size not in self.kept:
            self.kept[size] = out.clone()
        held = self.kept[size]
        rows = torch.arange(out.shape[0], device=out.device) % 16 != 15
        held[rows] = out[rows]
        return held.clone()


@fault("strides-ignored", "memory")
class _Strides(LoopRunner):
    """Tokens are read as if their rows lay one after the other."""

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        if not tokens.is_contiguous():
            tokens = tokens.as_strided(tokens.shape, (tokens.shape[1], 1), tokens.storage_offset())
        return super().gate_up(tokens, pairs)


class _Constants(LoopRunner):
    """The loop on a layer whose constants are a little off."""

    def __init__(
        self, layer: LayerWeights, rounding: Rounding, alpha: float = 1.0, limit: float = 1.0
    ) -> None:
        shape = replace(layer.shape, alpha=layer.shape.alpha * alpha, limit=layer.shape.limit * limit)
        super().__init__(layer.changed(shape=shape), rounding)


def _constant_fault(name: str, **factors: float) -> None:
    FAULTS[name] = Fault(name, "constant", lambda layer, rounding: _Constants(layer, rounding, **factors))


_constant_fault("alpha-in-bfloat16", alpha=1.703125 / 1.702)
_constant_fault("limit-7.02", limit=7.02 / 7)
_constant_fault("limit-6.98", limit=6.98 / 7)


class _Swiglu(LoopRunner):
    """The loop with another activation, computed in float32 on what the path holds."""

    other: Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        inside = gate_up.to(torch_dtype(self.rounding.gate_up)).float()
        s = self.layer.shape
        found = type(self).other(inside[..., ::2], inside[..., 1::2], s.alpha, s.limit)
        return found.to(torch_dtype(self.rounding.hidden))


def _activation_fault(
    name: str, other: Callable[[torch.Tensor, torch.Tensor, float, float], torch.Tensor]
) -> None:
    FAULTS[name] = Fault(name, "constant", type("_Other", (_Swiglu,), {"other": staticmethod(other)}))


def _both_sides(gate: torch.Tensor, up: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    gate = gate.clamp(-limit, limit)
    return (up.clamp(-limit, limit) + 1) * gate * torch.sigmoid(alpha * gate)


def _coarse_tanh(gate: torch.Tensor, up: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    gate = gate.clamp(max=limit)
    tanh = torch.tanh(alpha * gate / 2)
    tanh = torch.round(tanh * 2.0**11) / 2.0**11  # what tanh.approx promises
    return (up.clamp(-limit, limit) + 1) * gate * (0.5 + 0.5 * tanh)


def _plus_less(gate: torch.Tensor, up: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    gate = gate.clamp(max=limit)
    return (up.clamp(-limit, limit) + 0.998) * gate * torch.sigmoid(alpha * gate)


def _one_side_of_up(gate: torch.Tensor, up: torch.Tensor, alpha: float, limit: float) -> torch.Tensor:
    gate = gate.clamp(max=limit)
    return (up.clamp(-limit, limit * 1.01) + 1) * gate * torch.sigmoid(alpha * gate)


_activation_fault("gate-clamped-on-both-sides", _both_sides)
_activation_fault("approximate-tanh", _coarse_tanh)
_activation_fault("up-plus-0.998", _plus_less)
_activation_fault("up-clamped-at-7.07", _one_side_of_up)


@fault("subnormals-flushed", "storage", regime="subnormals")
class _Flushed(LoopRunner):
    """Numbers below float16's least normal one are read as zero."""

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return super().gate_up(torch.where(tokens.abs() < 2.0**-14, 0, tokens), pairs)


@fault("routing-weights-times-0.999", "constant")
class _Scaled(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        held = Routing(routing.logits, routing.indices, routing.weights.float() * 0.999)
        return super().combine(down, pairs, held)


@fault("residual-times-1.001", "constant")
class _ScaledResidual(LoopRunner):
    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        dtype = torch_dtype(self.rounding.residual)
        return (residual.float() * 1.001 + combined.float()).to(dtype)


@fault("combine-weight-in-bfloat16", "storage", dtypes=("float32",))
class _CombineWeight(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        held = Routing(routing.logits, routing.indices, routing.weights.to(torch.bfloat16).float())
        return super().combine(down, pairs, held)


@fault("down-bias-times-0.99", "constant")
class _DownBias(LoopRunner):
    def __init__(self, layer: LayerWeights, rounding: Rounding) -> None:
        super().__init__(layer.changed(down_bias=layer.down_bias * 0.99), rounding)


@fault("gate-up-bias-times-0.99", "constant")
class _GateUpBias(LoopRunner):
    def __init__(self, layer: LayerWeights, rounding: Rounding) -> None:
        super().__init__(layer.changed(gate_up_bias=layer.gate_up_bias * 0.99), rounding)


def _truncate(values: torch.Tensor) -> torch.Tensor:
    return (values.float().view(torch.int32) & ~0xFFFF).view(torch.float32)


@fault("result-truncated", "constant", dtypes=HALF_ONLY)
class _TruncatedResult(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        wide = LoopRunner(
            self.layer, self.rounding.but(combine="float32", weighted="float32", output="float32")
        )
        return _truncate(wide.combine(down, pairs, routing)).to(torch_dtype(self.rounding.output))


@fault("activation-truncated", "constant", dtypes=HALF_ONLY)
class _TruncatedHidden(LoopRunner):
    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        wide = LoopRunner(self.layer, self.rounding.but(swiglu="float32", hidden="float32"))
        return _truncate(wide.swiglu(gate_up)).to(torch_dtype(self.rounding.hidden))


class _Quantised(LoopRunner):
    """Both products read their rows in a quantised format that nobody declared."""

    name = ""

    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return super().product(quantise(rows.float(), type(self).name), name, expert, dtype)


for _name in ("int8", "q8_0", "fp8_e4m3", "fp8_e5m2"):
    FAULTS[f"{_name}-activations"] = Fault(
        f"{_name}-activations", "operands", type("_Q", (_Quantised,), {"name": _name}), HALF_ONLY
    )


@fault("one-expert-of-the-last-token-missing", "bucket")
class _LastPair(LoopRunner):
    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        kept = down.clone()
        kept[-1] = 0
        return super().combine(kept, pairs, routing)


@fault("last-row-of-every-block-missing", "memory")
class _LastRows(LoopRunner):
    """The last pair of every block of 16 pairs of an expert is not computed."""

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        out = super().down(hidden, pairs)
        for _, start, stop in pairs.ranges:
            out[start + 15 : stop : 16] = 0
        return out
