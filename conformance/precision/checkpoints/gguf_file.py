"""A GGUF file read with a small bounded reader, under canonical names; data stays in the file until asked for.

gguf-py's reader takes 18 s and 1 GB on a gpt-oss vocabulary, so only its dequantisers are used, for types beyond
those below. Source of the format: ggml's docs/gguf.md.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.precision.formats.layouts import from_gguf, interleave
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import DenseTensor, Matrix, MxTensor

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# type id: (name, elements per block, bytes per block); the ids of ggml.h
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136),
    30: ("BF16", 1, 2), 39: ("MXFP4", 32, 17),
}  # fmt: skip
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_MAX_ITEMS, _MAX_STRING, _MAX_DEPTH = 1 << 24, 1 << 26, 4

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
        self.at = 0
        try:
            self.metadata, self.entries = self._header()
        except (struct.error, IndexError, UnicodeDecodeError):
            raise UsageError(
                f"{path} is truncated: its header ends at byte {len(self.data):,}, fetch it again"
            ) from None
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

    def _take(self, layout: str) -> Any:
        if self.at > len(self.data):  # a length led beyond the end, and maybe beyond what struct counts to
            raise UsageError(f"{self.path} is damaged: it ends before byte {self.at:,}")
        found = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return found[0]

    def _string(self, limit: int = _MAX_STRING) -> str:
        length = self._take("Q")
        if length > limit or self.at + length > len(self.data):
            raise UsageError(f"{self.path} is damaged at byte {self.at:,}: a string of {length:,} bytes")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", "replace")

    def _value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self._take(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY or depth > _MAX_DEPTH:
            raise UsageError(f"{self.path} is damaged at byte {self.at:,}: there is no value type {kind}")
        inner, count = self._take("I"), self._take("Q")
        if count > _MAX_ITEMS:
            raise UsageError(f"{self.path} is damaged at byte {self.at:,}: an array of {count:,} items")
        if inner in _SCALARS:
            self.at += count * struct.calcsize(_SCALARS[inner])
            return None
        for _ in range(count):  # vocabularies: stepped over, not kept
            if inner == _STRING:
                length = self._take("Q")
                self.at += length
            else:
                self._value(inner, depth + 1)
        return None

    def _header(self) -> tuple[dict[str, Any], dict[str, _Entry]]:
        if self.data[:4] != b"GGUF":
            raise UsageError(f"{self.path} is no GGUF file: it does not begin with GGUF")
        self.at = 4
        version = self._take("I")
        if version not in (2, 3):
            raise UsageError(f"{self.path}: GGUF version {version} is not read, only 2 and 3 (little-endian)")
        tensors, pairs = self._take("Q"), self._take("Q")
        if tensors > _MAX_ITEMS or pairs > _MAX_ITEMS:
            raise UsageError(
                f"{self.path} is damaged: it claims {tensors:,} tensors and {pairs:,} metadata pairs"
            )
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._string(1 << 16)
            metadata[key] = self._value(self._take("I"))
        found = []
        for _ in range(tensors):
            name = self._string(1 << 16)
            dimensions = self._take("I")
            if dimensions > 8:
                raise UsageError(
                    f"{self.path}: the tensor {name} has {dimensions} dimensions: the file is damaged"
                )
            shape = tuple(self._take("Q") for _ in range(dimensions))[::-1]
            found.append((name, shape, self._take("I"), self._take("Q")))
        alignment = metadata.get("general.alignment") or 32
        if not isinstance(alignment, int) or alignment < 1:
            raise UsageError(f"{self.path} is damaged: general.alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        entries = {}
        for name, shape, kind, offset in found:
            if kind not in _TYPES:
                entries[name] = _Entry(name, shape, f"type {kind}", start + offset, 0)
                continue
            label, elements, size = _TYPES[kind]
            total = prod(shape) // elements * size
            if start + offset + total > len(self.data):
                raise UsageError(
                    f"{self.path} is truncated: {name} ends at byte {start + offset + total:,} of {len(self.data):,}, "
                    "fetch it again"
                )
            entries[name] = _Entry(name, shape, label, start + offset, total)
        return metadata, entries

    def _shape(self) -> LayerShape:
        model = self.metadata.get("general.architecture")
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
        try:
            from gguf import GGMLQuantizationType
            from gguf.quants import dequantize
        except ImportError:
            raise UnjudgedError(
                f"{self.path}: {entry.name} is {entry.type}, which gguf-py dequantises: pip install gguf"
            ) from None
        rows = self._bytes(entry).reshape(prod(entry.shape[:-1]), -1).numpy()
        return torch.from_numpy(dequantize(rows, GGMLQuantizationType[entry.type])).reshape(entry.shape)

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
        values = [self._numbers(p) for p in parts]
        return DenseTensor(values[0] if len(values) == 1 else interleave(values[0], values[1]))
