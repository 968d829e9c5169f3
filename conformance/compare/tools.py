"""The functions namespace: find which tools and which of their parts differ, and name it.

The oracle's side is cut by its pieces. The template's side is cut at an anchor that every notation of functions
shares: `type NAME =` at the start of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from conformance.compare.base import Difference, Named
from conformance.compare.properties import comment_lines, compare_properties
from conformance.compare.units import Unit, property_units
from conformance.conversation import Tool
from conformance.oracles.base import Piece
from conformance.rules import tool_definitions as rules
from conformance.rules.base import Rule

_NAMED = re.compile(r"^[ \t]*type[ \t]+([\w-]+)[ \t]*=", re.MULTILINE)
_BRACE = re.compile(r"\{[ \t]*\n")
_ANY_TOOL = re.compile(r"^[ \t]*type[ \t]+[\w-]+[ \t]*=", re.MULTILINE)
_CLOSE = re.compile(r"\)?+(?<! ) *+=> *+any;")  # linear in blanks


@dataclass(slots=True)
class ToolUnit:
    """A tool as the oracle prints it: description, opening, properties, close."""

    name: str
    lead: str = ""
    description: str = ""
    opening: str = ""
    units: list[Unit] = field(default_factory=list)
    close: str = ""

    @property
    def body(self) -> str:
        """The text from `type` on."""
        return "".join([self.opening, *[unit.text for unit in self.units], self.close])

    @property
    def text(self) -> str:
        """The whole text of the tool."""
        return self.lead + self.description + self.body


def tool_units(pieces: list[Piece]) -> list[ToolUnit]:
    """Cut the pieces of the functions namespace (without its frame) into tools."""
    tools: list[ToolUnit] = []
    inner: list[Piece] = []
    for piece in pieces:
        region, path, text = piece
        if region == "tool" and text == "\n":
            tools.append(ToolUnit(path, lead=text))
            inner = []
        elif region == "tool-description":
            tools[-1].description = text
        elif region == "no-parameters" or (region == "tool" and not tools[-1].opening):
            tools[-1].opening = text
        elif region == "tool":
            before, tools[-1].units, after = property_units(inner, path)
            tools[-1].opening += "".join([p[2] for p in before])
            tools[-1].close = "".join([p[2] for p in after]) + text
        else:
            inner.append(piece)
    return tools


@lru_cache(maxsize=4096)
def _anchor(name: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*type[ \t]+{re.escape(name)}[ \t]*[=({{:]", re.MULTILINE)


@lru_cache(maxsize=4096)
def _loose_anchor(name: str) -> re.Pattern[str]:
    """Match a tool that runs on behind its description, or another notation's."""
    return re.compile(rf"type[ \t]+{re.escape(name)}[ \t]*=[ \t]*\(")


# Where a tool is in the template's text: its description, its `type`, and its end.
_Span = tuple[int, int, int]


def compare_tools(found: Difference, pieces: list[Piece], tools: Sequence[Tool]) -> Iterator[Named]:
    """Compare all tools: `found` has the namespaces from after their opening to before their close.

    `pieces` are the oracle's, `tools` what they are written from.
    """
    actual, skip, behind = found.actual, 0, 0
    units = tool_units(pieces)
    spans = _spans(actual, units)
    moved = _moved([span[1] if span else None for span in spans])
    for number, (unit, tool, span) in enumerate(zip(units, tools, spans, strict=True)):
        text = unit.text
        if span is None:
            yield rules.TOOL_DROPPED, found.part("tool", unit.name, text, "", skip, behind)
            skip += len(text)
            continue
        start, anchor, end = span
        if number in moved:
            yield rules.TOOL_DROPPED, found.part("tool", unit.name, text, "", skip, behind)
        extra = _extra(actual, start, anchor)
        if extra > start:
            yield rules.TOOL_DROPPED, found.part("tool", "", "", actual[start:extra], skip, start)
        head = unit.lead + unit.description
        shown = actual[extra:anchor]
        yield from _compare_head(found.part("tool", unit.name, head, shown, skip, extra), unit, tool)
        body = found.part("parameters", unit.name, unit.body, actual[anchor:end], skip + len(head), anchor)
        yield from _compare_body(body, unit, tool)
        behind = max(behind, end)
        skip += len(text)
    rest = actual[behind:]
    if rest:
        rule = rules.TOOL_LAYOUT if _only_closes(rest) else rules.TOOL_DROPPED
        yield rule, found.part("tool", "", "", rest, skip, behind)


def _only_closes(text: str) -> bool:
    """Say whether a text holds nothing but ends of tools, without a tool."""
    return not _CLOSE.sub("", text).strip("(){}_: \n")


def _spans(actual: str, units: list[ToolUnit]) -> list[_Span | None]:
    """Find the tools in the template's text: first in the order of the oracle's, then between those."""
    spans: list[_Span | None] = []
    position = 0
    for number, unit in enumerate(units):
        text = unit.text
        if actual.startswith(text, position):
            anchor = position + len(unit.lead) + len(unit.description)
            spans.append((position, anchor, position + len(text)))
        else:
            found = _anchor(unit.name).search(actual, position)
            end = _end(actual, found, unit, units[number + 1 :]) if found else 0
            spans.append((position, found.start(), end) if found else None)
        position = max(position, spans[-1][2] if spans[-1] else 0)
    for number, unit in enumerate(units):
        if spans[number] is None:
            _place(actual, number, unit, spans)
    _pair_by_order(actual, units, spans)
    return spans


def _pair_by_order(actual: str, units: list[ToolUnit], spans: list[_Span | None]) -> None:
    """Pair tools whose names are nowhere with as many declarations that nobody has, in the same place."""
    number = 0
    while number < len(units):
        first = number
        while number < len(units) and spans[number] is None:
            number += 1
        if number > first:
            before = spans[first - 1] if first else None
            after = spans[number] if number < len(units) else None
            begin = before[2] if before else 0
            closes = list(_CLOSE.finditer(actual, begin, after[1] if after else len(actual)))
            ends = [close.end() + actual.startswith("\n", close.end()) for close in closes]
            if len(ends) == number - first and begin <= (after[0] if after else begin):
                starts = [begin, *ends]
                for unit, start, end in zip(range(first, number), starts, ends, strict=False):
                    if _may_be(units[unit].name, actual[start:end]):
                        spans[unit] = start, _declaration(actual, start, end), end
                if after is not None:
                    spans[number] = ends[-1], after[1], after[2]
        number += 1


def _may_be(name: str, text: str) -> bool:
    """Say whether a declaration may be that of a tool: it has no name, or this one written otherwise."""
    found = _NAMED.search(text)
    return found is None or found[1].casefold() == name.casefold()


def _declaration(actual: str, start: int, end: int) -> int:
    """Return where a declaration begins behind its empty line and its comment."""
    at = start
    while at < end and actual.startswith(("\n", "//"), at):
        at = actual.find("\n", at, end) + 1 or end
    return at if at < end else start


def _place(actual: str, number: int, unit: ToolUnit, spans: list[_Span | None]) -> None:
    """Look for a tool in what stands before each of the others and behind the last, and take it out of there."""
    gaps = [(span[0], span[1], other) for other, span in enumerate(spans) if span is not None]
    gaps.append((max((span[2] for span in spans if span), default=0), len(actual), -1))
    for pattern in (_anchor(unit.name), _loose_anchor(unit.name)):
        for start, stop, other in gaps:
            found = pattern.search(actual, start, stop)
            close = _CLOSE.search(actual, found.end(), stop) if found else None
            if found is None or close is None:
                continue
            end = close.end() + actual.startswith("\n", close.end())
            before = _extra(actual, start, found.start())
            spans[number] = (before, found.start(), end)
            whole = spans[other]
            if other >= 0 and whole is not None:
                # What is left before the other tool is its own, unless it stood before this one.
                spans[other] = (end, whole[1], whole[2])
            return


def _moved(places: list[int | None]) -> set[int]:
    """Return the fewest tools that must have moved: all but those of a longest run in order."""
    found = [(number, place) for number, place in enumerate(places) if place is not None]
    best: list[list[int]] = []
    for at, (_, place) in enumerate(found):
        earlier = [run for run in best if found[run[-1]][1] < place]
        best.append([*max(earlier, key=len, default=[]), at])
    kept = {found[at][0] for at in max(best, key=len, default=[])}
    return {number for number, _ in found} - kept


def _extra(actual: str, start: int, stop: int) -> int:
    """Return where text before a tool that belongs to unknown tools ends; `start` where there is none."""
    end = start
    for anchor in _ANY_TOOL.finditer(actual, start, stop):
        close = _CLOSE.search(actual, anchor.end(), stop)
        if close is not None:
            end = close.end() + actual.startswith("\n", close.end())
    return end


def _end(actual: str, found: re.Match[str], unit: ToolUnit, following: list[ToolUnit]) -> int:
    """Find where a tool ends: after the last `=> any;` before the next tool that is there."""
    if actual.startswith(unit.body, found.start()):
        return found.start() + len(unit.body)
    limit = len(actual)
    for tool in following:
        anchor = _anchor(tool.name).search(actual, found.end())
        if anchor is not None:
            limit = anchor.start()
            break
    close = None
    for close in _CLOSE.finditer(actual, found.end(), limit):
        another = _ANY_TOOL.search(actual, close.end(), limit)
        if (limit != len(actual) or another) and actual.startswith("\n\n", close.end()):
            break
    if close is None:
        return limit
    end = close.end()
    return end + 1 if actual.startswith("\n", end) else end


def _compare_head(found: Difference, unit: ToolUnit, tool: Tool) -> Iterator[Named]:
    """Compare the empty line before a tool and its description."""
    if found.actual == found.expected:
        return
    if found.actual.startswith(unit.lead):
        lead = len(unit.lead)
        found = found.part("tool", unit.name, unit.description, found.actual[lead:], lead, lead)
    written = found.actual.removesuffix(found.expected)
    again = len(written) < len(found.actual) and _only_closes(written)
    if again or found.actual.lstrip("\n") == found.expected.lstrip("\n"):
        yield rules.TOOL_LAYOUT, found
        return
    found.region = "tool-description"
    yield _name_description(found, tool), found


def _name_description(found: Difference, tool: Tool) -> Rule:
    text = tool.description
    if not text:
        return rules.MISSING_DESCRIPTION
    if "\n" in text or "\r" in text:
        return rules.MULTILINE_DESCRIPTION
    if not found.actual.strip():
        return rules.MISSING_DESCRIPTION
    same = found.actual.endswith("\n") and comment_lines(found.actual) == comment_lines(found.expected)
    return rules.TOOL_LAYOUT if same else rules.SCHEMA_COMMENTS_DROPPED


def _compare_body(found: Difference, unit: ToolUnit, tool: Tool) -> Iterator[Named]:
    """Compare a tool from its `type` on."""
    actual = found.actual
    if actual == found.expected:
        return
    if not unit.units:
        yield _name_parameters(found, tool), found
        return
    opening = unit.opening if actual.startswith(unit.opening) else _opening(actual)
    if opening != unit.opening:
        # The description of the parameters stands in the opening.
        described, shown = (text.partition("//")[2].split() for text in (unit.opening, opening))
        rule = rules.SCHEMA_COMMENTS_DROPPED if described != shown else rules.TOOL_LAYOUT
        yield rule, found.part("opening", unit.name, unit.opening, opening)
    end = _closing(actual, unit.close)
    inside = "".join([each.text for each in unit.units])
    inner = found.part(
        "property", unit.name, inside, actual[len(opening) : end], len(unit.opening), len(opening)
    )
    yield from compare_properties(inner, unit.units, (tool.parameters or {}).get("properties"), "")
    if actual[end:] != unit.close:
        skip = len(found.expected) - len(unit.close)
        yield rules.TOOL_LAYOUT, found.part("tool", unit.name, unit.close, actual[end:], skip, end)


def _opening(actual: str) -> str:
    brace = _BRACE.search(actual)
    return actual[: brace.end()] if brace else actual[: actual.find("=") + 1]


def _closing(actual: str, close: str) -> int:
    if actual.endswith(close):
        return len(actual) - len(close)
    at = max(actual.rfind("\n}"), actual.rfind("{}"))
    return at + 1 if at >= 0 else len(actual)


def _name_parameters(found: Difference, tool: Tool) -> Rule:
    """Name what differs in a tool without properties."""
    expected, actual = found.expected, found.actual
    if expected.split() == actual.split() or expected.partition("(")[2] == actual.partition("(")[2]:
        return rules.TOOL_LAYOUT
    parameters = tool.parameters
    if parameters is not None and parameters.get("description") and found.actual.count("//") == 0:
        bare = "".join(line for line in found.expected.splitlines(keepends=True) if "//" not in line)
        if "=> any" in found.actual and bare and "{" in found.actual:
            return rules.SCHEMA_COMMENTS_DROPPED
    if parameters is None or not parameters.get("properties"):
        return rules.EMPTY_PARAMETERS
    return rules.TYPE_NAME if parameters.get("type") != "object" else rules.TOOL_LAYOUT
