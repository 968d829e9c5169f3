"""The entries of `templates/catalogue.toml`: the known public templates, where from and with which hash."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import msgspec

from conformance.decode import read_toml
from conformance.errors import UsageError, printable
from conformance.resources import resource
from conformance.sources.wheel_member import parse_target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One known public template.

    `source` is a `wheel://` target, `sha256` the hash of the template text in UTF-8, `harmony` whether the
    template is meant to write Harmony (the others use its markers and serve as negative cases), `aliases`
    other names that `find` accepts.
    """

    name: str
    source: str
    sha256: str
    licence: str
    note: str
    harmony: bool
    aliases: tuple[str, ...] = ()


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    template: list[Entry]


def read_catalogue(path: Path) -> tuple[Entry, ...]:
    """Return the checked entries of a catalogue file, in its order.

    Raises UsageError if it is missing, broken, or names a template twice.
    """
    where = path.name
    content = read_toml(path, "the catalogue")
    try:
        entries = msgspec.convert(content, _Catalogue).template
    except msgspec.ValidationError as error:
        raise UsageError(f"{where} does not describe templates: {error}") from error
    seen: set[str] = set()
    for entry in entries:
        if not _SHA256.fullmatch(entry.sha256):
            raise UsageError(f"{where}: the sha256 of {entry.name!r} must be 64 lower-case hex digits")
        if parse_target(entry.source).uri != entry.source:
            raise UsageError(
                f"{where}: the source of {entry.name!r} must be written {parse_target(entry.source).uri}"
            )
        for name in (entry.name, *entry.aliases):
            if not _NAME.fullmatch(name):
                raise UsageError(f"{where}: {name!r} is no name: letters, digits, dot, dash, underscore only")
            if name in seen:
                raise UsageError(f"{where}: the name {name!r} is used twice")
            seen.add(name)
    return tuple(entries)


@cache
def entries() -> tuple[Entry, ...]:
    """Return the entries of the shipped catalogue; raises UsageError if the file is missing or broken."""
    return read_catalogue(resource("templates", "catalogue.toml"))


def find(name: str) -> Entry:
    """Return the entry with this name or alias; raises UsageError with close names if there is none."""
    entry = lookup(name)
    if entry is None:
        raise UsageError(
            f"the catalogue has no template {name!r}{did_you_mean(name, known_names())}; "
            "`conformance templates list` prints all names"
        )
    return entry


def lookup(name: str) -> Entry | None:
    """Return the entry with this name or alias, None if there is none."""
    return next((entry for entry in entries() if name == entry.name or name in entry.aliases), None)


def by_source(uri: str) -> Entry | None:
    """Return the entry whose source is this canonical URI, None if there is none."""
    return next((entry for entry in entries() if entry.source == uri), None)


def by_hash(sha256: str) -> list[Entry]:
    """Return the entries with this template text, in the catalogue's order (copies share a hash)."""
    return [entry for entry in entries() if entry.sha256 == sha256]


def known_names() -> list[str]:
    """Return every name and alias."""
    return [name for entry in entries() for name in (entry.name, *entry.aliases)]


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` (did you mean A or B?)` for close names, else an empty string."""
    import difflib

    lowered = {name.lower(): name for name in known}
    close = [lowered[name] for name in difflib.get_close_matches(word.lower(), lowered, 3, 0.6)]
    return f" (did you mean {' or '.join(map(printable, close))}?)" if close else ""
