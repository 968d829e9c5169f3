"""The own Triton path: the whole MoE on MXFP4 weights through `tl.dot_scaled`, bfloat16 and float16 activations."""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from conformance.precision.formats.floats import torch_dtype
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import fused
from conformance.precision.model.weights import LayerWeights, MxTensor
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath

SCALE_BYTES = {"bfloat16": (1, 251), "float16": (104, 140)}  # that the products survive
FORMAT = {"bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class Tiles:
    """Block sizes and launch settings of one kernel."""

    bm: int
    bn: int
    bk: int
    warps: int
    stages: int


# Chosen by timing on an H200 at 1, 64 and 1,024 tokens of the 20b layer.
FEW = Tiles(16, 32, 128, 2, 3)
SOME = Tiles(16, 64, 128, 4, 4)
MANY = Tiles(128, 64, 128, 4, 3)


@dataclass(frozen=True)
class Schedule:
    """Which expert each block of rows belongs to, and which pairs it covers; all on the device, without a sync."""

    tiles: Tiles
    expert: torch.Tensor  # -1: the block is not needed
    start: torch.Tensor
    stop: torch.Tensor

    @property
    def blocks(self) -> int:
        """Number of blocks launched."""
        return int(self.expert.shape[0])


def schedule(experts: torch.Tensor, count: int) -> Schedule:
    """Return the schedule of pairs sorted by expert: expert indices (P,) of `count` experts."""
    pairs = experts.shape[0]
    per_expert = pairs / count
    tiles = FEW if per_expert <= 2 else SOME if per_expert <= 24 else MANY
    numbers = torch.arange(count, device=experts.device)
    counts = (experts.unsqueeze(1) == numbers).sum(0)
    needed = (counts + tiles.bm - 1) // tiles.bm
    ends = needed.cumsum(0)
    limit = min(pairs, pairs // tiles.bm + count)
    block = torch.arange(limit, device=experts.device)
    owner = torch.searchsorted(ends, block, right=True)
    used = owner < count
    owner = owner.clamp_max(count - 1)
    first = counts.cumsum(0) - counts
    start = first[owner] + (block - (ends[owner] - needed[owner])) * tiles.bm
    stop = (first + counts)[owner]
    return Schedule(
        tiles,
        torch.where(used, owner, -1).to(torch.int32),
        start.to(torch.int32),
        stop.to(torch.int32),
    )


def one_by_one(experts: torch.Tensor) -> Schedule:
    """Return a schedule that gives each pair, in any order, a block of its own: no sort for a decoding step."""
    at = torch.arange(experts.shape[0], device=experts.device, dtype=torch.int32)
    return Schedule(FEW, experts.to(torch.int32), at, at + 1)


class TritonRunner(PathRunner):
    """A layer's packed weights, run through the kernels: ours, or a module with the same names."""

    def __init__(self, layer: LayerWeights, dtype: str, kernels: Any = None) -> None:
        if kernels is None:
            from conformance.precision.paths import triton_kernels as kernels  # where there is a GPU only

        if not isinstance(layer.gate_up, MxTensor) or not isinstance(layer.down, MxTensor):
            raise TypeError("the Triton path reads MXFP4 weights only")
        self.kernels: Any = kernels
        self.layer = layer
        self.format = FORMAT[dtype]
        self.dtype = torch_dtype(dtype)
        self.parts = {
            name: (
                matrix.blocks.contiguous(),
                matrix.scales.contiguous(),
                layer.bias(name).float().contiguous(),
            )
            for name, matrix in (("gate_up", layer.gate_up), ("down", layer.down))
        }
        self.router = layer.router.to(self.dtype)
        self.router_bias = layer.router_bias.to(self.dtype)

    def route(self, tokens: torch.Tensor) -> Routing:
        logits = torch.nn.functional.linear(tokens.to(self.dtype), self.router, self.router_bias)
        values, indices = torch.topk(logits, self.layer.shape.top_k, dim=-1)
        return Routing(logits, indices, torch.softmax(values.float(), dim=-1))

    def first(
        self, tokens: torch.Tensor, pair_token: torch.Tensor, plan: Schedule, keep: bool, stored: torch.dtype
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Return (gate_up (P, 2 I) float32 when kept, hidden (P, I) in `stored`)."""
        tokens = tokens.contiguous()  # the kernel knows no strides
        blocks, scales, bias = self.parts["gate_up"]
        rows, width = bias.shape[1], tokens.shape[1]
        pairs = pair_token.shape[0]
        kept = torch.empty(pairs if keep else 0, rows, dtype=torch.float32, device=tokens.device)
        hidden = torch.empty(pairs, rows // 2, dtype=stored, device=tokens.device)
        t = plan.tiles
        shape = self.layer.shape
        self.kernels.gate_up_kernel[(-(-rows // t.bn), plan.blocks)](
            tokens, blocks, scales, bias, kept, hidden, pair_token, plan.expert, plan.start, plan.stop,
            width, rows, shape.alpha, shape.limit,
            FORMAT=self.format, KEEP_GATE_UP=keep, BM=t.bm, BN=t.bn, BK=t.bk, num_warps=t.warps, num_stages=t.stages,
        )  # fmt: skip
        return (kept if keep else None), hidden

    def second(self, hidden: torch.Tensor, plan: Schedule) -> torch.Tensor:
        """Return down (P, H) float32 of hidden (P, I)."""
        blocks, scales, bias = self.parts["down"]
        rows = bias.shape[1]
        down = torch.empty(hidden.shape[0], rows, dtype=torch.float32, device=hidden.device)
        t = plan.tiles
        self.kernels.down_kernel[(-(-rows // t.bn), plan.blocks)](
            hidden, blocks, scales, bias, down, plan.expert, plan.start, plan.stop, hidden.shape[1], rows,
            FORMAT=self.format, BM=t.bm, BN=t.bn, BK=t.bk, num_warps=t.warps, num_stages=t.stages,
        )  # fmt: skip
        return down

    def third(self, down: torch.Tensor, weights: torch.Tensor, pair_at: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum (T, H); pair_at (T, k) says in which row of down each slot lies."""
        tokens, top_k = weights.shape
        output = torch.empty(tokens, down.shape[1], dtype=self.dtype, device=down.device)
        self.kernels.combine_kernel[(-(-down.shape[1] // 512), tokens)](
            down, weights, pair_at, output, down.shape[1], K=top_k, BN=512
        )
        return output

    def _plan(self, pairs: Pairs) -> Schedule:
        return schedule(pairs.expert, self.layer.shape.experts)

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        kept, _ = self.first(
            tokens.to(self.dtype), pairs.token.to(torch.int32), self._plan(pairs), True, torch.float32
        )
        if kept is None:
            raise RuntimeError("the kernel was not asked to keep gate_up")
        return kept

    def _hidden(self, tokens: torch.Tensor, pairs: Pairs, stored: torch.dtype) -> torch.Tensor:
        return self.first(
            tokens.to(self.dtype), pairs.token.to(torch.int32), self._plan(pairs), False, stored
        )[1]

    def hidden(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return self._hidden(tokens, pairs, self.dtype)

    def float32_hidden(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return self._hidden(tokens, pairs, torch.float32)

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return self.second(hidden.to(self.dtype).contiguous(), self._plan(pairs))

    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor:
        place = torch.empty_like(routing.indices, dtype=torch.int32)
        place[pairs.token, pairs.slot] = torch.arange(down.shape[0], device=down.device, dtype=torch.int32)
        return self.third(down.float().contiguous(), routing.weights.float().contiguous(), place)

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        flat = routing.indices.flatten()
        top_k = routing.indices.shape[1]
        rows = tokens.to(self.dtype)
        if flat.shape[0] <= 16:
            plan = one_by_one(flat)
            pair_token = (plan.start // top_k).to(torch.int32)
            place = plan.start
        else:
            ordered, order = torch.sort(flat, stable=True)
            plan = schedule(ordered, self.layer.shape.experts)
            pair_token = (order // top_k).to(torch.int32)
            place = torch.argsort(order).to(torch.int32)
        _, hidden = self.first(rows, pair_token, plan, False, self.dtype)
        return self.third(self.second(hidden, plan), routing.weights.float().contiguous(), place)

    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        return residual.to(self.dtype) + combined.to(self.dtype)


def _unsupported(device: torch.device, layer: LayerWeights) -> str | None:
    if device.type != "cuda":
        return "the Triton path needs a GPU: Triton's interpreter has no dot_scaled"
    if find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "Triton's dot_scaled needs compute capability 8.0 or later"
    if not isinstance(layer.gate_up, MxTensor):
        return "the Triton path reads MXFP4 weights, and these are dense"
    if layer.shape.hidden % 64 or layer.shape.intermediate % 64:
        return "the Triton path needs hidden and intermediate sizes that are multiples of 64"
    return None


@PATHS.named("triton_mx")
def paths() -> list[PrecisionPath]:
    """Return the path with bfloat16 and with float16 activations."""
    return [_path(dtype, held) for dtype, held in SCALE_BYTES.items()]


def _path(dtype: str, scale_bytes: tuple[int, int]) -> PrecisionPath:
    rounding = fused(dtype)
    return PrecisionPath(
        f"triton-mxfp4-{dtype}",
        dtype,
        rounding,
        lambda layer: TritonRunner(layer, dtype),
        _unsupported,
        scale_bytes=scale_bytes,
        packed=True,
        timed=dtype == "bfloat16",
        trusted=True,
    )
