"""Checks of what a gpt-oss package says around its template: token ids, stops, context length, other copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from conformance.package_checks.folder import read_folder
from conformance.package_checks.gguf import read_gguf_package
from conformance.package_checks.judge import judge
from conformance.report.model import Finding
from conformance.sources import Template
from conformance.sources.hub import snapshot

__all__ = ["examine"]

_MOST_GGUF = 16  # of one folder; each takes 0.1 s
_LATER_SHARD = re.compile(r"-(?!00001)\d{5}-of-\d{5}$")


def examine(templates: Sequence[Template]) -> dict[str, list[Finding]]:
    """Return what is wrong with the packages that templates came from, by the template's SHA-256.

    Each package is examined once, for the first of its templates. Nothing is raised: what cannot be read is a
    finding. Templates from files, wheels and the catalogue have no package.
    """
    seen: set[tuple[str, str]] = set()
    findings: dict[str, list[Finding]] = {}
    for template in templates:
        place = (template.source.kind, template.source.location)
        if place not in seen:
            seen.add(place)
            findings.setdefault(template.sha256, []).extend(_examined(template))
    return findings


def _examined(template: Template) -> list[Finding]:
    kind, location = template.source.kind, template.source.location
    if kind == "gguf":
        path = Path(location)
        package = read_gguf_package(path, location)
        folder = read_folder(path.resolve().parent, str(path.parent))
        # A folder that is another model's, or that is no model's at all, says nothing about this file.
        return judge(package, [folder] if folder.claims is not False else [])
    if kind == "model-folder":
        path = Path(location)
        return _folder(path if path.is_dir() else path.parent, location)
    if kind == "hub":
        cached = snapshot(location, template.source.revision)
        return [] if cached is None else _folder(cached, location, fetched=True)
    return []


def _folder(folder: Path, location: str, *, fetched: bool = False) -> list[Finding]:
    package = read_folder(folder, location, fetched=fetched)
    if not package.is_gpt_oss():
        return judge(package)
    files = sorted(path for path in folder.glob("*.gguf") if not _LATER_SHARD.search(path.stem))[:_MOST_GGUF]
    beside = [read_gguf_package(path, path.name) for path in files]
    for neighbour in beside:
        package.unreadable += neighbour.unreadable
    return judge(package, [neighbour for neighbour in beside if neighbour.is_gpt_oss()])
