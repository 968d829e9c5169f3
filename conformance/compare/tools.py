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
from conformance.compare.properties import compare_properties
from conformance.compare.units import Unit, property_units
from conformance.conversation import Tool
from conformance.oracles.base import Piece
from conformance.rules import tool_definitions as rules
from conformance.rules.base import Rule

_BRACE = re.compile(r"\{[ \t]*\n")
_CLOSE = re.compile(r"\)? *=> *any;")


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
    return re.compile(rf"^[ \t]*type {re.escape(name)} *=", re.MULTILINE)


def compare_tools(found: Difference, pieces: list[Piece], tools: Sequence[Tool]) -> Iterator[Named]:
    """Compare all tools: `found` has the namespaces from after their opening to before their close.

    `pieces` are the oracle's, `tools` what they are written from.
    """
    actual, position, skip = found.actual, 0, 0
    units = tool_units(pieces)
    for number, (unit, tool) in enumerate(zip(units, tools, strict=True)):
        text = unit.text
        if actual.startswith(text, position):
            position += len(text)
            skip += len(text)
            continue
        anchor = _anchor(unit.name).search(actual, position)
        if anchor is None:
            yield rules.TOOL_DROPPED, found.part("tool", unit.name, text, "", skip, position)
            skip += len(text)
            continue
        end = _end(actual, anchor.end(), units[number + 1 :])
        head, shown = unit.lead + unit.description, actual[position : anchor.start()]
        yield from _compare_head(found.part("tool", unit.name, head, shown, skip, position), unit, tool)
        shown = actual[anchor.start() : end]
        body = found.part("parameters", unit.name, unit.body, shown, skip + len(head), anchor.start())
        yield from _compare_body(body, unit, tool)
        position = end
        skip += len(text)
    rest = actual[position:]
    if rest:
        rule = rules.TOOL_DROPPED if rest.strip() else rules.TOOL_LAYOUT
        yield rule, found.part("tool", "", "", rest, skip, position)


def _end(actual: str, start: int, following: list[ToolUnit]) -> int:
    """Find where a tool ends: after the last `=> any;` before the next tool that is there."""
    limit = len(actual)
    for tool in following:
        anchor = _anchor(tool.name).search(actual, start)
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


def _compare_head(found: Difference, unit: ToolUnit, tool: Tool) -> Iterator[Named]:
    """Compare the empty line before a tool and its description."""
    if found.actual == found.expected:
        return
    if found.actual.startswith(unit.lead):
        lead = len(unit.lead)
        found = found.part("tool", unit.name, unit.description, found.actual[lead:], lead, lead)
    if found.actual.strip() != found.expected.strip():
        found.region = "tool-description"
        yield _name_description(found, tool), found
    elif found.expected.lstrip("\n") == found.actual.lstrip("\n"):
        yield rules.TOOL_LAYOUT, found
    else:
        lines = "\n" in (tool.description or "") and "//" in found.expected
        yield (rules.MULTILINE_DESCRIPTION if lines else rules.TOOL_LAYOUT), found


def _name_description(found: Difference, tool: Tool) -> Rule:
    text = tool.description
    if not text:
        return rules.MISSING_DESCRIPTION
    if "\n" in text or "\r" in text:
        return rules.MULTILINE_DESCRIPTION
    if not found.actual.strip():
        return rules.MISSING_DESCRIPTION
    same = found.actual.split() == found.expected.split()
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
        dropped = "//" in unit.opening and "//" not in opening
        rule = rules.SCHEMA_COMMENTS_DROPPED if dropped else rules.TOOL_LAYOUT
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
    if found.expected.split() == found.actual.split():
        return rules.TOOL_LAYOUT
    parameters = tool.parameters
    if parameters is not None and parameters.get("description") and found.actual.count("//") == 0:
        bare = "".join(line for line in found.expected.splitlines(keepends=True) if "//" not in line)
        if "=> any" in found.actual and bare and "{" in found.actual:
            return rules.SCHEMA_COMMENTS_DROPPED
    if parameters is None or not parameters.get("properties"):
        return rules.EMPTY_PARAMETERS
    return rules.TYPE_NAME if parameters.get("type") != "object" else rules.TOOL_LAYOUT
