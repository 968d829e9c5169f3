"""The weights of one MoE layer, held as published (MXFP4 or dense), given out one expert at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from conformance.precision.formats.floats import FORMATS
from conformance.precision.formats.mx import dequantise
from conformance.precision.model.shape import LayerShape


@dataclass(frozen=True)
class MxTensor:
    """MXFP4 weights of all experts: blocks (E, rows, K/32, 16) uint8, scales (E, rows, K/32) uint8."""

    blocks: torch.Tensor
    scales: torch.Tensor

    def expert(self, index: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return one expert's matrix (rows, K), rounded once to `dtype`."""
        return dequantise(self.blocks[index], self.scales[index], dtype)

    @cached_property
    def scale_range(self) -> tuple[int, int]:
        """The least and greatest scale byte."""
        low, high = torch.aminmax(self.scales)
        return int(low), int(high)


@dataclass(frozen=True)
class DenseTensor:
    """Weights of all experts already dequantised: (E, rows, K) in a float dtype."""

    values: torch.Tensor

    def expert(self, index: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return one expert's matrix (rows, K), rounded once to `dtype`."""
        return self.values[index].to(dtype)


@dataclass(frozen=True)
class StoredTensor(DenseTensor):
    """Weights that a file holds in another format: its numbers, and its own `parts` for a path that reads those.

    GGUF types: `rows` (E, rows, bytes), for gate_up `gate` and `up`. NF4: one `FourBit` an expert.
    """

    format: str
    parts: dict[str, Any]

    def on(self, device: torch.device) -> StoredTensor:
        """Return it on a device; 4-bit parts are moved by the path that reads them."""
        parts = {n: p.to(device) if isinstance(p, torch.Tensor) else p for n, p in self.parts.items()}
        return StoredTensor(self.values.to(device), self.format, parts)


Matrix = MxTensor | DenseTensor


@dataclass
class LayerWeights:
    """One layer's weights; biases, router and norm are float32 tensors holding bfloat16 numbers."""

    shape: LayerShape
    gate_up: Matrix  # rows alternate gate, up
    gate_up_bias: torch.Tensor  # (E, 2 I)
    down: Matrix
    down_bias: torch.Tensor  # (E, H)
    router: torch.Tensor  # (E, H)
    router_bias: torch.Tensor  # (E,)
    norm: torch.Tensor  # (H,), gamma of the norm in front of the layer
    origin: str = "synthetic"
    cache_bytes: int = 0  # how much may be kept dequantised; 0: nothing
    _cache: dict[tuple[str, int, torch.dtype], torch.Tensor] = field(default_factory=dict, repr=False)
    _cached: int = field(default=0, repr=False)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.router.device

    def matrix(self, name: str, expert: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return `gate_up` (2 I, H) or `down` (H, I) of one expert in `dtype`.

        One expert at a time, so that a layer of 128 experts needs no more float32 memory than one of 32.
        """
        key = (name, expert, dtype)
        if key in self._cache:
            return self._cache[key]
        found = self.fresh(name, expert, dtype)
        size = found.numel() * found.element_size()
        if size <= self.cache_bytes - self._cached:
            self._cache[key] = found
            self._cached += size
        return found

    def fresh(self, name: str, expert: int, dtype: torch.dtype) -> torch.Tensor:
        """Return what `matrix` returns, dequantised anew.

        Weights are float32 numbers: what float32 cannot hold (scale bytes 253 and 254) is infinite in float64 too.
        """
        source = self.gate_up if name == "gate_up" else self.down
        if dtype == torch.float64 and isinstance(source, MxTensor) and source.scale_range[1] > 252:
            return source.expert(expert).to(dtype)
        return source.expert(expert, dtype)

    def bias(self, name: str) -> torch.Tensor:
        """Return the bias of `gate_up` (E, 2 I) or `down` (E, H)."""
        return self.gate_up_bias if name == "gate_up" else self.down_bias

    def exact_in(self, name: str, dtype_name: str) -> bool:
        """Whether every weight of a matrix is a number of the format, without rounding (float32 always)."""
        source = self.gate_up if name == "gate_up" else self.down
        if isinstance(source, MxTensor):
            low, high = source.scale_range
            # Subnormals count as held: 2^-24 is the least number of float16, half of 1 at byte 104.
            return low >= 104 and high <= 140 if dtype_name == "float16" else high <= 252
        if dtype_name in ("float32", "float64") or FORMATS[dtype_name].dtype == source.values.dtype:
            return True
        return all(bool((v.to(FORMATS[dtype_name].dtype).to(v.dtype) == v).all()) for v in source.values)

    @property
    def extreme(self) -> bool:
        """Whether squared weights leave float32's range, so that variances need float64."""
        highs = [m.scale_range[1] for m in (self.gate_up, self.down) if isinstance(m, MxTensor)]
        return any(high > 180 for high in highs)

    def changed(self, **parts: object) -> LayerWeights:
        """Return a copy with some parts replaced; what is kept dequantised stays when the matrices do."""
        kept: dict[str, Any] = {}
        if "gate_up" in parts or "down" in parts:
            kept = {"_cache": {}, "_cached": 0}
        return replace(self, **kept, **parts)  # type: ignore[arg-type]  # dataclasses.replace takes any field

    def mapped(self, matrix: str, change: Callable[[MxTensor], MxTensor]) -> LayerWeights:
        """Return a copy whose MXFP4 matrix `gate_up` or `down` went through `change`."""
        source = self.gate_up if matrix == "gate_up" else self.down
        if not isinstance(source, MxTensor):
            raise TypeError("only MXFP4 matrices can be changed block by block")
        return self.changed(**{matrix: change(source)})
