"""A real checkpoint, read layer by layer: HF or OpenAI safetensors, or GGUF, under one set of names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from conformance.errors import UsageError
from conformance.precision.checkpoints.gguf_file import GgufStore
from conformance.precision.checkpoints.safetensors_folder import SafetensorsStore
from conformance.precision.formats.mx import BLOCK, NAN_SCALE
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import DenseTensor, LayerWeights, Matrix, MxTensor, StoredTensor


class Store(Protocol):
    """What a container of weights offers; names are canonical, such as `layers.3.router.weight`."""

    path: Path
    kind: str
    shape: LayerShape
    unknown: list[str]  # own names of tensors that have no canonical one

    def names(self) -> list[str]:
        """Return every canonical name present."""

    def where(self, name: str) -> str:
        """Return the container's own name of a tensor, for messages."""

    def dense(self, name: str) -> torch.Tensor:
        """Return a tensor that is not an expert matrix as float32."""

    def matrix(self, name: str) -> Matrix:
        """Return all experts of `layers.N.experts.gate_up` (E, 2 I, H) or `.down` (E, H, I)."""

    def encoding(self, name: str) -> str:
        """Return how the container holds a tensor: MXFP4, BF16, Q8_0, ..."""


@dataclass(frozen=True)
class Checkpoint:
    """A store with what a layer needs; `layers` are the indices it holds."""

    store: Store
    shape: LayerShape
    layers: tuple[int, ...]

    def layer(self, index: int, device: torch.device) -> LayerWeights:
        """Return one layer's weights on a device.

        Raises UsageError for a missing or mis-shaped tensor, a NaN scale, or numbers that are not finite.
        """
        store, s = self.store, self.shape
        prefix = f"layers.{index}."

        def dense(name: str, *size: int) -> torch.Tensor:
            found = store.dense(prefix + name)
            self._sized(prefix + name, found, size)
            if not bool(torch.isfinite(found).all()):
                raise UsageError(
                    f"{store.path}: {store.where(prefix + name)} holds numbers that are not finite"
                )
            return found.to(device)

        def matrix(name: str, rows: int, width: int) -> Matrix:
            found = store.matrix(prefix + name)
            if isinstance(found, MxTensor):
                self._sized(prefix + name, found.scales, (s.experts, rows, width // BLOCK))
                self._sized(prefix + name, found.blocks, (s.experts, rows, width // BLOCK, BLOCK // 2))
                self._no_nan(prefix + name, found.scales)
                return MxTensor(found.blocks.to(device), found.scales.to(device))
            self._sized(prefix + name, found.values, (s.experts, rows, width))
            for expert, values in enumerate(found.values):  # one at a time: no copy of the whole
                if not bool(torch.isfinite(values).all()):
                    raise UsageError(
                        f"{store.path}: {store.where(prefix + name)} holds numbers that are not finite, the first in "
                        f"expert {expert}"
                    )
            if isinstance(found, StoredTensor):
                return found.on(device)
            return DenseTensor(found.values.to(device))

        return LayerWeights(
            shape=s,
            gate_up=matrix("experts.gate_up", 2 * s.intermediate, s.hidden),
            gate_up_bias=dense("experts.gate_up_bias", s.experts, 2 * s.intermediate),
            down=matrix("experts.down", s.hidden, s.intermediate),
            down_bias=dense("experts.down_bias", s.experts, s.hidden),
            router=dense("router.weight", s.experts, s.hidden),
            router_bias=dense("router.bias", s.experts),
            norm=dense("norm", s.hidden),
            origin=f"{self.store.path} layer {index} ({store.encoding(prefix + 'experts.gate_up')})",
        )

    def _sized(self, name: str, found: torch.Tensor, wanted: tuple[int, ...]) -> None:
        if tuple(found.shape) != wanted:
            raise UsageError(
                f"{self.store.path}: {self.store.where(name)} has shape {tuple(found.shape)}, where the configuration "
                f"asks for {wanted}: the file and its configuration do not belong together"
            )

    def _no_nan(self, name: str, scales: torch.Tensor) -> None:
        wrong = (scales == NAN_SCALE).nonzero()
        if wrong.numel():
            expert, row, block = (int(i) for i in wrong[0])
            raise UsageError(
                f"{self.store.path}: {self.store.where(name)} has {wrong.shape[0]} NaN scales (byte 255), the first "
                f"at expert {expert}, row {row}, block {block}: the checkpoint is damaged, fetch it again"
            )


def open_store(path: Path) -> Store:
    """Return the store of a safetensors folder or file, or of a GGUF file.

    Raises UsageError when there is none at the path.
    """
    if path.is_dir() or path.suffix == ".safetensors":
        return SafetensorsStore(path)
    if path.suffix == ".gguf":
        return GgufStore(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist: give a folder of safetensors, or a .gguf file")
    raise UsageError(f"{path} is neither a folder of safetensors nor a .gguf file")


def open_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint with its layers.

    Raises UsageError when the container cannot be read or holds no MoE layer.
    """
    store = open_store(path)
    layers = tuple(sorted({int(n.split(".")[1]) for n in store.names() if n.endswith(".experts.gate_up")}))
    if not layers:
        raise UsageError(f"{path} holds no expert weights of a gpt-oss layer")
    _sensible(path, store.shape)
    return Checkpoint(store, store.shape, layers)


def _sensible(path: Path, shape: LayerShape) -> None:
    """Raise UsageError when a configuration describes no MoE layer."""
    wrong = ""
    for name, size in (("hidden", shape.hidden), ("intermediate", shape.intermediate)):
        if size < BLOCK or size % BLOCK:
            wrong = f"the {name} size {size} is no positive multiple of {BLOCK}"
    if not 1 <= shape.top_k <= shape.experts:
        wrong = f"{shape.top_k} of {shape.experts} experts cannot be chosen for a token"
    if not 0 < shape.alpha < float("inf"):
        wrong = f"swiglu_alpha {shape.alpha} is no positive number"
    if not 0 < shape.limit < float("inf"):
        wrong = f"the clamp limit {shape.limit} is no positive number"
    if wrong:
        raise UsageError(f"{path}: {wrong}: the configuration is damaged")


def expert_chunks(store: Store, name: str) -> Iterator[torch.Tensor]:
    """Yield a tensor in a dtype that holds it, one expert at a time where it has experts.

    Raises UsageError when blocks and scales do not belong together.
    """
    if name.endswith(("experts.gate_up", "experts.down")):
        found = store.matrix(name)
        if isinstance(found, MxTensor) and found.blocks.shape != (*found.scales.shape, BLOCK // 2):
            raise UsageError(
                f"{store.path}: {store.where(name)} has blocks {tuple(found.blocks.shape)} and scales "
                f"{tuple(found.scales.shape)}, which do not belong together"
            )
        count = found.scales.shape[0] if isinstance(found, MxTensor) else found.values.shape[0]
        wide = (
            isinstance(found, MxTensor) and found.scale_range[1] > 252
        )  # float32 would make them all infinite
        for expert in range(count):
            yield found.expert(expert, torch.float64 if wide else torch.float32)
    else:
        yield store.dense(name)
