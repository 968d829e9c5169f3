"""Writes a copy of a GGUF file with another chat template, and proves that nothing else changed.

Read and written with gguf-py, the way its own `gguf_new_metadata` does; that script itself would lose the named
templates, cannot write empty arrays, and proves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.errors import UsageError

_CHUNK = 16 * 2**20
_ARCHITECTURE = "general.architecture"
_ALIGNMENT = "general.alignment"


def write_gguf(source: Path, output: Path, key: str, template: str) -> None:
    """Write `output` as a copy of `source` whose metadata key holds another template.

    The new file appears only when it is complete and proven equal in all other metadata and in every tensor.
    Raises UsageError when the source cannot be read, there is no room, or the proof fails.
    """
    _refuse_same(source, output)
    _room(source, output)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{output.name}.", suffix=".part", dir=output.parent)
        os.close(handle)
        part = Path(temporary)
        _copy(source, part, key, template)
        _prove(source, part, key, template)
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


def _reader(path: Path) -> Any:
    from gguf import GGUFReader  # brings numpy, which only GGUF targets need

    try:
        return GGUFReader(path)
    except OSError:
        raise
    except Exception as error:  # the reader fails on damaged files in every way there is
        raise UsageError(
            f"gguf-py cannot read {path.name} ({type(error).__name__}: {error}); download or convert it again"
        ) from None


def _own_fields(reader: Any) -> Iterator[Any]:
    """Yield the fields that stand in the file; the reader adds some of its own."""
    return (field for field in reader.fields.values() if not field.name.startswith("GGUF."))


def _copy(source: Path, part: Path, key: str, template: str) -> None:
    from gguf import GGUFValueType, GGUFWriter

    class Writer(GGUFWriter):  # type: ignore[misc]
        """Writes empty arrays too."""

        def _pack_val(self, val: Any, vtype: Any, add_vtype: bool, sub_type: Any = None) -> bytes:
            if vtype == GGUFValueType.ARRAY and len(val) == 0 and sub_type is not None:
                head = self._pack("I", vtype) if add_vtype else b""
                return bytes(head + self._pack("I", sub_type) + self._pack("Q", 0))
            return bytes(super()._pack_val(val, vtype, add_vtype, sub_type))

    reader = _reader(source)
    architecture = reader.fields.get(_ARCHITECTURE)
    if architecture is None:
        raise UsageError(f"{source.name} has no {_ARCHITECTURE}, without which gguf-py writes no file")
    writer = Writer(part, arch=architecture.contents(), endianess=reader.endianess)
    if _ALIGNMENT in reader.fields:
        writer.data_alignment = int(reader.fields[_ALIGNMENT].contents())
    try:
        for field in _own_fields(reader):
            if field.name == _ARCHITECTURE:
                continue
            kind, sub = field.types[0], None
            if kind == GGUFValueType.ARRAY:
                sub = GGUFValueType(int(field.parts[3][0]))
                if sub == GGUFValueType.ARRAY:
                    raise UsageError(
                        f"{field.name} in {source.name} is an array of arrays, which gguf-py mixes up"
                    )
            if field.name == key:
                value: Any = template
            elif GGUFValueType.STRING in (kind, sub):
                # As bytes: strings in the wild are not always UTF-8.
                texts = [field.parts[index].tobytes() for index in field.data]
                value = texts if sub is not None else texts[0]
            else:
                value = field.contents()
            writer.add_key_value(field.name, value, kind, sub_type=sub)
        for tensor in reader.tensors:
            writer.add_tensor_info(
                tensor.name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in reader.tensors:
            writer.write_tensor_data(tensor.data, tensor_endianess=reader.endianess)
    except (ValueError, TypeError, KeyError, OverflowError, AssertionError) as error:
        raise UsageError(f"gguf-py cannot write {source.name} again: {error}; nothing was written") from None
    finally:
        writer.close()


def _prove(source: Path, part: Path, key: str, template: str) -> None:
    """Raise UsageError unless the copy differs in the template and in nothing else."""
    old, new = _reader(source), _reader(part)
    before = {field.name: field for field in _own_fields(old)}
    after = {field.name: field for field in _own_fields(new)}
    _same(before.keys() == after.keys(), part, "its metadata keys differ")
    for name, field in before.items():
        copied = after[name]
        if name == key:
            _same(copied.contents() == template, part, "its template is not the one that was to be written")
        else:
            equal = [part.tobytes() for part in field.parts] == [part.tobytes() for part in copied.parts]
            _same(equal and field.types == copied.types, part, f"{name} differs")
    _same(key in before, part, f"there is no {key} to replace")
    _same(len(old.tensors) == len(new.tensors), part, "the number of tensors differs")
    for one, other in zip(old.tensors, new.tensors, strict=True):
        described = (one.name, one.tensor_type, one.shape.tolist(), one.data.shape, one.data.nbytes)
        again = (other.name, other.tensor_type, other.shape.tolist(), other.data.shape, other.data.nbytes)
        _same(described == again, part, f"the tensor {one.name} is described differently")
        _same(_same_bytes(one.data, other.data), part, f"the data of tensor {one.name} differ")


def _same_bytes(one: Any, other: Any) -> bool:
    first, second = (memoryview(data.reshape(-1).view("u1")) for data in (one, other))
    return all(first[at : at + _CHUNK] == second[at : at + _CHUNK] for at in range(0, len(first), _CHUNK))


def _same(equal: bool, part: Path, what: str) -> None:
    if not equal:
        raise UsageError(f"the new file was not kept, since {what}; the original is as it was")
