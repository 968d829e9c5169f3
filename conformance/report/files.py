"""Writing report files: whole or not at all, and one sentence when it does not work."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from conformance.errors import UsageError


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; raises UsageError if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Cannot make the folder {folder}: {_why(error)}; choose another --output."
        ) from error


def write_file(path: Path, data: bytes) -> Path:
    """Write a file so that readers see the old one or all of the new one; raises UsageError if it fails.

    Where a link leads is written, and a file that was there keeps its mode. What is no file, a device for example, is
    refused: to replace it would destroy it.
    """
    make_folder(path.parent)
    temporary = None
    try:
        place = Path(os.path.realpath(path))
        there = place.stat() if place.exists() else None
        if there is not None and not (stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode)):
            raise UsageError(
                f"Cannot write {path}: it is there and no regular file; choose another --output."
            )
        handle, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files for their owner only; a report is as public as any file the user writes.
        os.chmod(temporary, 0o666 & ~_umask() if there is None else stat.S_IMODE(there.st_mode))
        os.replace(temporary, place)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise UsageError(f"Cannot write {path}: {_why(error)}; choose another --output.") from error
    return path


def read_file(path: Path) -> bytes:
    """Return the bytes of a file; raises UsageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {_why(error)}.") from error


def to_json(value: Any) -> bytes:
    """Return a value as compact JSON; half surrogate pairs, which templates can write, become U+FFFD.

    One character stands for one, so that offsets stay true.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
