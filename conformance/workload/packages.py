"""The packages that realistic work is read from: fetched by the user's pip and npm, pinned by hash, kept whole."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from platformdirs import user_cache_path

from conformance.decode import read_toml
from conformance.engines.npm_package import packed
from conformance.errors import UsageError
from conformance.wheel_download import download
from conformance.workload import bfcl, javascript_tools, python_tools
from conformance.workload.material import Material

# A folder of the user's, instead of the one in the cache.
FOLDER_VARIABLE = "CONFORMANCE_WORKLOAD"
_FILE = Path(__file__).parent / "packages.toml"
_MAX_ARCHIVE_BYTES = 64 * 2**20
_READ = (".json", ".py", ".js")
_READERS: Mapping[str, Callable[[Mapping[str, bytes]], Material]] = {
    "bfcl": bfcl.read,
    "javascript": javascript_tools.read,
    "python": python_tools.read,
}


class Pinned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package: `hash` is of its wheel or tarball, `reads` names what reads it."""

    registry: Literal["pypi", "npm"]
    name: str
    version: str
    hash: str
    licence: str
    reads: Literal["bfcl", "python", "javascript"]
    what: str

    @property
    def title(self) -> str:
        """Name and version, as the registry's client takes them."""
        return f"{self.name}{'==' if self.registry == 'pypi' else '@'}{self.version}"

    @property
    def path(self) -> Path:
        """Where its archive is kept."""
        label = self.name.lstrip("@").replace("/", "-")
        return folder() / f"{label}-{self.version}.{'whl' if self.registry == 'pypi' else 'tgz'}"


class _Packages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    package: list[Pinned]


@cache
def packages() -> tuple[Pinned, ...]:
    """Return the packages, in the order in which they are read."""

    return tuple(msgspec.convert(read_toml(_FILE, "the list of packages"), _Packages).package)


def folder() -> Path:
    """Return where the archives are kept: the folder in CONFORMANCE_WORKLOAD, else one in the user's cache."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    return user_cache_path("chat-template-conformance", appauthor=False) / "workload"


def archive(package: Pinned) -> bytes | None:
    """Return the archive as kept, or None when it is not here or is not what its hash says."""
    try:
        with package.path.open("rb") as file:
            data = file.read(_MAX_ARCHIVE_BYTES + 1)
    except OSError:
        return None
    return data if _hash(data, package) == package.hash else None


def is_here() -> bool:
    """Return whether every archive is kept; only looked for, since each is checked when it is read."""
    return all(package.path.is_file() for package in packages())


def fetch(package: Pinned) -> bool:
    """Get one archive; return False when it was here already.

    Raises UsageError when pip or npm cannot get it, its hash differs, or the cache cannot be written.
    """
    if archive(package) is not None:
        return False
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        if package.registry == "npm":
            data = packed(package.name, package.version, package.hash, Path(place))
        else:
            data = download(package.name, package.version, Path(place)).read_bytes()
    digest = _hash(data, package)
    if digest != package.hash:
        raise UsageError(
            f"hash mismatch: {package.title} has {digest}, pinned is {package.hash}; "
            "your package index offers an altered package under this version"
        )
    keep(package.path, data)
    return True


def material() -> Material:
    """Return what all packages give; raises UsageError, naming it, where one is not here."""
    whole = Material()
    for package in packages():
        data = archive(package)
        if data is None:
            raise UsageError(
                f"{package.title}, which realistic conversations are drawn from, is not in the cache as it was pinned; "
                "fetch it once with the network (`conformance workload fetch`)"
            )
        whole.add(_READERS[package.reads](_files(data, package)))
    return whole


def _hash(data: bytes, package: Pinned) -> str:
    if package.registry == "pypi":
        return f"sha256-{hashlib.sha256(data).hexdigest()}"
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def _files(data: bytes, package: Pinned) -> dict[str, bytes]:
    """Return the texts of an archive that can be read; it is what was pinned, so that it is no trap."""
    if package.registry == "pypi":
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if name.endswith(_READ)}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tarball:
        for member in tarball:
            file = tarball.extractfile(member) if member.name.endswith(_READ) else None
            if file is not None:
                found[member.name] = file.read()
    return found


def keep(path: Path, data: bytes) -> None:
    """Write under a temporary name and rename, so that a reader sees all of the archive or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as place:
            new = Path(place) / path.name
            new.write_bytes(data)
            os.replace(new, path)
    except OSError as error:
        raise UsageError(
            f"cannot write to {path.parent}: {error.strerror or error}; "
            f"name a folder that can be written in {FOLDER_VARIABLE}"
        ) from None
