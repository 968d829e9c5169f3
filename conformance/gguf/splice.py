"""Writes a copy of a GGUF file with another chat template: only its head is made anew, the tensors are copied once.

Offsets of tensors count from the begin of their data, so that a longer template moves the data as one piece and changes
no description. gguf-py would read the file three times, and builds an object for each token and merge.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from conformance.errors import UsageError
from conformance.gguf.reader import (
    ALIGNMENT_KEY,
    DEFAULT_ALIGNMENT,
    STRING,
    MetadataReader,
)

_CHUNK = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Head:
    """What comes before the data of the tensors: pairs and descriptions of tensors, as bytes of the file.

    `start` to `stop` is the one value to be replaced, `end` where the descriptions of the tensors end.
    """

    pairs: list[tuple[bytes, int, bytes]]
    tensors: bytes
    order: str
    alignment: int
    start: int
    stop: int
    end: int

    def text(self, template: str) -> bytes:
        """Return a template as the value of a pair."""
        data = template.encode("utf-8")
        return struct.pack(f"{self.order}Q", len(data)) + data

    def padding(self, end: int) -> int:
        """Return how many bytes stand between a head that ends there and the data."""
        return -end % self.alignment


def write_gguf(source: Path, output: Path, key: str, template: str) -> None:
    """Write `output` as a copy of `source` whose metadata key holds another template.

    The new file appears only when it is complete and its head was read back: the same pairs in the same order but for
    the template, the same tensors at the same places. Raises UsageError when the source cannot be read, there is no
    room, or the copy is not that.
    """
    _refuse_same(source, output)
    _room(source, output)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{output.name}.", suffix=".part", dir=output.parent)
        with source.open("rb") as old, os.fdopen(handle, "wb") as new:
            head = _head(old, source.name, key)
            _copy(old, new, head, template)
            size = old.seek(0, os.SEEK_END)
        part = Path(temporary)
        _prove(part, head, size, key, template)
        os.chmod(part, source.stat().st_mode & 0o777)
        os.replace(part, output)
        temporary = None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UsageError(_no_room(output)) from None
        raise UsageError(f"cannot write {output}: {error.strerror or error}; name another file") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _head(file: BinaryIO, name: str, key: str) -> _Head:
    reader = MetadataReader(file, name)
    pairs: list[tuple[bytes, int, int, int]] = []
    alignment = DEFAULT_ALIGNMENT
    for found, kind in reader.pairs():
        start = reader.position
        if found == ALIGNMENT_KEY:
            value = reader.value(kind)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} has a general.alignment of {value!r}; the file is damaged")
            alignment = value
        else:
            reader.skip(kind)
        pairs.append((found, kind, start, reader.position))
    places = [(start, stop) for found, kind, start, stop in pairs if found == key.encode() and kind == STRING]
    if len(places) != 1:
        raise UsageError(f"{name} has {key} {len(places)} times as a text; there is no {key} to replace")
    first = reader.position
    reach = [(tensor.offset + tensor.size, tensor.name) for tensor in reader.tensors()]
    end = reader.position
    needed, last = max(reach, default=(0, ""))
    if last and needed > file.seek(0, os.SEEK_END) - end - (-end % alignment):
        raise UsageError(
            f"{name} is cut off: it ends before the data of {last} do; download or copy it again"
        )
    start, stop = places[0]
    return _Head(
        pairs=[(found, kind, _slice(file, begin, until)) for found, kind, begin, until in pairs],
        tensors=_slice(file, first, end),
        order=reader.order,
        alignment=alignment,
        start=start,
        stop=stop,
        end=end,
    )


def _slice(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(stop - start)


def _copy(old: BinaryIO, new: BinaryIO, head: _Head, template: str) -> None:
    new.write(_slice(old, 0, head.start))
    new.write(head.text(template))
    new.write(_slice(old, head.stop, head.end))
    if old.seek(0, os.SEEK_END) > head.end:  # a file without tensors may end with their list
        new.write(bytes(head.padding(new.tell())))
        old.seek(head.end + head.padding(head.end))
        shutil.copyfileobj(old, new, _CHUNK)


def _prove(part: Path, before: _Head, size: int, key: str, template: str) -> None:
    """Raise UsageError unless the copy differs in the template and in nothing else that its head says.

    `size` is that of the original. The data of the tensors follow as they were read; the system's copy is trusted.
    """
    with part.open("rb") as file:
        after = _head(file, part.name, key)
        copied = file.seek(0, os.SEEK_END)
    _same(
        [(name, kind) for name, kind, _ in before.pairs] == [(name, kind) for name, kind, _ in after.pairs],
        "its metadata keys differ",
    )
    for (name, _, old), (_, _, new) in zip(before.pairs, after.pairs, strict=True):
        if name == key.encode():
            _same(new == after.text(template), "its template is not the one that was to be written")
        else:
            _same(old == new, f"{name.decode('utf-8', 'replace')} differs")
    _same(before.tensors == after.tensors, "its tensors are described differently")
    data = max(size - before.end - before.padding(before.end), 0)
    _same(max(copied - after.end - after.padding(after.end), 0) == data, "its tensors have another length")


def _same(equal: bool, what: str) -> None:
    if not equal:
        raise UsageError(f"the new file was not kept, since {what}; the original is as it was")


def _refuse_same(source: Path, output: Path) -> None:
    with contextlib.suppress(OSError):
        if output.samefile(source):
            raise UsageError(f"{output} is the target, which is never changed; name another with -o")


def _no_room(output: Path) -> str:
    return f"there is no room for {output.name} in {output.parent}; make room or name another folder with -o"


def _room(source: Path, output: Path) -> None:
    try:
        needed, free = source.stat().st_size, shutil.disk_usage(output.parent).free
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}; name another file") from None
    if free < needed + 2**20:
        raise UsageError(f"{_no_room(output)} ({needed / 2**30:.1f} GiB needed, {free / 2**30:.1f} GiB free)")
