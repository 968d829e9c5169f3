"""Fixes for what clients send and template authors seldom try: empty lists of calls, content in parts."""

from __future__ import annotations

import re
from collections.abc import Callable

from conformance.fixes import reference
from conformance.fixes.base import Size, SkippedError, register
from conformance.template.parts import Block, Part, Source, Tag, walk

_IN_CALLS = re.compile(r"""(?P<key>'tool_calls'|"tool_calls")\s+(?P<not>not\s+)?in\s+(?P<holder>\w+)""")
_CONTENT = re.compile(
    r"""(?P<holder>\b\w+(?:\[[^\[\]]*\])?)(?:\.content\b|\['content'\]|\["content"\])"""
    # Whether it is there at all is another question than what it says.
    r"(?!\s*is\s+(?:not\s+)?(?:defined|undefined|none)\b)"
)


def _rewritten(source: Source, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> str:
    """Replace a pattern in all tags but those of the reference's macros, and not within their strings.

    Raises SkippedError when it is nowhere.
    """
    changes = []
    for tag in _tags(source.parts):
        for found in pattern.finditer(source.text, tag.start, tag.end):
            if not _in_string(source.text[tag.start : found.start()]):
                changes.append((found.start(), found.end(), new(found)))
    if not changes:
        raise SkippedError("nothing in it reads this")
    return source.replaced(*changes)


def _tags(parts: list[Part]) -> list[Tag]:
    found: list[Tag] = []
    for part in parts:
        if isinstance(part, Block):
            if part.keyword == "macro" and reference.PREFIX in part.arms[0].tag.rest:
                continue
            for arm in part.arms:
                found += [arm.tag, *_tags(arm.children)]
        else:
            found += [each for each in walk([part]) if isinstance(each, Tag)]
    return [tag for tag in found if tag.kind != "comment"]


def _in_string(before: str) -> bool:
    quote = ""
    escaped = False
    for letter in before:
        if escaped:
            escaped = False
        elif quote:
            escaped = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
    return bool(quote)


@register
class EmptyCalls:
    """Takes an empty list of calls for no calls."""

    name = "empty-calls"
    rules = (
        "template-crashed",
        "thinking-retention",
        "thinking-dropped",
        "message-dropped",
        "final-channel-missing",
    )
    size: Size = "expression"
    what = "takes an empty list of tool calls for none"

    def apply(self, source: Source) -> str:
        """Ask for the list and not for its key alone.

        Raises SkippedError when no tag asks for the key.
        """

        def asked(found: re.Match[str]) -> str:
            test = f"({found['key']} in {found['holder']} and {found['holder']}[{found['key']}])"
            return f"(not {test})" if found["not"] else test

        return _rewritten(source, _IN_CALLS, asked)


@register
class ContentParts:
    """Reads content in parts as the text that they make up."""

    name = "content-parts"
    rules = (
        "template-crashed",
        "message-dropped",
        "text-altered",
        "instructions-altered",
        "result-json-encoded",
    )
    size: Size = "expression"
    what = "reads content in parts as the text that they make up"

    def apply(self, source: Source) -> str:
        """Read every content with the reference's macro.

        Raises SkippedError when no tag reads one.
        """

        def read(found: re.Match[str]) -> str:
            holder, there = found["holder"], found[0]
            text = f"{reference.PREFIX}text_at({holder}, 'content', 'the content of a message')"
            if "tojson" in found.string[found.pos : found.endpos]:
                # What this tag writes as JSON may be an object, which no client of an API sends but scripts do.
                return f"({there} if {there} is mapping else {text})"
            return text

        return reference.with_macros(source, _rewritten(source, _CONTENT, read))
