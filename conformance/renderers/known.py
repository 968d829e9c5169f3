"""The renderers that this project knows how to get and to ask: `fixtures/renderers/renderers.toml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from conformance.decode import read_toml
from conformance.errors import UsageError
from conformance.resources import resource

PREFIX = "renderer:"

Kind: TypeAlias = Literal["pip", "npm"]


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One renderer; the fields are those of `renderers.toml`."""

    what: str
    home: str
    kind: Kind
    package: str
    version: str
    adapter: str
    size: str
    requires: tuple[str, ...] = ()
    alone: bool = False
    why: str = ""
    without: tuple[str, ...] = ()
    alias: str = ""
    python: str | None = None
    model: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if self.alone and not self.why:
            raise ValueError("`alone` needs a `why`")

    @property
    def file(self) -> Path:
        """The adapter's file."""
        return resource("fixtures", "renderers", self.adapter)

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@cache
def known() -> dict[str, Known]:
    """Return the renderers by name; raises UsageError if the data file is broken."""
    return read_known(resource("fixtures", "renderers", "renderers.toml"))


def read_known(path: Path) -> dict[str, Known]:
    """Return the checked entries of a data file.

    Raises UsageError when it is missing or broken.
    """
    try:
        entries = msgspec.convert(read_toml(path, "the list of renderers"), dict[str, Known])
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path.name} does not describe renderers: {error}; reinstall this package"
        ) from None
    return {name: msgspec.structs.replace(entry, name=name) for name, entry in entries.items()}


def find(name: str) -> Known:
    """Return the renderer of this name; raises UsageError when there is none."""
    found = known().get(name.removeprefix(PREFIX))
    if found is None:
        raise UsageError(
            f"No renderer is called {name.removeprefix(PREFIX)!r}; choose from {', '.join(known())}, or give your own "
            "with --command."
        )
    return found
