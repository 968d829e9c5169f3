"""This project's own copies of authorities: wheels fetched by the user's pip, pinned by hash, kept in the cache.

The user's installation is never touched: a copy is unpacked beside it and found by one process only.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from conformance.errors import UsageError
from conformance.oracles.authorities import MODULE, Pinned
from conformance.wheel_download import DAMAGED, download

_MAX_FILE_BYTES = 64 * 2**20
# KeyError, ValueError: a wheel without its record, or with two
_DAMAGED = (*DAMAGED, KeyError, ValueError)


def folder_of(entry: Pinned) -> Path:
    """Return where the copy of an authority is kept."""
    root = user_cache_path("chat-template-conformance", appauthor=False) / "authorities"
    return root / f"{entry.distribution}-{entry.version}"


def copy_of(entry: Pinned) -> Path | None:
    """Return the folder of a copy that can be imported from, or None when it is not here or was changed.

    The wheel is checked against its pinned hash and each unpacked file against the wheel, every time.
    """
    wheel = _wheel(entry)
    if wheel is None:
        return None
    files = folder_of(entry) / "files"
    try:
        recorded = _record(wheel)
        intact = all(_digest((files / name).read_bytes()) == value for name, value in recorded.items())
        # A file that the wheel does not have could be imported in place of one that it has.
        there = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    except (OSError, *_DAMAGED):
        return None
    strangers = {name for name in there if PurePosixPath(name).suffix != ".pyc"} - recorded.keys()
    return files if intact and not strangers else None


def sha256_of(folder: Path) -> str:
    """Return the hash of the compiled file in a copy."""
    (compiled,) = (path for path in (folder / MODULE).iterdir() if path.suffix in (".so", ".pyd", ".dylib"))
    return hashlib.sha256(compiled.read_bytes()).hexdigest()


def fetch(entry: Pinned) -> bool:
    """Get the copy of an authority; return False when it was here already.

    Raises UsageError when pip cannot get it, a hash differs, no wheel for this platform is pinned, or the cache cannot
    be written.
    """
    if copy_of(entry) is not None:
        return False
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        wheel = download(entry.distribution, entry.version, Path(place))
        pin = entry.wheels.get(wheel.name)
        if pin is None:
            raise UsageError(
                f"pip offers {wheel.name}, which is not among the pinned wheels of {entry.name} and cannot be "
                "trusted; set pip to the public index, or pin it as docs/authorities.md says"
            )
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != pin:
            raise UsageError(
                f"hash mismatch: {wheel.name} has sha256 {digest}, pinned is {pin}; "
                "your package index offers an altered package under this version"
            )
        _keep(entry, wheel)
    if copy_of(entry) is None:
        raise UsageError(
            f"the copy of {entry.name} in {folder_of(entry)} is not what was written there; try again"
        )
    return True


def _wheel(entry: Pinned) -> Path | None:
    """Return the kept wheel if it is one that is pinned."""
    for wheel in folder_of(entry).glob("*.whl"):
        try:
            if hashlib.sha256(wheel.read_bytes()).hexdigest() == entry.wheels.get(wheel.name):
                return wheel
        except OSError:
            continue
    return None


def _record(wheel: Path) -> dict[str, str]:
    """Return the files of the module in a wheel with their hashes, from the wheel's own record."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(name).decode("utf-8"))))
    found = {
        row[0]: row[1].removeprefix("sha256=")
        for row in rows
        if PurePosixPath(row[0]).parts[:1] == (MODULE,) and ".." not in PurePosixPath(row[0]).parts
    }
    if not found:
        raise KeyError(MODULE)
    return found


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _keep(entry: Pinned, wheel: Path) -> None:
    """Unpack beside the place and rename, so that a reader sees all of the copy or nothing."""
    target = folder_of(entry)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as place:
            new = Path(place) / target.name
            with zipfile.ZipFile(wheel) as archive:
                for name in _record(wheel):
                    if archive.getinfo(name).file_size > _MAX_FILE_BYTES:
                        raise UsageError(f"{name} in {wheel.name} is larger than {_MAX_FILE_BYTES >> 20} MB")
                    path = new / "files" / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(name))
            shutil.copyfile(wheel, new / wheel.name)
            _swap(new, target)
    except _DAMAGED as error:
        raise UsageError(f"{wheel.name} is damaged: {error}; try again, or clear pip's cache") from None
    except OSError as error:
        raise UsageError(
            f"cannot write to {target.parent}: {error.strerror or error}; "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from None


def _swap(new: Path, target: Path) -> None:
    if target.exists():
        os.replace(target, new.parent / "old")
    try:
        os.replace(new, target)
    except OSError:
        # Another process was faster, and its copy is checked like ours.
        if not target.exists():
            raise
