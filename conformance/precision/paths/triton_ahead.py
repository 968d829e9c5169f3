"""The Triton kernels compiled side by side before they are called: one after the other they take 15 seconds.

A process compiles its share into Triton's cache on disk, where whoever calls the kernels finds them. It launches
nothing and needs no weights: what is compiled depends on dtypes, tiles and alignment only. Whatever goes wrong here
costs time and no result, since the call itself compiles what is not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import torch

from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.paths.triton_mx import SCALE_BYTES, TritonRunner

SHAPE = LayerShape("ahead", 64, 64, 4, 4, 1)
TOKENS = (1, 8, 64)  # every expert gets each of them: one number for each choice of tiles


def compile_share(number: int, of: int) -> None:
    """Compile one share of the kernels for this machine's card, with what launches them; silent, whatever happens."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with suppress(Exception):
        if find_spec("triton") is None or not torch.cuda.is_available():
            return
        from conformance.precision.paths import triton_kernels

        compile_kernels(Kernels(triton_kernels, number, of, _launcher))


def _launcher(kernel: Any) -> None:
    from triton.runtime import driver

    with suppress(Exception):  # its own C file, compiled too
        driver.active.launcher_cls(kernel.src, kernel.metadata)


def compile_kernels(kernels: Kernels) -> None:
    """Call every kernel the way a run calls it, with `kernels` in the place of the real ones."""
    layer = synthetic_layer(SHAPE, 0, torch.device("cpu"))
    for dtype in SCALE_BYTES:
        runner = TritonRunner(layer, dtype, kernels)
        for count in TOKENS:
            indices = torch.arange(SHAPE.experts).repeat(count, 1)
            weights = torch.ones(indices.shape)
            routing = Routing(weights, indices, weights)
            pairs = Pairs.of(indices, SHAPE.experts)
            tokens = torch.zeros(count, SHAPE.hidden)
            runner.gate_up(tokens, pairs)
            runner.experts(tokens, routing)
        runner.float32_hidden(tokens, pairs)  # asked for on integers only, which are many


class Kernels:
    """The kernels by name: a call compiles where it is this share's turn, and launches nothing."""

    def __init__(
        self, source: Any, number: int, of: int, compiled: Callable[[Any], None] = lambda kernel: None
    ) -> None:
        self.source, self.number, self.of, self.compiled = source, number, of, compiled
        self.seen: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> _Kernel:
        return _Kernel(self, name)


class _Kernel:
    def __init__(self, kernels: Kernels, name: str) -> None:
        self.kernels, self.name = kernels, name

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def call(*args: Any, **options: Any) -> None:
            of_args = tuple(a.dtype for a in args if isinstance(a, torch.Tensor))
            key = (self.name, of_args, tuple(sorted(options.items())))
            if key in self.kernels.seen:
                return
            self.kernels.seen.append(key)
            if (len(self.kernels.seen) - 1) % self.kernels.of == self.kernels.number:
                kernel = getattr(self.kernels.source, self.name)
                self.kernels.compiled(kernel.warmup(*args, grid=grid, **options))

        return call
