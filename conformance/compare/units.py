"""Cut an object's properties out of both texts, so that each is compared with itself.

The oracle's side is cut by its pieces. The template's side is cut at an anchor that every notation of properties
shares: `name:` or `name?:` at the start of a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from conformance.oracles.base import BELOW, WITHIN, Piece, Region

_COMMENTS: frozenset[Region] = frozenset({"title", "description", "examples", "one-of-default"})
_NAMES: frozenset[Region] = frozenset({"name", "one-of-name"})


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

    def written(self, region: Region) -> str:
        """Return what the oracle writes in one region of the property itself, not of those nested in it."""
        return "".join([text for where, path, text in self.pieces if where == region and path == self.path])


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
        elif region in _NAMES:
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
    return path == unit.path and region in _COMMENTS | _NAMES and bool(unit.head)


@lru_cache(maxsize=8192)
def _property_anchor(name: str, indent: str) -> re.Pattern[str]:
    blank = re.escape(indent) if indent else r"[ \t]*"
    return re.compile(rf"^{blank}[\"']?{re.escape(name)}[\"']?\??[ ]*:", re.MULTILINE)


# Where a property's comment lines, its name and its end are in the template's text.
Cut = tuple[int, int, int]


def cut(units: list[Unit], actual: str, indent: str) -> list[Cut | None]:
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
        run_on = unit.comment.rstrip("\n") or (previous.body.rstrip("\n") if previous else "")
        if at >= 0 and (at == 0 or actual[at - 1] == "\n" or (run_on and actual.endswith(run_on, 0, at))):
            names.append(at)
            position = at + len(unit.head) + len(unit.body)
            continue
        anchor = _find_name(unit.name, indent, actual, position, _inner_names(previous, unit.name))
        names.append(anchor.start() if anchor else None)
        position = anchor.end() if anchor else position
    # Names were found one behind the other, so that the nearest above is the last that was found.
    above: list[tuple[int, Unit] | None] = []
    last: tuple[int, Unit] | None = None
    for unit, name in zip(units, names, strict=True):
        above.append(last)
        if name is not None:
            last = name, unit
    cuts: list[Cut | None] = []
    end = len(actual)
    for unit, name, over in zip(reversed(units), reversed(names), reversed(above), strict=True):
        if name is None:
            cuts.append(None)
            continue
        floor = -1 if over is None else over[0]
        start = _comment_start(actual, unit.comment, floor, name)
        if over is not None and actual.startswith(over[1].head + over[1].body, floor):
            start = floor + len(over[1].head) + len(over[1].body)
        cuts.append((start, name, end))
        end = start
    return cuts[::-1]


def _inner_names(unit: Unit | None, name: str) -> int:
    """Count how often a name is that of a nested property, which some templates print at the start of a line."""
    if unit is None:
        return 0
    return sum(
        region in _NAMES and path != unit.path and path.endswith(f"{WITHIN}{name}")
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


def reordered(units: list[Unit], found: list[Cut | None], actual: str, indent: str) -> bool:
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
