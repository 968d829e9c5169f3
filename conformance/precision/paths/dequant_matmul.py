"""Dequantise the active experts on every call, then multiply: what code without an MXFP4 kernel does."""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance.precision.formats.floats import torch_dtype
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import uniform
from conformance.precision.paths.base import PATHS, PrecisionPath, always, held_scales
from conformance.precision.paths.torch_loop import LoopRunner


class DequantRunner(LoopRunner):
    """Products by `addmm` with the bias inside; activation, weighting and sum in float32."""

    def linear(self, name: str, rows: torch.Tensor, pairs: Pairs, product: str, stored: str) -> torch.Tensor:
        dtype = torch_dtype(product)
        bias = self.layer.bias(name).to(dtype)
        out = torch.empty(rows.shape[0], bias.shape[1], dtype=dtype, device=rows.device)
        for expert, start, stop in pairs.ranges:
            weight = self.layer.fresh(name, expert, dtype)  # on every call: nothing is kept
            out[start:stop] = torch.addmm(bias[expert], rows[start:stop].to(dtype), weight.T)
        return out

    def planned(self, tokens: torch.Tensor, routing: Routing) -> Callable[[], object]:
        pairs = Pairs.of(
            routing.indices, self.layer.shape.experts
        )  # waits for the device, so it is done before
        return lambda: self.combine(
            self.down(self.swiglu(self.gate_up(tokens, pairs)), pairs), pairs, routing
        )


@PATHS.named("dequant_matmul")
def paths() -> list[PrecisionPath]:
    """Return the path in bfloat16 and float16."""
    return [_path(dtype) for dtype in ("bfloat16", "float16")]


def _path(dtype: str) -> PrecisionPath:
    rounding = uniform(dtype, bias_apart=False).but(
        swiglu="float32",
        weighted="float32",
        combine="float32",
        combine_sequential=False,
        routing_weight="float32",
    )
    return PrecisionPath(
        f"dequant-matmul-{dtype}",
        dtype,
        rounding,
        lambda layer: DequantRunner(layer, rounding),
        always,
        scale_bytes=held_scales(dtype),
        trusted=True,
        timed=dtype == "bfloat16",
    )
