"""Reads the head of a GGUF file, metadata and list of tensors, piece by piece, without reading the vocabulary.

gguf.GGUFReader builds a Python object for each token and merge: 18 s and 1 GB for gpt-oss. This reader skips
through the same bytes in 0.1 s with a window of some 100 kB, and with limits on everything a file can claim.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, either byte order).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from typing import BinaryIO, NoReturn, TypeAlias

from conformance.errors import UsageError

MAGIC = b"GGUF"
# What git checks out in place of a file kept in Git LFS begins so.
LFS_POINTER = b"version https://git-lfs"

# Real files have under 100 keys and 700,000 array items in 15 MB of metadata. The limits are far above that
# and keep the time for the most hostile file at a few seconds.
MAX_KEYS = 2**16
MAX_KEY_BYTES = 2**16 - 1  # the format's own limit
MAX_STRING_BYTES = 2**27
MAX_ARRAY_ITEMS = 2**24
MAX_NESTING = 4
MAX_METADATA_BYTES = 2**30
MAX_TENSORS = 2**20
MAX_DIMENSIONS = 8
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = b"general.alignment"

STRING, ARRAY = 8, 9
# Types of tensors by the numbers of ggml.h: name, elements per block, bytes per block.
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_SCALAR_FORMS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"
}  # fmt: skip
_WINDOW = 2**17

Value: TypeAlias = int | float | bool | bytes


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's description: its shape, slowest dimension first, the number of its type, where its data begin.

    `offset` is counted from the begin of all tensor data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def type(self) -> str:
        """The name of the type, `type N` for one that is not known here."""
        return TENSOR_TYPES[self.kind][0] if self.kind in TENSOR_TYPES else f"type {self.kind}"

    @property
    def size(self) -> int:
        """How many bytes the data have, 0 for a type that is not known here."""
        _, elements, size = TENSOR_TYPES.get(self.kind, ("", 1, 0))
        return prod(self.shape) // elements * size


class MetadataReader:
    """Walks through the metadata of an open file with a small window over it.

    All methods raise UsageError, in a sentence that names `location`, if the file is not GGUF, is cut off, or
    claims absurd lengths.
    """

    def __init__(self, file: BinaryIO, location: str) -> None:
        self._file = file
        self._location = location
        self._size = file.seek(0, 2)
        self._window = b""
        self._start = 0  # of the window in the file
        self._position = 0
        self._items_left = MAX_ARRAY_ITEMS
        self._order = "<"
        self._u32 = struct.Struct("<I")
        self._u64 = struct.Struct("<Q")

    def pairs(self) -> Iterator[tuple[bytes, int]]:
        """Yield each key with the type of its value, which has to be read or skipped before the next."""
        self._header()
        self._tensors = self._integer(self._u64)
        keys = self._integer(self._u64)
        if keys > MAX_KEYS:
            self.absurd(f"{keys} metadata keys")
        for _ in range(keys):
            key = self.string(MAX_KEY_BYTES, "a key")
            yield key, self._integer(self._u32)

    def tensors(self) -> Iterator[Tensor]:
        """Yield the description of each tensor; to be called when all pairs were read or skipped."""
        if self._tensors > MAX_TENSORS:
            self.absurd(f"{self._tensors} tensors")
        for _ in range(self._tensors):
            name = self.string(MAX_KEY_BYTES, "a tensor's name").decode("utf-8", "replace")
            dimensions = self._integer(self._u32)
            if dimensions > MAX_DIMENSIONS:
                self.absurd(f"a tensor of {dimensions} dimensions")
            shape = tuple(self._integer(self._u64) for _ in range(dimensions))[::-1]
            yield Tensor(name, shape, self._integer(self._u32), self._integer(self._u64))

    @property
    def position(self) -> int:
        """Where in the file the next thing to be read begins."""
        return self._position

    @property
    def order(self) -> str:
        """The byte order of the file, `<` or `>`, as struct writes it."""
        return self._order

    def _header(self) -> None:
        magic = self._take(4) if self._size >= 4 else b""
        if magic != MAGIC:
            self._not_gguf()
        version = self._integer(self._u32)
        if version & 0xFFFF == 0 and version:  # written on a machine of the other byte order
            self._order, self._u32, self._u64 = ">", struct.Struct(">I"), struct.Struct(">Q")
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version == 1:
            raise UsageError(
                f"{self._location} is GGUF version 1 of August 2023, which llama.cpp no longer reads either; "
                "convert the model again"
            )
        if version not in (2, 3):
            raise UsageError(f"{self._location} is GGUF version {version}; only versions 2 and 3 are known")

    def _not_gguf(self) -> NoReturn:
        self._file.seek(0)
        if self._file.read(64).startswith(LFS_POINTER):
            raise UsageError(
                f"{self._location} is a Git LFS pointer, not the file itself; run `git lfs pull` first"
            )
        raise UsageError(f"{self._location} is not a GGUF file: it does not begin with the four bytes GGUF")

    def _need(self, count: int) -> int:
        """Make `count` bytes at the position lie in the window and return where they begin in it."""
        at = self._position - self._start
        if at < 0 or at + count > len(self._window):
            if self._position > MAX_METADATA_BYTES:
                self.absurd(f"more than {MAX_METADATA_BYTES // 2**20} MB of metadata")
            if self._position + count > self._size:
                self._cut_off()
            self._file.seek(self._position)
            self._window = self._file.read(max(count, _WINDOW))
            self._start, at = self._position, 0
            if len(self._window) < count:  # the file shrank while it was read
                self._cut_off()
        return at

    def _take(self, count: int) -> bytes:
        at = self._need(count)
        self._position += count
        return self._window[at : at + count]

    def _integer(self, form: struct.Struct) -> int:
        at = self._need(form.size)
        self._position += form.size
        value: int = form.unpack_from(self._window, at)[0]
        return value

    def string(self, limit: int, what: str) -> bytes:
        """Read a string of at most `limit` bytes; `what` names it in the complaint about a longer one."""
        length = self._integer(self._u64)
        if length > limit:
            self.absurd(f"{what} of {length} bytes")
        return self._take(length)

    def value(self, kind: int) -> Value | None:
        """Read a number, a truth value or a string of at most 64 kB; anything else is passed over, for None."""
        if kind == STRING:
            return self.string(MAX_KEY_BYTES, "a short text")
        if kind not in _SCALAR_BYTES:
            self.skip(kind)
            return None
        data = self._take(_SCALAR_BYTES[kind])
        value: Value = struct.unpack(self._order + _SCALAR_FORMS[kind], data)[0]
        return value

    def skip(self, kind: int) -> None:
        """Pass over a value of this type."""
        self._skip(kind, 0)

    def picked(self, positions: Collection[int]) -> dict[int, Value]:
        """Read an array's items at some positions only, those that it has; arrays in it are passed over."""
        kind, count = self._array_head()
        items: dict[int, Value] = {}
        done = 0
        for position in sorted(positions):
            if done <= position < count:
                self._skip_items(kind, position - done, 1)
                item = self.value(kind)
                if item is not None:
                    items[position] = item
                done = position + 1
        self._skip_items(kind, count - done, 1)
        self._inside()
        return items

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _SCALAR_BYTES:
            self._position += _SCALAR_BYTES[kind]
        elif kind == STRING:
            self._skip_strings(1)
        elif kind == ARRAY:
            self._skip_array(depth + 1)
        else:
            raise UsageError(
                f"{self._location} has a metadata value of unknown type {kind} before byte {self._position}; "
                "the file is damaged"
            )
        self._inside()

    def _inside(self) -> None:
        if self._position > self._size:
            self._cut_off()

    def _skip_array(self, depth: int) -> None:
        if depth > MAX_NESTING:
            self.absurd(f"arrays nested more than {MAX_NESTING} deep")
        kind, count = self._array_head()
        self._skip_items(kind, count, depth)

    def _array_head(self) -> tuple[int, int]:
        """Read the type of an array's items and how many there are."""
        kind = self._integer(self._u32)
        count = self._integer(self._u64)
        # An item that is an array itself takes as long to skip as some 16 strings.
        self._items_left -= count * 16 if kind == ARRAY else count
        if self._items_left < 0:
            self.absurd(f"an array of {count} items")
        return kind, count

    def _skip_items(self, kind: int, count: int, depth: int) -> None:
        if kind in _SCALAR_BYTES:
            self._position += count * _SCALAR_BYTES[kind]
        elif kind == STRING:
            self._skip_strings(count)
        else:
            for _ in range(count):
                self._skip(kind, depth)

    def _skip_strings(self, count: int) -> None:
        # The hot loop: 650,000 turns for gpt-oss, hence local names and a test of the window only.
        unpack = self._u64.unpack_from
        while count:
            at = self._need(8)
            window, last = self._window, len(self._window) - 8
            while count and at <= last:
                length = unpack(window, at)[0]
                if length > MAX_STRING_BYTES:
                    self._position = self._start + at
                    self.absurd(f"a string of {length} bytes")
                at += 8 + length
                count -= 1
            self._position = self._start + at

    def _cut_off(self) -> NoReturn:
        raise UsageError(
            f"{self._location} is cut off: its metadata goes on after the last byte ({self._size}); "
            "download or copy it again"
        )

    def absurd(self, what: str) -> NoReturn:
        """Refuse the file for what it claims."""
        raise UsageError(
            f"{self._location} claims {what} before byte {self._position}; the file is damaged or hostile"
        )
