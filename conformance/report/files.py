"""Writing report files: whole or not at all, and one sentence when it does not work."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any

import msgspec

from conformance.errors import UsageError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; raises UsageError if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Cannot make the folder {folder}: {_why(error)}; choose another --output."
        ) from error


def open_folder(folder: Path, *, below: Path | None = None) -> int:
    """Return a descriptor of a folder, which is made if need be.

    `below` is the folder that the user named (default: the folder itself); under it no link is followed, since a
    stranger may have put one there. Raises UsageError for such a link, OSError for the rest.
    """
    base = below or folder
    base.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(base, _FOLDER)
    for part in folder.relative_to(base).parts:
        above = descriptor
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=above)
            _refuse_link(above, part, folder)
            descriptor = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def write_file(path: Path, data: bytes, *, below: Path | None = None) -> Path:
    """Write a file so that readers see the old one or all of the new one; raises UsageError if it fails.

    A file that was there keeps its mode. What is no file, a link or a device for example, is refused: to replace it
    would destroy it, to follow it would destroy what the user never named. `below` is as for `open_folder`.
    """
    try:
        folder = open_folder(path.parent, below=below)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {_why(error)}; choose another --output.") from error
    temporary = f".{path.name[:100]}.{secrets.token_hex(8)}"
    try:
        there = _status(folder, path.name)
        _refuse(there, path)
        handle = os.open(temporary, _NEW, 0o666, dir_fd=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if there is not None:
                os.fchmod(handle, stat.S_IMODE(there.st_mode))
        os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise UsageError(f"Cannot write {path}: {_why(error)}; choose another --output.") from error
    finally:
        os.close(folder)
    return path


def write_where_named(path: Path, data: bytes) -> Path:
    """Write the one file that the user named: where it is a link, what it leads to; raises UsageError if it fails."""
    write_file(Path(os.path.realpath(path)), data)
    return path


def create_file(path: Path) -> io.BufferedWriter:
    """Return a new file, open for writing, in place of one that may be there; raises OSError if that fails.

    A link or what is no file is refused by UsageError; a file with a second name keeps what it says under that.
    """
    folder = open_folder(path.parent)
    try:
        there = _status(folder, path.name)
        _refuse(there, path)
        if there is not None:
            os.unlink(path.name, dir_fd=folder)
        return os.fdopen(os.open(path.name, _NEW, 0o666, dir_fd=folder), "wb")
    finally:
        os.close(folder)


def check_place(path: Path) -> None:
    """Raise UsageError when a file could not be written there after a long run."""
    if path.is_dir() and not path.is_symlink():
        raise UsageError(f"Cannot write {path}: it is a folder; name a file in it.")
    try:
        folder = open_folder(path.parent)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {_why(error)}; name another file.") from error
    try:
        _refuse(_status(folder, path.name), path)
        if not os.access(path.parent, os.W_OK):
            raise UsageError(f"Cannot write {path}: its folder is read-only; name another file.")
    finally:
        os.close(folder)


class FolderLock:
    """Keeps two runs from writing into one folder; held until it is released or this process ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock; raises UsageError when another run has it."""
        self._descriptor: int | None = None
        try:
            descriptor = os.open(folder, _FOLDER)
        except OSError as error:
            raise UsageError(f"Cannot read {folder}: {_why(error)}; choose another --output.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(
                f"Another run is writing into {folder}; wait for its end, or choose another --output."
            ) from None
        except OSError:
            pass  # a file system that has no locks
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others write into the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()


def refuse_links(folder: Path, names: re.Pattern[str]) -> None:
    """Raise UsageError when a folder holds a link under a name that a report will be written to."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if names.fullmatch(entry.name) and entry.is_symlink():
                raise UsageError(_link(folder / entry.name))


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse(there: os.stat_result | None, path: Path) -> None:
    if there is None or stat.S_ISREG(there.st_mode) or stat.S_ISDIR(there.st_mode):
        return
    if stat.S_ISLNK(there.st_mode):
        raise UsageError(_link(path))
    raise UsageError(f"Cannot write {path}: it is there and no regular file; choose another --output.")


def _refuse_link(folder: int, name: str, path: Path) -> None:
    there = _status(folder, name)
    if there is not None and stat.S_ISLNK(there.st_mode):
        raise UsageError(
            f"Cannot write to {path}: {name} in it is a link; remove it, or choose another --output."
        )


def _link(path: Path) -> str:
    return f"Cannot write {path}: it is a link, and none is followed; remove it, or choose another --output."


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


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
