"""Compare two developer messages: headings, instructions, and the tools section."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.compare.base import Difference
from conformance.compare.tools import compare_tools, tool_units
from conformance.oracles.base import Block, Piece

_FRAME_END = "} // namespace functions"


@dataclass(slots=True)
class _Parts:
    """The oracle's developer message in parts; texts that are not there are empty."""

    header: str = ""
    heading: str = ""
    instructions: str = ""
    tools_heading: str = ""
    opening: str = ""
    closing: str = ""
    end: str = ""


def _parts(pieces: list[Piece]) -> tuple[_Parts, list[Piece]]:
    parts, inner = _Parts(), []
    for region, path, text in pieces:
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
        elif region == "end":
            parts.end = text
        else:
            inner.append((region, path, text))
    return parts, inner


def compare_developer(block: Block, actual: str, offset: int, actual_offset: int) -> Iterator[Difference]:
    """Yield the differences between the oracle's developer message and the template's."""
    parts, inner = _parts(block.pieces)
    at = 0
    if actual.startswith(parts.header):
        at = len(parts.header)
    else:
        cut = actual.find("<|message|>") + len("<|message|>")
        at = cut if cut >= len("<|message|>") else 0
        yield Difference(block, "header", "", parts.header, actual[:at], offset, actual_offset)
    body_end = _body_end(actual, at, parts.end)
    expected_body = block.text[len(parts.header) : len(block.text) - len(parts.end)]
    yield from _compare_body(
        block, parts, inner, actual[at:body_end], offset + len(parts.header), actual_offset + at
    )
    if actual[body_end:] != parts.end:
        end_at = offset + len(parts.header) + len(expected_body)
        yield Difference(block, "end", "", parts.end, actual[body_end:], end_at, actual_offset + body_end)


def _body_end(actual: str, start: int, end: str) -> int:
    if actual.endswith(end):
        return len(actual) - len(end)
    found = max(actual.rfind(mark, start) for mark in ("<|end|>", "<|return|>", "<|call|>"))
    return found if found >= 0 else len(actual)


def _compare_body(
    block: Block, parts: _Parts, inner: list[Piece], actual: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    tools_at = _find_tools(actual, parts)
    if bool(parts.opening) != (tools_at is not None):
        region = "tools-section"
        expected = parts.heading + parts.instructions + parts.tools_heading + parts.opening
        yield Difference(block, region, "", expected, actual, offset, actual_offset, "section-order")
        return
    head, tail = actual, ""
    if tools_at is not None:
        head, tail = actual[:tools_at], actual[tools_at:]
    expected_head = parts.heading + parts.instructions + parts.tools_heading + parts.opening
    if head != expected_head:
        yield from _compare_head(block, parts, head, offset, actual_offset)
    if tools_at is None:
        return
    offset += len(expected_head)
    actual_offset += tools_at
    close = tail.rfind(_FRAME_END)
    # Of two newlines the first ends the last tool's line, the second belongs to the closing line.
    last = close - 1 if tail.endswith("\n\n", 0, max(close, 0)) else close
    inside = tail[:last] if close >= 0 else tail
    yield from compare_tools(block, tool_units(inner), inside, offset, actual_offset)
    expected_close = parts.closing
    actual_close = tail[len(inside) :]
    if actual_close != expected_close:
        at = offset + sum(len(piece[2]) for piece in inner)
        yield Difference(
            block, "namespace-close", "", expected_close, actual_close, at, actual_offset + len(inside)
        )


def _frame(actual: str, start: int) -> int:
    """Find where the frame of the tools begins when its heading is not there; -1 when nothing of it is."""
    for mark in ("# Tools", "## functions", "namespace functions {"):
        at = actual.rfind(mark, start)
        if at >= 0:
            return at
    return -1


def _find_tools(actual: str, parts: _Parts) -> int | None:
    """Find where the tools begin: after `namespace functions {`, which instructions may hold too."""
    start = len(parts.heading) + len(parts.instructions)
    if not actual.startswith(parts.heading + parts.instructions):
        start = 0
    at = actual.find("namespace functions {\n", start)
    if at < 0:
        at = actual.find("namespace functions {\n")
    return None if at < 0 else at + len("namespace functions {\n")


def _compare_head(
    block: Block, parts: _Parts, actual: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    """Compare headings and instructions up to the first tool."""
    tail = parts.tools_heading.lstrip("\n") + parts.opening
    gap = parts.tools_heading[: len(parts.tools_heading) - len(parts.tools_heading.lstrip("\n"))]
    if not parts.instructions:
        expected = parts.heading + parts.tools_heading + parts.opening
        hint = "empty-instructions" if "# Instructions" in actual else ""
        yield Difference(block, "tools-heading", "", expected, actual, offset, actual_offset, hint)
        return
    if not actual.startswith(parts.heading):
        hint = "section-order"
        yield Difference(
            block,
            "instructions-heading",
            "",
            parts.heading + parts.instructions,
            actual,
            offset,
            actual_offset,
            hint,
        )
        return
    start = len(parts.heading)
    if tail and not actual.endswith(tail):
        cut = max(actual.rfind("\n# Tools", start) + 1, 0) or _frame(actual, start)
        shown = actual[cut:] if cut >= 0 else ""
        at = offset + start + len(parts.instructions) + len(gap)
        yield Difference(block, "tools-heading", "", tail, shown, at, actual_offset + max(cut, 0))
        stop = cut if cut >= 0 else len(actual)
    else:
        stop = len(actual) - len(tail)
    expected = parts.instructions + gap
    if actual[start:stop] != expected:
        yield Difference(
            block, "instructions", "", expected, actual[start:stop], offset + start, actual_offset + start
        )
