"""One file of an npm package: fetched by the user's own npm, checked by hash, kept in the user's cache."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from conformance.errors import UsageError

# Workers know neither the user's home nor XDG_CACHE_HOME: they are told the folder in this variable. Users may
# set it as well.
FOLDER_VARIABLE = "CONFORMANCE_PACKAGES"

NPM_SECONDS = 300
MAX_TARBALL_BYTES = 8 * 2**20
MAX_MEMBER_BYTES = 2 * 2**20

_NETWORK = (
    "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH",
    "ERR_SOCKET", "FETCH_ERROR", "ENOTCACHED",
)  # fmt: skip


@runtime_checkable
class Fetchable(Protocol):
    """An engine whose program this tool can fetch."""

    def fetch(self) -> bool:
        """Get the program; return False when it was here already.

        Raises UsageError saying why it cannot be had.
        """


def folder() -> Path:
    """Return where packages are kept: the folder in CONFORMANCE_PACKAGES, else one in the user's cache."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    from platformdirs import user_cache_path  # 10 ms, which a worker is spared

    return user_cache_path("chat-template-conformance", appauthor=False) / "packages"


def packed(name: str, version: str, integrity: str, place: Path) -> bytes:
    """Return a package's tarball as the user's own npm delivers it, checked against the pinned hash.

    `place` is an empty folder. Raises UsageError when npm is missing or fails, or the hash differs.
    """
    import shutil
    import subprocess

    spec = f"{name}@{version}"
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(f"npm, which fetches {spec}, is not installed; install Node.js 18 or newer")
    # The working folder is empty: no stranger's .npmrc is read, and no script of a package is run.
    command = [npm, "pack", spec, "--ignore-scripts", "--no-update-notifier", "--no-fund", "--no-audit"]
    try:
        done = subprocess.run(
            command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=NPM_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"npm did not fetch {spec} within {NPM_SECONDS} s; check the network") from None
    except OSError as error:
        raise UsageError(f"cannot start npm to fetch {spec}: {error.strerror or error}") from None
    tarballs = list(place.glob("*.tgz"))
    if done.returncode != 0 or len(tarballs) != 1:
        raise UsageError(_failure(spec, (done.stderr + done.stdout).decode("utf-8", "replace")))
    with tarballs[0].open("rb") as file:
        data = file.read(MAX_TARBALL_BYTES + 1)
    digest = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if digest != integrity:
        raise UsageError(
            f"hash mismatch: the package {spec} has {digest}, expected is {integrity}; "
            "your npm registry offers an altered package under this version"
        )
    return data


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A file in one version of a package; `integrity` and `sha256` pin the tarball and the file.

    `integrity` is written as npm prints it (`npm view NAME@VERSION dist.integrity`): "sha512-" and base64.
    """

    name: str
    version: str
    integrity: str
    member: str
    sha256: str

    def path(self) -> Path:
        """Return where the file is kept."""
        label = self.name.lstrip("@").replace("/", "-")
        return folder() / f"{label}-{self.version}-{self.member.rsplit('/', 1)[-1]}"

    def read(self) -> bytes | None:
        """Return the file as kept, or None when it is not here or is not what its hash says."""
        try:
            with self.path().open("rb") as file:
                data = file.read(MAX_MEMBER_BYTES + 1)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == self.sha256 else None

    def fetch(self) -> bool:
        """Fetch the file unless it is here; return whether it was fetched.

        Raises UsageError when npm is missing or fails, a hash differs, or the cache cannot be written.
        """
        if self.read() is not None:
            return False
        import tempfile  # what it and subprocess import is needed only here

        with tempfile.TemporaryDirectory(prefix="conformance-") as place:
            data = self._member(packed(self.name, self.version, self.integrity, Path(place)))
        self._keep(data)
        return True

    def _member(self, tarball: bytes) -> bytes:
        """Return the one file that is wanted; nothing is unpacked to the disk."""
        import io
        import tarfile
        import zlib

        try:
            with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
                file = archive.extractfile(self.member)
                data = b"" if file is None else file.read(MAX_MEMBER_BYTES + 1)
        except (tarfile.TarError, zlib.error, KeyError, EOFError, OSError) as error:
            raise UsageError(f"{self.member} cannot be read from the package {self.name}: {error}") from None
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise UsageError(
                f"hash mismatch: {self.member} of {self.name} has sha256 {digest}, expected is {self.sha256}"
            )
        return data

    def _keep(self, data: bytes) -> None:
        """Write under a temporary name and rename, so that a reader sees all of the file or nothing."""
        import tempfile

        path = self.path()
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise UsageError(
                f"cannot write to {path.parent}: {error.strerror or error}; "
                f"name a folder that can be written in {FOLDER_VARIABLE}"
            ) from None


def _failure(spec: str, output: str) -> str:
    if any(word in output for word in _NETWORK):
        return (
            f"npm cannot reach its registry to fetch {spec}; check the network and `npm config get registry`"
        )
    if "E404" in output or "ETARGET" in output:
        return f"the registry of your npm configuration does not offer {spec}; see `npm config get registry`"
    said = [line for line in output.splitlines() if line.startswith(("npm error ", "npm ERR! "))]
    why = [line.split(" ", 2)[-1] for line in said if " code " not in line and "log of this run" not in line]
    return f"npm cannot fetch {spec}: {(why or ['it gave no reason'])[0][:300]}"
