"""Parts of the reference template, renamed so that they can stand in another template.

They are taken from the variant that writes what the profile says which a repair is proven under (`written_under`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from conformance.fixes.base import SkippedError
from conformance.fixes.readings import reading_variant
from conformance.oracles.profile import Profile, profile
from conformance.resources import resource
from conformance.template.parts import Block, Source, Tag, Text, called, scan, tag_tree, walk

NAME = "templates/gpt-oss.jinja"
PREFIX = "harmony_"
_HEADING = (
    "{#- Macros of chat-template-conformance, Apache-2.0: they write what the Harmony library writes. -#}\n"
)
_STRING_OR_NAME = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?<![\w.])[A-Za-z_]\w*", re.DOTALL)


# What fixes write has to be what the conversations are judged by; a fix itself is handed a template only.
_PROFILE: ContextVar[Profile] = ContextVar("profile")


@contextmanager
def written_under(chosen: Profile) -> Iterator[None]:
    """Let the parts of the reference follow the readings of a profile."""
    token = _PROFILE.set(chosen)
    try:
        yield
    finally:
        _PROFILE.reset(token)


def reference() -> Source:
    """Return the reference template as the profile in force reads the format.

    Raises SkippedError where the reference has no variant for these readings together.
    """
    return _reference(_PROFILE.get(profile("harmony")))


@lru_cache(maxsize=8)
def _reference(chosen: Profile) -> Source:
    source = resource(*NAME.split("/")).read_text("utf-8")
    try:
        return Source(reading_variant(source, chosen))
    except ValueError as error:
        raise SkippedError(f"{NAME} cannot be written under {chosen.name}: {error}") from error


def variables() -> frozenset[str]:
    """Return what the reference sets outside of its macros; macros have parameters of the same names, which stay."""
    return _variables(reference())


@lru_cache(maxsize=8)
def _variables(source: Source) -> frozenset[str]:
    tags = (part for part in walk(source.parts, into=("if", "for")) if isinstance(part, Tag))
    targets = {tag.rest.partition("=")[0].strip() for tag in tags if tag.keyword == "set"}
    return frozenset(name for name in targets if name.isidentifier())


def part(name: str) -> str:
    """Return the part of the reference between its marks of this name.

    Raises SkippedError when the marks are not there, or stand there twice.
    """
    begin, end = f"{{#- part: {name} -#}}", f"{{#- end: {name} -#}}"
    text = reference().text
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise SkippedError(
            f"{NAME} lacks the marks {begin} and {end}, or has one of them twice; put each there once"
        )
    return text[text.index(begin) + len(begin) : text.index(end)].strip()


def renamed(text: str, names: Mapping[str, str] | None = None) -> str:
    """Return a piece of the reference for another template: macros and variables carry the prefix.

    `names` replaces further names; comments and constants stay.
    """
    new = {name: PREFIX + name for name in variables()} | dict(names or {})
    macros = reference().macros

    def name(found: re.Match[str]) -> str:
        word = found[0]
        if word in macros and text_of_tag[found.end() :].lstrip().startswith("("):
            return PREFIX + word
        return new.get(word, word)

    pieces, position = [], 0
    for tag in _tags(text):
        pieces.append(text[position : tag.start])
        text_of_tag = text[tag.start : tag.end]
        pieces.append(text_of_tag if tag.kind == "comment" else _STRING_OR_NAME.sub(name, text_of_tag))
        position = tag.end
    return "".join(pieces) + text[position:]


def without_marks(text: str) -> str:
    """Return a piece of the reference without the marks of parts in it."""
    return re.sub(r"\{#- (?:part|end): [\w-]+ -#\}\n?", "", text)


def indented(text: str, by: int) -> str:
    """Return a piece of the reference with its lines moved to the right; lines inside tags stay."""
    pieces = []
    for part in scan(text):
        piece = text[part.start : part.end]
        if isinstance(part, Text):
            piece = re.sub(r"\n( *)", lambda found: "\n" + " " * max(0, len(found[1]) + by), piece)
        pieces.append(piece)
    return "".join(pieces)


def _tags(text: str) -> list[Tag]:
    return [part for part in scan(text) if isinstance(part, Tag)]


def macros_for(text: str) -> dict[str, str]:
    """Return the macros of the reference that a renamed text needs, by new name, in the reference's order."""
    source = reference()
    wanted, waiting = set(), [text]
    while waiting:
        for name in _called_here(waiting.pop()):
            plain = name.removeprefix(PREFIX)
            if name.startswith(PREFIX) and plain in source.macros and plain not in wanted:
                wanted.add(plain)
                waiting.append(_macro_text(plain))
    return {PREFIX + name: _macro_text(name) for name in source.macros if name in wanted}


def _macro_text(name: str) -> str:
    block = reference().macros[name]
    # The variables of a macro are its own; only the names of macros change, its own included.
    return renamed(reference().slice(block, block), {name: name for name in variables()})


def _called_here(text: str) -> set[str]:
    return {name for tag in _tags(text) if tag.kind != "comment" for name in called(tag_tree(tag))}


def with_macros(source: Source, text: str, edits: Iterable[tuple[str, str]] = ()) -> str:
    """Return a changed template with the macros of the reference that it calls and lacks, before its first tag.

    `edits` are replacements in these macros.

    Raises SkippedError where one of them is not found exactly once.
    """
    changed = Source(text)
    added = "\n\n".join(macro for name, macro in macros_for(text).items() if name not in changed.macros)
    for old, new in edits:
        if added.count(old) != 1:
            raise SkippedError(f"the reference has {old!r} {added.count(old)} times instead of once")
        added = added.replace(old, new)
    if not added:
        return text
    heading = text.find(_HEADING)
    if heading >= 0:
        # Another fix brought macros before.
        at, head = heading + len(_HEADING), ""
    else:
        at, head = next(part for part in walk(changed.parts) if not _silent(part)).start, _HEADING
    return text[:at] + head + added + "\n\n" + text[at:]


def _silent(part: object) -> bool:
    if isinstance(part, Tag):
        return part.kind == "comment"
    # A byte order mark belongs in front of everything.
    return not isinstance(part, Block) and not getattr(part, "value", "x").strip().strip("\ufeff")
