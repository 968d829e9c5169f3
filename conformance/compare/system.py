"""Compare two system messages line by line."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.compare.base import Difference
from conformance.oracles.base import Block

# How each region begins in any notation, so that a changed one does not drag the rest along.
_ANCHORS = {
    "cutoff": "Knowledge cutoff:",
    "current-date": "Current date:",
    "reasoning-effort": "Reasoning:",
    "builtin-tools": "# Tools",
    "channels": "# Valid channels:",
    "functions-note": "\nCalls to these tools",
    "end": "<|end|>",
}


def compare_system(block: Block, actual: str, offset: int, actual_offset: int) -> Iterator[Difference]:
    """Yield the differences between two system messages, one for each region of the oracle's."""
    groups: list[tuple[str, str]] = []
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
            end = _next(actual, position, [name for name, _ in groups[number + 1 :]])
            yield Difference(block, region, "", text, actual[position:end], offset, actual_offset + position)
            position = end
        offset += len(text)
    if position < len(actual):
        yield Difference(block, "end", "", "", actual[position:], offset, actual_offset + position)


def _insertion(actual: str, position: int, region: str) -> str:
    """Return the blanks that stand before a region's beginning."""
    anchor = _ANCHORS.get(region, "")
    at = actual.find(anchor, position) if anchor else -1
    between = actual[position:at] if at > position else ""
    return "" if between.strip() else between


def _next(actual: str, position: int, following: list[str]) -> int:
    """Find where the next region that is there begins."""
    for name in following:
        anchor = _ANCHORS.get(name)
        at = actual.find(anchor, position) if anchor else -1
        if at >= 0:
            return at
    return len(actual)
