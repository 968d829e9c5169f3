"""The system message: find its differences line by line, and name them."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.compare.align import ENDS, Pair
from conformance.compare.base import Compared, Difference, Named
from conformance.compare.ends import name_end
from conformance.oracles.base import Region
from conformance.rules.base import Rule
from conformance.rules.messages import EXTRA_NEWLINE, ROLE_HEADER
from conformance.rules.system import (
    BUILTIN_TOOLS,
    CURRENT_DATE,
    FUNCTIONS_NOTE,
    REASONING_EFFORT,
    SYSTEM_TEXT,
)

# So many characters of a region without an anchor tell where it begins.
_TELLING = 12
# How each region begins in any notation, so that a changed one does not drag the rest along.
_ANCHORS: dict[Region, str] = {
    "cutoff": "Knowledge cutoff:",
    "current-date": "Current date:",
    "reasoning-effort": "Reasoning:",
    "builtin-tools": "# Tools",
    "channels": "# Valid channels:",
    "functions-note": "\nCalls to these tools",
    "end": "<|end|>",
}
_LINES: frozenset[Compared] = frozenset({"current-date", "reasoning-effort"})
_RULES: dict[Compared, Rule] = {
    "current-date": CURRENT_DATE,
    "reasoning-effort": REASONING_EFFORT,
    "builtin-tools": BUILTIN_TOOLS,
    "functions-note": FUNCTIONS_NOTE,
}


def compare_system(pair: Pair) -> Iterator[Named]:
    """Yield the differences between two system messages, one for each region of the oracle's."""
    for found in _differences(pair):
        yield _rule(found), found


def _rule(found: Difference) -> Rule:
    if "Calls to these tools" in found.actual and "Calls to these tools" not in found.expected:
        return FUNCTIONS_NOTE
    if "# Tools" in found.actual and "# Tools" not in found.expected:
        return BUILTIN_TOOLS
    if found.region == "header":
        return ROLE_HEADER
    if found.region == "end" and not found.expected:
        return SYSTEM_TEXT if found.actual.strip() else EXTRA_NEWLINE
    if found.region == "end" and found.actual.strip() in ("", *ENDS):
        return name_end(found)
    if found.region in _LINES and found.actual.split() == found.expected.split():
        # The line is right, and the empty line behind it is the layout of the whole.
        return SYSTEM_TEXT
    return _RULES.get(found.region, SYSTEM_TEXT)


def _differences(pair: Pair) -> Iterator[Difference]:
    block, actual, offset, actual_offset = pair.both
    groups: list[tuple[Region, str]] = []
    for region, _, text in block.pieces:
        if groups and groups[-1][0] == region:
            groups[-1] = (region, groups[-1][1] + text)
        else:
            groups.append((region, text))
    position = 0
    for number, (region, text) in enumerate(groups):
        if actual.startswith(text, position):
            position += len(text)
        else:
            inserted = _insertion(actual, position, region)
            if inserted:
                # What stands before a region that begins later is nobody's.
                yield Difference(block, "gap", "", "", inserted, offset, actual_offset + position)
                position += len(inserted)
                if actual.startswith(text, position):
                    position += len(text)
                    offset += len(text)
                    continue
            end = _next(actual, position, groups[number + 1 :])
            yield Difference(block, region, "", text, actual[position:end], offset, actual_offset + position)
            position = end
        offset += len(text)
    if position < len(actual):
        yield Difference(block, "end", "", "", actual[position:], offset, actual_offset + position)


def _insertion(actual: str, position: int, region: Region) -> str:
    """Return the blanks that stand before a region's beginning."""
    anchor = _ANCHORS.get(region, "")
    at = actual.find(anchor, position) if anchor else -1
    between = actual[position:at] if at > position else ""
    return "" if between.strip() else between


def _next(actual: str, position: int, following: list[tuple[Region, str]]) -> int:
    """Find where the next region that is there begins."""
    for name, text in following:
        anchor = _ANCHORS.get(name) or (text[:_TELLING] if len(text.strip()) >= _TELLING else "")
        at = actual.find(anchor, position) if anchor else -1
        if at >= 0:
            return at
    return len(actual)
