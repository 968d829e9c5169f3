"""Templates in the metadata of a GGUF file, read without reading the vocabulary.

gguf.GGUFReader builds a Python object for each token and merge: 18 s and 1 GB for gpt-oss. This reader skips
through the same bytes in 0.1 s with a window of some 100 kB, and with limits on everything a file can claim.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, either byte order).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

from conformance.errors import UsageError
from conformance.sources.base import (
    MAX_TEMPLATE_BYTES,
    Provenance,
    SourceSettings,
    Template,
    is_lfs_pointer,
    make_template,
    printable,
    register,
)

MAGIC = b"GGUF"
TEMPLATE_KEY = b"tokenizer.chat_template"
LICENCE_KEY = b"general.license"

# Real files have under 100 keys and 700,000 array items in 15 MB of metadata. The limits are far above that
# and keep the time for the most hostile file at a few seconds.
MAX_KEYS = 2**16
MAX_KEY_BYTES = 2**16 - 1  # the format's own limit
MAX_STRING_BYTES = 2**27
MAX_ARRAY_ITEMS = 2**24
MAX_NESTING = 4
MAX_TEMPLATES = 64
MAX_METADATA_BYTES = 2**30

_STRING, _ARRAY = 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_WINDOW = 2**17
_SHARD = re.compile(r"^(?P<stem>.*)-(?P<index>\d{5})-of-(?P<count>\d{5})$")


class GGUFTemplates(msgspec.Struct, frozen=True):
    """What the metadata says about chat templates: raw bytes by key, and the model's licence."""

    templates: dict[str, bytes]
    licence: str | None


def read_gguf(path: Path, location: str) -> GGUFTemplates:
    """Return the chat templates in the metadata of one GGUF file, in the order of the file.

    Raises UsageError if the file is not GGUF, is cut off, or claims absurd lengths.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, location).read()
    except OSError as error:
        raise UsageError(f"cannot read {location}: {error.strerror or error}") from error


class _Reader:
    """Walks through the metadata with a small window over the file."""

    def __init__(self, file: BinaryIO, location: str) -> None:
        self._file = file
        self._location = location
        self._size = file.seek(0, 2)
        self._window = b""
        self._start = 0  # of the window in the file
        self._position = 0
        self._items_left = MAX_ARRAY_ITEMS
        self._u32 = struct.Struct("<I")
        self._u64 = struct.Struct("<Q")

    def read(self) -> GGUFTemplates:
        self._header()
        self._integer(self._u64)  # number of tensors
        keys = self._integer(self._u64)
        if keys > MAX_KEYS:
            self._absurd(f"{keys} metadata keys")
        templates: dict[str, bytes] = {}
        licence = None
        for _ in range(keys):
            key = self._bytes(MAX_KEY_BYTES, "a key")
            kind = self._integer(self._u32)
            if key == TEMPLATE_KEY or key.startswith(TEMPLATE_KEY + b"."):
                name = self._key_text(key)
                if kind != _STRING:
                    raise UsageError(f"{name} in {self._location} is not a string; write it again")
                if name in templates:
                    raise UsageError(f"{self._location} has {name} twice; llama.cpp refuses such a file")
                if len(templates) == MAX_TEMPLATES:
                    self._absurd(f"more than {MAX_TEMPLATES} chat templates")
                templates[name] = self._bytes(MAX_TEMPLATE_BYTES, name)
            elif key == LICENCE_KEY and kind == _STRING:
                licence = self._bytes(MAX_KEY_BYTES, "general.license").decode("utf-8", "replace")
                licence = printable(licence)
            else:
                self._skip(kind, 0)
        return GGUFTemplates(templates, licence)

    def _header(self) -> None:
        magic = self._take(4) if self._size >= 4 else b""
        if magic != MAGIC:
            self._not_gguf()
        version = self._integer(self._u32)
        if version & 0xFFFF == 0 and version:  # written on a machine of the other byte order
            self._u32, self._u64 = struct.Struct(">I"), struct.Struct(">Q")
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
        if is_lfs_pointer(self._file.read(64)):
            raise UsageError(
                f"{self._location} is a Git LFS pointer, not the file itself; run `git lfs pull` first"
            )
        raise UsageError(f"{self._location} is not a GGUF file: it does not begin with the four bytes GGUF")

    def _key_text(self, key: bytes) -> str:
        try:
            return printable(key.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UsageError(
                f"a chat template in {self._location} has a name that is not UTF-8: {key!r}"
            ) from error

    def _need(self, count: int) -> int:
        """Make `count` bytes at the position lie in the window and return where they begin in it."""
        at = self._position - self._start
        if at < 0 or at + count > len(self._window):
            if self._position > MAX_METADATA_BYTES:
                self._absurd(f"more than {MAX_METADATA_BYTES // 2**20} MB of metadata")
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

    def _bytes(self, limit: int, what: str) -> bytes:
        length = self._integer(self._u64)
        if length > limit:
            self._absurd(f"{what} of {length} bytes")
        return self._take(length)

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _SCALAR_BYTES:
            self._position += _SCALAR_BYTES[kind]
        elif kind == _STRING:
            self._skip_strings(1)
        elif kind == _ARRAY:
            self._skip_array(depth + 1)
        else:
            raise UsageError(
                f"{self._location} has a metadata value of unknown type {kind} before byte {self._position}; "
                "the file is damaged"
            )
        if self._position > self._size:
            self._cut_off()

    def _skip_array(self, depth: int) -> None:
        if depth > MAX_NESTING:
            self._absurd(f"arrays nested more than {MAX_NESTING} deep")
        kind = self._integer(self._u32)
        count = self._integer(self._u64)
        # An item that is an array itself takes as long to skip as some 16 strings.
        self._items_left -= count * 16 if kind == _ARRAY else count
        if self._items_left < 0:
            self._absurd(f"an array of {count} items")
        if kind in _SCALAR_BYTES:
            self._position += count * _SCALAR_BYTES[kind]
        elif kind == _STRING:
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
                    self._absurd(f"a string of {length} bytes")
                at += 8 + length
                count -= 1
            self._position = self._start + at

    def _cut_off(self) -> NoReturn:
        raise UsageError(
            f"{self._location} is cut off: its metadata goes on after the last byte ({self._size}); "
            "download or copy it again"
        )

    def _absurd(self, what: str) -> NoReturn:
        raise UsageError(
            f"{self._location} claims {what} before byte {self._position}; the file is damaged or hostile"
        )


@register
class GGUFSource:
    """A GGUF file; of a model in shards any one will do."""

    name = "gguf"

    def claims(self, target: str) -> bool:
        """Return whether the path is a file that is called `.gguf` or begins with the format's magic."""
        path = Path(target)
        if not path.is_file():
            return False
        if path.suffix.lower() == ".gguf":
            return True
        try:
            with path.open("rb") as file:
                return file.read(4) == MAGIC
        except OSError:
            return False

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the templates in the metadata, the default first.

        Raises UsageError if the file is damaged, or has no template and is no shard of one that has.
        """
        path = Path(target)
        found = read_gguf(path, target)
        shard = _SHARD.match(path.stem)
        name = shard["stem"] if shard else path.stem
        location = target
        if not found.templates and shard and int(shard["index"]) != 1:
            path = path.with_name(f"{shard['stem']}-00001-of-{shard['count']}{path.suffix}")
            location = str(path)
            if not path.is_file():
                raise UsageError(
                    f"{target} has no chat template (only the first shard carries it), and {path.name} "
                    "is not beside it; download that shard too"
                )
            found = read_gguf(path, location)
        if not found.templates:
            raise UsageError(
                f"{location} has no chat template in its metadata; convert the model again with the "
                "template, or check the template file by itself"
            )
        prefix = TEMPLATE_KEY.decode() + "."
        return [
            make_template(
                f"{name}#{key.removeprefix(prefix)}" if key.startswith(prefix) else name,
                data,
                Provenance("gguf", location, member=key, licence=found.licence),
            )
            for key, data in sorted(found.templates.items())
        ]
