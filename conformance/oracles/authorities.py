"""The authorities: libraries that render Harmony, each pinned by version and by the hashes of its wheels."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from conformance.decode import read_toml
from conformance.errors import UsageError

MODULE = "openai_harmony"  # all of them install this one
DEFAULT = "openai-harmony"

Origin: TypeAlias = Literal["installed", "own copy"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Which library judged.

    `distribution` is the package that owns the library's live files; `sha256` is the hash of its compiled file, which
    differs from platform to platform; `renders` is the hash of what it writes for the golden set (`golden.py`), the
    same on every platform. `origin` says whether it is the installed module or this project's own copy.
    """

    name: str
    version: str
    distribution: str
    sha256: str
    renders: str
    origin: Origin

    def __str__(self) -> str:
        said = self.name if self.name.endswith(self.version) else f"{self.name} {self.version}"
        return said if self.origin == "installed" else f"{said} ({self.origin})"


class Pinned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `authorities.toml`; `wheels` gives for each wheel's file name its sha256.

    `profile` has the library's own readings: those of the default need none.
    """

    distribution: str
    version: str
    renders: str
    note: str
    wheels: dict[str, str]
    name: str = ""
    profile: str = "harmony"


@cache
def pinned() -> dict[str, Pinned]:
    """Return the pinned authorities by name, the default first; raises UsageError if the data file is broken."""
    return read_authorities(Path(__file__).parent / "authorities.toml")


def read_authorities(path: Path) -> dict[str, Pinned]:
    """Return the checked entries of a data file.

    Raises UsageError when it is missing or broken.
    """
    try:
        entries = msgspec.convert(read_toml(path, "the list of authorities"), dict[str, Pinned])
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path.name} does not describe authorities: {error}; reinstall this package"
        ) from None
    for name, entry in entries.items():
        for digest in (entry.renders, *entry.wheels.values()):
            if not _SHA256.fullmatch(digest):
                raise UsageError(f"{path.name}: a sha256 of {name!r} is not 64 lower-case hex digits")
    return {name: msgspec.structs.replace(entry, name=name) for name, entry in entries.items()}


def find(name: str) -> Pinned:
    """Return the pinned authority of this name.

    Raises UsageError when there is none.
    """
    try:
        return pinned()[name]
    except KeyError:
        raise UsageError(f"No authority is called {name!r}; choose from {', '.join(pinned())}.") from None


def known_as(distribution: str, version: str) -> str | None:
    """Return the name under which this version of a distribution is pinned, or None."""
    return next(
        (
            name
            for name, entry in pinned().items()
            if (entry.distribution, entry.version) == (distribution, version)
        ),
        None,
    )
