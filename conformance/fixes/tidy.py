"""Removes what repairs left behind: macros and variables that nothing uses any more."""

from __future__ import annotations

from conformance.template.parts import Block, Part, Source, Tag, is_set_block, names_read, walk


def tidied(text: str, original: str) -> str:
    """Return a template without the macros and variables that were used in the original and are not now."""
    used_before = _used(Source(original))
    while True:
        source = Source(text)
        used = _used(source)
        dead = next(
            (part for name, part in _definitions(source) if name in used_before and name not in used), None
        )
        if dead is None:
            return text
        begin = dead.start
        while begin > 0 and text[begin - 1] in " \t\r\n":
            begin -= 1
        text = text[:begin] + text[dead.end :]


def _used(source: Source) -> set[str]:
    """Return the names that are read somewhere; what a macro reads in itself does not count for it."""
    used: set[str] = set()
    for part in source.parts:
        used |= names_read([part]) - {_macro_name(part)}
    return used


def _macro_name(part: Part) -> str | None:
    if isinstance(part, Block) and part.keyword == "macro":
        return part.arms[0].tag.rest.partition("(")[0].strip()
    return None


def _definitions(source: Source) -> list[tuple[str, Part]]:
    """Return what is defined by name: macros, and variables that are set once or more."""
    found: list[tuple[str, Part]] = []
    for part in source.parts:
        if name := _macro_name(part):
            found.append((name, part))
    for tag in walk(source.parts):
        if isinstance(tag, Tag) and tag.keyword == "set" and not is_set_block(tag):
            target = tag.rest.partition("=")[0].strip()
            if target.isidentifier():
                found.append((target, tag))
    return found
