"""Compare two tools sections property by property.

The oracle's side is cut by its pieces. The template's side is cut at anchors that every notation of
functions shares: `type NAME =` and, inside, `name:` or `name?:` at the start of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from conformance.compare.base import Difference
from conformance.oracles.base import BELOW, WITHIN, Block, Piece

_COMMENTS = frozenset({"title", "description", "examples", "one-of-default"})
_BRACE = re.compile(r"\{[ \t]*\n")
_CLOSE = re.compile(r"\)? *=> *any;")


@dataclass(slots=True)
class Unit:
    """A property as the oracle prints it: its comment lines, its name, and the rest up to the line's end."""

    path: str
    name: str
    pieces: list[Piece]
    comment: str = ""
    head: str = ""
    body: str = ""
    one_of: bool = False

    @property
    def text(self) -> str:
        """The whole text of the property."""
        return self.comment + self.head + self.body


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
    def text(self) -> str:
        """The whole text of the tool."""
        return "".join([self.lead, self.description, self.opening, *[u.text for u in self.units], self.close])


def property_units(pieces: list[Piece], parent: str) -> tuple[list[Piece], list[Unit], list[Piece]]:
    """Cut the pieces of an object into what stands before its properties, the properties, and what follows."""
    depth = len(parent) + 1
    before: list[Piece] = []
    after: list[Piece] = []
    units: list[Unit] = []
    for piece in pieces:
        region, path, text = piece
        if not path.startswith(f"{parent}{WITHIN}"):
            (after if units else before).append(piece)
            continue
        if not units or _starts(region, path, units[-1]):
            units.append(Unit(path, path[depth:], []))
        unit = units[-1]
        unit.pieces.append(piece)
        if path != unit.path or unit.head:
            unit.body += text
        elif region in ("name", "one-of-name"):
            unit.head = text
            unit.one_of = region == "one-of-name"
        else:
            unit.comment += text
    return before, units, after


def _starts(region: str, path: str, unit: Unit) -> bool:
    """Say whether a piece begins the next property: it belongs elsewhere, or to the same path after its line ended."""
    inside = path == unit.path or path.startswith((f"{unit.path}{WITHIN}", f"{unit.path}{BELOW}"))
    if not inside:
        return True
    return path == unit.path and region in _COMMENTS | {"name", "one-of-name"} and bool(unit.head)


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
def _tool_anchor(name: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*type {re.escape(name)} *=", re.MULTILINE)


@lru_cache(maxsize=8192)
def _property_anchor(name: str, indent: str) -> re.Pattern[str]:
    blank = re.escape(indent) if indent else r"[ \t]*"
    return re.compile(rf"^{blank}[\"']?{re.escape(name)}[\"']?\??[ ]*:", re.MULTILINE)


def compare_tools(
    block: Block, tools: list[ToolUnit], actual: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    """Compare all tools; `actual` is the template's namespace from after its opening to before its close."""
    position = 0
    for number, tool in enumerate(tools):
        text = tool.text
        if actual.startswith(text, position):
            position += len(text)
            offset += len(text)
            continue
        anchor = _tool_anchor(tool.name).search(actual, position)
        if anchor is None:
            yield Difference(
                block, "tool", tool.name, text, "", offset, actual_offset + position, "tool-dropped"
            )
            offset += len(text)
            continue
        end = _tool_end(actual, anchor.end(), tools[number + 1 :])
        yield from _compare_head(
            block, tool, actual[position : anchor.start()], offset, actual_offset + position
        )
        start = offset + len(tool.lead) + len(tool.description)
        stretch = actual[anchor.start() : end]
        yield from _compare_body(block, tool, stretch, start, actual_offset + anchor.start())
        position = end
        offset += len(text)
    rest = actual[position:]
    if rest:
        hint = "tool-layout" if not rest.strip() else "tool-dropped"
        yield Difference(block, "tool", "", "", rest, offset, actual_offset + position, hint)


def _tool_end(actual: str, start: int, following: list[ToolUnit]) -> int:
    """Find where a tool ends: after the last `=> any;` before the next tool that is there."""
    limit = len(actual)
    for tool in following:
        anchor = _tool_anchor(tool.name).search(actual, start)
        if anchor is not None:
            limit = anchor.start()
            break
    close = None
    for close in _CLOSE.finditer(actual, start, limit):
        if limit != len(actual) and actual.startswith("\n\n", close.end()):
            break
    if close is None:
        return limit
    end = close.end()
    return end + 1 if actual.startswith("\n", end) else end


def _compare_head(
    block: Block, tool: ToolUnit, actual: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    expected = tool.lead + tool.description
    if actual == expected:
        return
    if actual.startswith(tool.lead):
        actual, actual_offset = actual[len(tool.lead) :], actual_offset + len(tool.lead)
        expected, offset = tool.description, offset + len(tool.lead)
    region = "tool-description"
    if actual.strip() == expected.strip():
        region = "tool"
    yield Difference(block, region, tool.name, expected, actual, offset, actual_offset)


def _compare_body(
    block: Block, tool: ToolUnit, actual: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    expected = "".join([tool.opening, *[unit.text for unit in tool.units], tool.close])
    if actual == expected:
        return
    if not tool.units:
        yield Difference(block, "parameters", tool.name, expected, actual, offset, actual_offset)
        return
    first = len(tool.opening)
    opening = tool.opening if actual.startswith(tool.opening) else _opening(actual)
    if opening != tool.opening:
        yield Difference(block, "opening", tool.name, tool.opening, opening, offset, actual_offset)
    end = _closing(actual, tool.close)
    inner = actual[len(opening) : end]
    yield from compare_units(block, tool.units, inner, "", offset + first, actual_offset + len(opening))
    if actual[end:] != tool.close:
        at = offset + len(expected) - len(tool.close)
        yield Difference(block, "tool", tool.name, tool.close, actual[end:], at, actual_offset + end)


def _opening(actual: str) -> str:
    brace = _BRACE.search(actual)
    return actual[: brace.end()] if brace else actual[: actual.find("=") + 1]


def _closing(actual: str, close: str) -> int:
    if actual.endswith(close):
        return len(actual) - len(close)
    at = max(actual.rfind("\n}"), actual.rfind("{}"))
    return at + 1 if at >= 0 else len(actual)


def compare_units(
    block: Block, units: list[Unit], actual: str, indent: str, offset: int, actual_offset: int
) -> Iterator[Difference]:
    """Compare the properties of one object; `actual` is the text between its braces.

    Yields differences in regions `comment`, `name`, `body` and `one-of`, each with the property's path.
    """
    found = _cut(units, actual, indent)
    if None in found and _reordered(units, found, actual, indent):
        expected = "".join([unit.text for unit in units])
        path = units[0].path
        yield Difference(block, "property", path, expected, actual, offset, actual_offset, "tool-dropped")
        return
    for unit, cut in zip(units, found, strict=True):
        text = unit.text
        if cut is None:
            yield Difference(block, "property", unit.path, text, "", offset, actual_offset, "tool-dropped")
        elif actual[cut[0] : cut[2]] != text:
            yield from _compare_unit(block, unit, actual, cut, offset, actual_offset)
        offset += len(text)
    if not units and actual:
        yield Difference(block, "property", "", "", actual, offset, actual_offset, "tool-dropped")


_Cut = tuple[int, int, int]


def _reordered(units: list[Unit], found: list[_Cut | None], actual: str, indent: str) -> bool:
    """Say whether a property that is not in its place stands in another one."""
    return any(
        cut is None and _property_anchor(unit.name, indent).search(actual) is not None
        for unit, cut in zip(units, found, strict=True)
    )


def comparable(units: list[Unit], actual: str, indent: str) -> bool:
    """Say whether properties stand on lines of their own at this indent, or nowhere: these were dropped."""
    here = [_property_anchor(unit.name, indent).search(actual) is not None for unit in units]
    return any(here) and not any(
        _property_anchor(unit.name, "").search(actual)
        for unit, found in zip(units, here, strict=True)
        if not found
    )


def _cut(units: list[Unit], actual: str, indent: str) -> list[_Cut | None]:
    """Find each property's start, name and end in the actual text; None where its name is not found."""
    names: list[int | None] = []
    position = 0
    exact_end = -1
    for previous, unit in zip([None, *units], units, strict=False):
        text = unit.text
        if exact_end in (-1, position) and actual.startswith(text, position):
            names.append(position + len(unit.comment))
            position += len(text)
            exact_end = position
            continue
        at = actual.find(unit.head + unit.body, position)
        if at >= 0 and (at == 0 or actual[at - 1] == "\n"):
            names.append(at)
            position = at + len(unit.head) + len(unit.body)
            continue
        anchor = _find_name(unit.name, indent, actual, position, _inner_names(previous, unit.name))
        names.append(anchor.start() if anchor else None)
        position = anchor.end() if anchor else position
    cuts: list[_Cut | None] = []
    end = len(actual)
    for unit, name in zip(reversed(units), reversed(names), strict=True):
        if name is None:
            cuts.append(None)
            continue
        floor, above = max(
            ((n, u) for n, u in zip(names, units, strict=True) if n is not None and n < name),
            default=(-1, None),
            key=lambda entry: entry[0],
        )
        start = _comment_start(actual, unit.comment, floor, name)
        if above is not None and actual.startswith(above.head + above.body, floor):
            start = floor + len(above.head) + len(above.body)
        cuts.append((start, name, end))
        end = start
    return cuts[::-1]


def _inner_names(unit: Unit | None, name: str) -> int:
    """Count how often a name is that of a nested property, which some templates print at the start of a line."""
    if unit is None:
        return 0
    return sum(
        region in ("name", "one-of-name") and path != unit.path and path.endswith(f"{WITHIN}{name}")
        for region, path, _ in unit.pieces
    )


def _find_name(name: str, indent: str, actual: str, position: int, skip: int) -> re.Match[str] | None:
    """Find a property's name, passing over nested ones as long as another follows."""
    anchor = _property_anchor(name, indent).search(actual, position)
    while anchor is not None and skip:
        later = _property_anchor(name, indent).search(actual, anchor.end())
        if later is None:
            break
        anchor, skip = later, skip - 1
    return anchor


def _comment_start(actual: str, comment: str, floor: int, name: int) -> int:
    """Find where the comment lines before a name begin; what stands before them ends the previous property."""
    low = actual.find("\n", floor) + 1 if floor >= 0 else 0
    if floor >= 0 and low == 0:
        low = name
    if not comment and floor < 0:
        return 0
    if comment and actual.endswith(comment, low, name):
        return name - len(comment)
    if floor < 0:
        return 0
    lines = [f"\n{line}\n" for line in comment.split("\n") if len(line) > 3]
    ats = [at for at in (actual.find(line, low - 1, name) for line in lines) if at >= 0]
    if ats:
        return min(ats) + 1
    start = name
    while start > low:
        line = actual.rfind("\n", low, start - 1) + 1 or low
        line = max(line, low)
        if not actual.startswith("//", line):
            break
        start = line
        if line == low:
            break
    return start


def _compare_unit(
    block: Block, unit: Unit, actual: str, cut: _Cut, offset: int, actual_offset: int
) -> Iterator[Difference]:
    start, name, end = cut
    comment, rest = actual[start:name], actual[name:end]
    if unit.one_of:
        yield Difference(
            block, "one-of", unit.path, unit.text, actual[start:end], offset, actual_offset + start
        )
        return
    if comment != unit.comment:
        yield Difference(block, "comment", unit.path, unit.comment, comment, offset, actual_offset + start)
    offset += len(unit.comment)
    colon = rest.find(":") + 1
    head = rest[: colon + 1] if rest.startswith(" ", colon) else rest[:colon]
    if head != unit.head:
        yield Difference(block, "name", unit.path, unit.head, head, offset, actual_offset + name)
    body = rest[len(head) :]
    if body != unit.body:
        at = offset + len(unit.head)
        yield Difference(block, "body", unit.path, unit.body, body, at, actual_offset + name + len(head))
