"""Faults of precision: a right computation, rounded more coarsely or otherwise than declared."""

from __future__ import annotations

import torch

from conformance.precision.faults.base import fault, needs_long_sums
from conformance.precision.formats.floats import torch_dtype
from conformance.precision.formats.quantised import mx_round
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.paths.torch_loop import LoopRunner

HALF_ONLY = ("bfloat16",)


def _partial_sums(rows: torch.Tensor, weight: torch.Tensor, every: int, held: torch.dtype) -> torch.Tensor:
    """Return rows @ weight^T with the running sum stored in `held` after every `every` terms."""
    total = torch.zeros(rows.shape[0], weight.shape[0], dtype=held, device=rows.device)
    left, right = rows.float(), weight.float()
    for start in range(0, rows.shape[1], every):
        part = left[:, start : start + every] @ right[:, start : start + every].T
        total = (total.float() + part).to(held)
    return total.to(rows.dtype)


@fault("float16-accumulator", "accumulator", dtypes=HALF_ONLY, unseen=needs_long_sums)
class _HalfAccumulator(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return _partial_sums(rows.to(dtype), self.layer.matrix(name, expert, dtype), 16, torch.float16)


@fault("bfloat16-partial-sums-of-128", "accumulator", dtypes=HALF_ONLY, unseen=needs_long_sums)
class _BrainPartialSums(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return _partial_sums(rows.to(dtype), self.layer.matrix(name, expert, dtype), 128, torch.bfloat16)


@fault("bfloat16-accumulator", "accumulator", dtypes=HALF_ONLY)
class _BrainAccumulator(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return _partial_sums(rows.to(dtype), self.layer.matrix(name, expert, dtype), 16, torch.bfloat16)


@fault("float64-accumulator", "accumulator", harmless="more exact than declared")
class _DoubleAccumulator(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        weight = self.layer.matrix(name, expert, torch_dtype(self.rounding.weight))
        return (rows.to(dtype).double() @ weight.double().T).to(dtype)


@fault("terms-summed-backwards", "accumulator", harmless="the same sums in another order")
class _Backwards(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        weight = self.layer.matrix(name, expert, torch_dtype(self.rounding.weight))
        return rows.to(dtype).flip(1) @ weight.to(dtype).flip(1).T


def tf32(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values rounded to TF32's 11 bits, ties away from zero as the hardware's conversion does."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


@fault("tf32", "operands", dtypes=("float32",))
class _TF32(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return tf32(rows.float()) @ tf32(self.layer.matrix(name, expert)).T


@fault("bfloat16-operands-in-float32", "operands", dtypes=("float32",))
class _BrainOperands(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return rows.to(torch.bfloat16).float() @ self.layer.matrix(name, expert).T


@fault("mxfp8-activations", "operands", dtypes=HALF_ONLY)
class _MXFP8(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return super().product(mx_round(rows, 3, 8, -6), name, expert, dtype)


@fault("mxfp4-activations", "operands", dtypes=HALF_ONLY)
class _MXFP4(LoopRunner):
    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        return super().product(mx_round(rows, 1, 2, 0), name, expert, dtype)


@fault("truncated-instead-of-rounded", "storage", dtypes=HALF_ONLY)
class _Truncated(LoopRunner):
    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        rows = tokens[pairs.token]
        exact = self.linear("gate_up", rows, pairs, "float32", "float32")
        return (exact.view(torch.int32) & ~0xFFFF).view(torch.float32).to(torch.bfloat16)


@fault("router-in-bfloat16", "storage", dtypes=("float32",))
class _BrainRouter(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        logits = tokens.to(torch.bfloat16) @ self.router.to(torch.bfloat16).T + self.router_bias.to(
            torch.bfloat16
        )
        values, indices = torch.topk(logits.float(), self.layer.shape.top_k, dim=-1)
        return Routing(logits.float(), indices, torch.softmax(values, -1))


@fault("routing-weights-in-float8", "storage", dtypes=HALF_ONLY)
class _Float8Weights(LoopRunner):
    def route(self, tokens: torch.Tensor) -> Routing:
        r = super().route(tokens)
        return Routing(r.logits, r.indices, r.weights.to(torch.float8_e4m3fn).to(r.weights.dtype))


@fault("activation-stored-in-float8", "storage", dtypes=HALF_ONLY)
class _Float8Hidden(LoopRunner):
    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        found = super().swiglu(gate_up)
        return found.to(torch.float8_e4m3fn).to(found.dtype)


@fault("float32-result-through-bfloat16", "storage", dtypes=("float32",))
class _ThroughBrain(LoopRunner):
    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        return super().experts(tokens, routing).to(torch.bfloat16).float()


@fault("stale-autocast-cache", "storage")
class _Stale(LoopRunner):
    """One expert multiplies with the low-precision copy made before the weights were last updated."""

    def product(self, rows: torch.Tensor, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        if expert or name != "down":
            return super().product(rows, name, expert, dtype)
        weight = self.layer.matrix(name, expert, torch.float32)
        before = weight * (1 + 2.0**-5 * torch.sign(weight.roll(1, 1)))  # an update of 3 %
        return rows.to(dtype) @ before.to(dtype).T
