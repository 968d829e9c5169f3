"""The developer message: find what differs in headings, instructions and the frame of the tools, and name it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.compare.align import Pair
from conformance.compare.base import Difference, Named
from conformance.compare.ends import name_end
from conformance.compare.tools import compare_tools
from conformance.conversation import Tool
from conformance.oracles.base import Piece
from conformance.rules import system as rules
from conformance.rules.base import Rule
from conformance.rules.messages import EXTRA_NEWLINE, ROLE_HEADER
from conformance.rules.tool_definitions import TOOL_LAYOUT

_OPENING = "namespace functions {\n"
_LOOSE_OPENING = re.compile(r"^[ \t]*namespace\s+functions\s*\{[ \t]*\n?", re.MULTILINE)
_BROKEN_OPENING = re.compile(r"(?<!// )namespace\W+functions(?:\W*\{)?\n?", re.IGNORECASE)
_TOOLS = "# Tools"
_FORMATS = "# Response Formats"
_FRAME_END = "} // namespace functions"
_MESSAGE = "<|message|>"


@dataclass(slots=True)
class _Parts:
    """The oracle's developer message in parts; texts that are not there are empty."""

    header: str = ""
    heading: str = ""
    instructions: str = ""
    tools_heading: str = ""
    opening: str = ""
    closing: str = ""
    formats: str = ""
    end: str = ""

    @property
    def head(self) -> str:
        """All that stands before the first tool."""
        return self.heading + self.instructions + self.tools_heading + self.opening


def _parts(pieces: list[Piece]) -> tuple[_Parts, list[Piece]]:
    """Return the frame, and the pieces of the tools within it."""
    parts, inner = _Parts(), list[Piece]()
    for piece in pieces:
        region, _, text = piece
        if region == "header":
            parts.header = text
        elif region == "instructions-heading":
            parts.heading = text
        elif region == "instructions":
            parts.instructions = text
        elif region == "tools-heading":
            parts.tools_heading = text
        elif region == "namespace" and not parts.opening:
            parts.opening = text
        elif region == "namespace":
            parts.closing = text
        elif region == "response-formats":
            parts.formats = text
        elif region == "end":
            parts.end = text
        else:
            inner.append(piece)
    return parts, inner


def compare_developer(pair: Pair, tools: Sequence[Tool]) -> Iterator[Named]:
    """Yield the differences between the oracle's developer message and the template's."""
    block, actual, offset, actual_offset = pair.both
    parts, inner = _parts(block.pieces)
    whole = Difference(block, "message", "", block.text, actual, offset, actual_offset)
    at = len(parts.header)
    if not actual.startswith(parts.header):
        cut = actual.find(_MESSAGE)
        bare = parts.header.removesuffix(_MESSAGE)
        at = cut + len(_MESSAGE) if cut >= 0 else len(bare) if actual.startswith(bare) else 0
        yield ROLE_HEADER, whole.part("header", "", parts.header, actual[:at])
    end = _body_end(actual, at, parts.end)
    expected_end = len(block.text) - len(parts.end)
    expected = block.text[len(parts.header) : expected_end]
    body = whole.part("message", "", expected, actual[at:end], len(parts.header), at)
    if parts.formats:
        body, found = _without_formats(body, parts.formats)
        if found is not None:
            yield rules.RESPONSE_FORMATS, found
    yield from _compare_body(body, parts, inner, tools)
    if actual[end:] != parts.end:
        found = whole.part("end", "", parts.end, actual[end:], expected_end, end)
        yield name_end(found), found


def _body_end(actual: str, start: int, end: str) -> int:
    if actual.endswith(end):
        return len(actual) - len(end)
    found = max(actual.rfind(mark, start) for mark in ("<|end|>", "<|return|>", "<|call|>"))
    return found if found >= 0 else len(actual)


def _without_formats(body: Difference, formats: str) -> tuple[Difference, Difference | None]:
    """Return the message without the formats at its end, and how these differ, None where they do not."""
    cut = len(body.expected) - len(formats)
    at, found = len(body.actual) - len(formats), None
    if not body.actual.endswith(formats):
        heading = body.actual.rfind(_FORMATS)
        at = len(body.actual[:heading].rstrip("\n")) if heading >= 0 else len(body.actual)
        found = body.part("response-formats", "", formats, body.actual[at:], cut, at)
    return body.part("message", "", body.expected[:cut], body.actual[:at]), found


def _compare_body(
    body: Difference, parts: _Parts, inner: list[Piece], tools: Sequence[Tool]
) -> Iterator[Named]:
    actual = body.actual
    tools_at = _find_tools(actual, parts)
    if bool(parts.opening) != (tools_at is not None):
        yield rules.SECTION_ORDER, body.part("tools-section", "", parts.head, actual)
        return
    head = actual if tools_at is None else actual[:tools_at]
    if head != parts.head:
        yield from _compare_head(body.part("message", "", parts.head, head), parts)
    if tools_at is None:
        return
    again = _repeated_frame(actual, tools_at)
    if again > tools_at:
        yield (
            TOOL_LAYOUT,
            body.part("tools-heading", "", "", actual[tools_at:again], len(parts.head), tools_at),
        )
        tools_at = again
    tail = actual[tools_at:]
    close = tail.rfind(_FRAME_END)
    # Of two newlines the first ends the last tool's line, the second belongs to the closing line.
    last = close - 1 if tail.endswith("\n\n", 0, max(close, 0)) else close
    inside = tail[:last] if close >= 0 else tail
    expected = "".join([piece[2] for piece in inner])
    yield from compare_tools(body.part("tool", "", expected, inside, len(parts.head), tools_at), inner, tools)
    closing = tail[len(inside) :]
    if closing != parts.closing:
        skip, actual_skip = len(parts.head) + len(expected), tools_at + len(inside)
        yield TOOL_LAYOUT, body.part("namespace-close", "", parts.closing, closing, skip, actual_skip)


def _frame(actual: str, start: int) -> int:
    """Find where the frame of the tools begins when its heading is not there; -1 when nothing of it is."""
    for mark in ("# Tools", "## functions", _OPENING.rstrip()):
        at = actual.rfind(mark, start)
        if at >= 0:
            return at
    return -1


def _find_tools(actual: str, parts: _Parts) -> int | None:
    """Find where the tools begin: after `namespace functions {`, which instructions may hold too."""
    start = len(parts.heading) + len(parts.instructions)
    if not actual.startswith(parts.heading + parts.instructions):
        start = 0
    at = actual.find(_OPENING, start)
    if at < 0:
        at = actual.find(_OPENING)
    if at >= 0:
        return at + len(_OPENING)
    found = (
        _LOOSE_OPENING.search(actual, start)
        or _LOOSE_OPENING.search(actual)
        or _BROKEN_OPENING.search(actual, start)
    )
    if found is None:
        # The headings are there, and behind them the tools, without the line that opens their namespace.
        headings = (parts.tools_heading + parts.opening).removesuffix(_OPENING).strip()
        at = actual.find(headings, start) if headings else -1
        tools = actual[at + len(headings) :].lstrip("\n") if at >= 0 else ""
        return len(actual) - len(tools) if tools.startswith(("//", "type ")) else None
    return found.end()


def _repeated_frame(actual: str, tools_at: int) -> int:
    """Return where the tools begin when their heading, or a line of it, stands there once more."""
    at = actual.find(_OPENING.rstrip(), tools_at)
    heading = actual[tools_at:at].replace(_TOOLS, "").replace("## functions", "") if at >= 0 else "?"
    return at + len(_OPENING) if not heading.strip() else tools_at


def _compare_head(found: Difference, parts: _Parts) -> Iterator[Named]:
    """Compare headings and instructions up to the first tool."""
    actual = found.actual
    frame = parts.tools_heading.lstrip("\n") + parts.opening
    gap = parts.tools_heading[: len(parts.tools_heading) - len(parts.tools_heading.lstrip("\n"))]
    if not parts.instructions:
        heading = found.part("tools-heading", "", found.expected, actual)
        rule = _name_heading(heading)
        if "# Instructions" in actual:
            section = actual.partition("# Instructions")[2].partition(_TOOLS)[0]
            rule = rules.INSTRUCTIONS_ALTERED if section.strip() else rules.EMPTY_INSTRUCTIONS
        yield rule, heading
        return
    if not actual.startswith(parts.heading):
        expected = parts.heading + parts.instructions
        yield rules.SECTION_ORDER, found.part("instructions-heading", "", expected, actual)
        return
    start = len(parts.heading)
    stop = len(actual) - len(frame)
    if frame and not actual.endswith(frame):
        rest = actual[start:].removeprefix(parts.instructions)
        if len(rest) + len(parts.instructions) == len(actual) - start:
            # The instructions are there, and may hold whatever a frame begins with.
            cut = len(actual) - len(rest.lstrip("\n"))
        else:
            cut = max(actual.rfind("\n# Tools", start) + 1, 0) or _frame(actual, start)
        shown = actual[cut:] if cut >= 0 else ""
        skip = start + len(parts.instructions) + len(gap)
        heading = found.part("tools-heading", "", frame, shown, skip, max(cut, 0))
        yield _name_heading(heading), heading
        stop = cut if cut >= 0 else len(actual)
    expected, shown = parts.instructions + gap, actual[start:stop]
    if shown != expected:
        newlines = expected.rstrip("\n") == shown.rstrip("\n")
        rule = rules.INSTRUCTIONS_TRAILING_NEWLINES if newlines else rules.INSTRUCTIONS_ALTERED
        yield rule, found.part("instructions", "", expected, shown, start, start)


def _name_heading(found: Difference) -> Rule:
    if found.actual.startswith(f"{_TOOLS}\n\n"):
        # The heading is right, and what differs is the frame behind it.
        return TOOL_LAYOUT
    if found.expected.split() == found.actual.split():
        return EXTRA_NEWLINE
    return TOOL_LAYOUT if found.actual.startswith(_TOOLS) else rules.SECTION_ORDER
