"""A GGUF file under canonical names; data stays in the file until asked for.

Of gguf-py only the dequantisers are used, for types beyond the plain ones.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.gguf.reader import DEFAULT_ALIGNMENT, STRING, MetadataReader
from conformance.precision.checkpoints.stored import gguf_rows
from conformance.precision.formats.ggml import dequantise
from conformance.precision.formats.layouts import from_gguf, interleave
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import DenseTensor, Matrix, MxTensor

_ARCHITECTURE = "general.architecture"
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

_LAYER = {
    "ffn_gate_inp.weight": "router.weight",
    "ffn_gate_inp.bias": "router.bias",
    "ffn_gate_exps.weight": "experts.gate_up",
    "ffn_gate_exps.bias": "experts.gate_up_bias",
    "ffn_down_exps.weight": "experts.down",
    "ffn_down_exps.bias": "experts.down_bias",
    "post_attention_norm.weight": "norm",
    "ffn_norm.weight": "norm",
    "attn_norm.weight": "attention.norm",
    "attn_sinks.weight": "attention.sinks",
    "attn_output.weight": "attention.o.weight",
    "attn_output.bias": "attention.o.bias",
    **{f"attn_{p}.{k}": f"attention.{p}.{k}" for p in "qkv" for k in ("weight", "bias")},
}
_WITH_GATE = ("ffn_up_exps.weight", "ffn_up_exps.bias")  # read together with the gate
_TOP = {"token_embd.weight": "embedding", "output_norm.weight": "final_norm", "output.weight": "unembedding"}


@dataclass(frozen=True)
class _Entry:
    name: str
    shape: tuple[int, ...]  # slowest dimension first
    type: str
    offset: int
    size: int


class GgufStore:
    """The tensors of one GGUF file."""

    kind = "GGUF"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from None
        self.metadata, self.entries = self._header()
        self.own: dict[str, str] = {}
        self.unknown: list[str] = []
        for name in self.entries:
            match = re.fullmatch(r"blk\.(\d+)\.(.+)", name)
            if match and match[2] in _LAYER:
                self.own[f"layers.{match[1]}.{_LAYER[match[2]]}"] = name
            elif name in _TOP:
                self.own[_TOP[name]] = name
            elif not (match and match[2] in _WITH_GATE):
                self.unknown.append(name)
        self._whole()
        self.shape = self._shape()

    def _whole(self) -> None:
        parts = self.metadata.get("split.count")
        if isinstance(parts, int) and parts > 1:
            raise UsageError(
                f"{self.path} is one of {parts} parts: join them with llama-gguf-split --merge, and give the result"
            )

    def _header(self) -> tuple[dict[str, int | float | str], dict[str, _Entry]]:
        """Return the short metadata values, and the tensors by name."""
        metadata: dict[str, int | float | str] = {}
        with self.path.open("rb") as file:
            reader = MetadataReader(file, str(self.path))
            for key, kind in reader.pairs():
                name = key.decode("utf-8", "replace")
                # Long texts, templates among them, and vocabularies are stepped over.
                if kind == STRING and name != _ARCHITECTURE:
                    reader.skip(kind)
                elif (value := reader.value(kind)) is not None:
                    metadata[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            if reader.order != "<":
                raise UsageError(
                    f"{self.path} is written for machines of the other byte order: convert it again"
                )
            tensors = list(reader.tensors())
            end = reader.position
        alignment = metadata.get("general.alignment") or DEFAULT_ALIGNMENT
        if not isinstance(alignment, int) or alignment < 1:
            raise UsageError(f"{self.path} is damaged: general.alignment is {alignment!r}")
        start = -(-end // alignment) * alignment
        entries = {}
        for tensor in tensors:
            last = start + tensor.offset + tensor.size
            if last > len(self.data):
                raise UsageError(
                    f"{self.path} is truncated: {tensor.name} ends at byte {last:,} of {len(self.data):,}, "
                    "fetch it again"
                )
            entries[tensor.name] = _Entry(
                tensor.name, tensor.shape, tensor.type, start + tensor.offset, tensor.size
            )
        return metadata, entries

    def _shape(self) -> LayerShape:
        model = self.metadata.get(_ARCHITECTURE)
        if model != "gpt-oss":
            raise UsageError(
                f"{self.path}: general.architecture is {model!r}, and only gpt-oss layers are judged"
            )

        def number(key: str) -> int:
            value = self.metadata.get(f"gpt-oss.{key}")
            if not isinstance(value, int):
                raise UsageError(
                    f"{self.path}: the metadata gpt-oss.{key} is missing, so the layer has no dimensions"
                )
            return value

        return LayerShape(
            name=self.path.stem,
            hidden=number("embedding_length"),
            intermediate=number("expert_feed_forward_length"),
            experts=number("expert_count"),
            top_k=number("expert_used_count"),
            layers=number("block_count"),
        )

    def names(self) -> list[str]:
        """Return every canonical name present."""
        return list(self.own)

    def where(self, name: str) -> str:
        """Return the file's own name of a tensor."""
        return self.own.get(name, name)

    def encoding(self, name: str) -> str:
        """Return the GGUF type of a tensor."""
        return self._entry(name).type

    def _entry(self, name: str, sibling: str = "") -> _Entry:
        own = self.own.get(name)
        if own and sibling:
            own = own.replace("ffn_gate_exps", sibling)
        if own is None or own not in self.entries:
            raise UsageError(
                f"{self.path}: the tensor {own or name} is missing: the checkpoint is incomplete"
            )
        entry = self.entries[own]
        if sibling and entry.shape != self.entries[self.own[name]].shape:
            raise UsageError(
                f"{self.path}: {self.own[name]} and {own} have shapes {self.entries[self.own[name]].shape} and "
                f"{entry.shape}, which must be equal: the file is damaged"
            )
        return entry

    def _bytes(self, entry: _Entry) -> torch.Tensor:
        # A copy: the map is read-only and may be closed before the tensor is.
        raw = bytearray(self.data[entry.offset : entry.offset + entry.size])
        return torch.frombuffer(raw, dtype=torch.uint8)

    def _numbers(self, entry: _Entry) -> torch.Tensor:
        if entry.type in _PLAIN:
            return self._bytes(entry).view(_PLAIN[entry.type]).reshape(entry.shape)
        if not entry.size:
            raise UnjudgedError(f"{self.path}: {entry.name} has {entry.type}, which is not read")
        return dequantise(self._rows(entry), entry.type, f"{self.path}: {entry.name} is ").reshape(
            entry.shape
        )

    def _rows(self, entry: _Entry) -> torch.Tensor:
        return self._bytes(entry).reshape(*entry.shape[:-1], -1)

    def dense(self, name: str) -> torch.Tensor:
        """Return a tensor that is not an expert matrix as float32; gate and up biases are interleaved."""
        found = self._numbers(self._entry(name)).float()
        if name.endswith("gate_up_bias"):
            return interleave(found, self._numbers(self._entry(name, "ffn_up_exps")).float())
        return found

    def matrix(self, name: str) -> Matrix:
        """Return all experts of an expert matrix; gate and up, separate in GGUF, are interleaved."""
        parts = [self._entry(name)]
        if name.endswith("gate_up"):
            parts.append(self._entry(name, "ffn_up_exps"))
        if all(p.type == "MXFP4" for p in parts):
            packed = [from_gguf(self._bytes(p).reshape(*p.shape[:-1], -1)) for p in parts]
            if len(packed) == 1:
                return MxTensor(*packed[0])
            return MxTensor(interleave(packed[0][0], packed[1][0]), interleave(packed[0][1], packed[1][1]))
        types = {p.type for p in parts}
        if len(types) == 1 and not types & set(_PLAIN) and all(p.size for p in parts):
            names = ("gate", "up") if len(parts) == 2 else ("down",)
            rows = {n: self._rows(p) for n, p in zip(names, parts, strict=True)}
            return gguf_rows(rows, parts[0].type, where=f"{self.path}: {parts[0].name} is ")
        values = [self._numbers(p) for p in parts]
        return DenseTensor(values[0] if len(values) == 1 else interleave(values[0], values[1]))
