"""Where templates come from: files, model folders, GGUF metadata, wheels, the Hub, the catalogue.

`resolve(target)` is the way in. A new kind of source is one class with `name`, `claims` and `load`: decorated
with `register` in here, or offered by another package under the entry point group `conformance.sources`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from conformance.errors import UsageError
from conformance.sources import manifest
from conformance.sources.base import (
    SOURCES,
    Provenance,
    Source,
    SourceSettings,
    Template,
    make_template,
    register,
)

__all__ = [
    "SOURCES",
    "Provenance",
    "Source",
    "SourceSettings",
    "Template",
    "make_template",
    "register",
    "resolve",
]

HUB_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", re.ASCII)
_FILE_SUFFIXES = {".jinja", ".jinja2", ".j2", ".txt", ".gguf", ".json"}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(?:@\S+)?", re.ASCII)


def resolve(target: str, *, offline: bool = False, cache: Path | None = None) -> list[Template]:
    """Return the templates of a target, the default one first.

    Raises UsageError with one sentence if nothing claims the target or it cannot be read.
    """
    settings = SourceSettings(offline=offline, cache=cache)
    source = _claimant(target)
    if source is None:
        raise UsageError(_unclaimed(target))
    return [_with_note(template) for template in source.load(target, settings)]


def _claimant(target: str) -> Source | None:
    if not target.strip() or "\0" in target:
        return None
    # Installed packages are searched last: that takes longer than most sources do.
    made = (source() if isinstance(source, type) else source for _, source in SOURCES.items())
    return next((source for source in made if source.claims(target)), None)


def _with_note(template: Template) -> Template:
    """Say so when a text is one that the catalogue knows."""
    if template.note is not None or template.harmony is not None:
        return template
    known = manifest.by_hash(template.sha256)
    if not known:
        return template
    return msgspec.structs.replace(
        template, note=f"the same text as {known[0].name} of the catalogue", harmony=known[0].harmony
    )


def _unclaimed(target: str) -> str:
    """Say in one sentence what the target is not and what to do."""
    if not target.strip() or "\0" in target:
        return f"the target {target!r} is empty or no path; give a template, a model or a catalogue name"
    if address := HUB_ADDRESS.match(target):
        return f"{target} is a web address; write hf://{address[1]}"
    if "://" in target:
        return f"nothing can load {target}; a target is a path, hf://…, wheel://… or a catalogue name"
    close = manifest.did_you_mean(target, manifest.known_names())
    if Path(target).suffix.lower() in _FILE_SUFFIXES or "/" in target or os.sep in target:
        hub_hint = f"; for a model on the Hub write hf://{target}" if _HUB_NAME.fullmatch(target) else ""
        return f"no such file or folder: {target}{hub_hint}"
    return (
        f"{target} is neither a file, nor a folder, nor a catalogue name{close}; "
        "`conformance templates list` prints the names"
    )
