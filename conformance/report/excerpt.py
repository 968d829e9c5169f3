"""Two texts around the place where they part: one line each, one under the other, and a caret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate

from rich.text import Text

from conformance.report.visible import MARK_STYLE, UNICODE, Glyphs, Unit, units

EXPECTED_STYLE = "bold green"
ACTUAL_STYLE = "bold red"

_LEAST_CONTEXT = 12  # characters shown before the difference even when it is at the start of a line
_LOOK_BACK = 400  # no window is wider than this, so that 10 MB of output cost nothing
_LOOK_AHEAD = 400
_LEAST_SAME = 3  # units that must agree within a difference to be called the same


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Two lines and the column, in cells, of the first difference; `caret` is as wide as what is extra."""

    expected: Text
    actual: Text
    column: int
    caret: str
    note: str


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two texts part: offsets of the first difference and of where they agree again."""

    expected: tuple[int, int]
    actual: tuple[int, int]

    @property
    def note(self) -> str:
        """How they differ, in words: `1 extra`, `3 missing` or `differs`."""
        missing, extra = self.expected[1] - self.expected[0], self.actual[1] - self.actual[0]
        if missing and extra:
            return "differs"
        if extra:
            return f"{extra:,} extra"
        return f"{missing:,} missing" if missing else "same"


def parting(
    expected: str,
    actual: str,
    offset: int,
    actual_offset: int | None = None,
    expected_part: str = "",
    actual_part: str = "",
) -> Parting:
    """Return where the texts part at `offset` and where they agree again.

    The parts, where given, say how far the difference reaches (a case may diverge again later); without
    them it reaches to the common end of both texts.
    """
    start = min(max(offset, 0), len(expected))
    if actual_offset is None:
        actual_offset = _same_place(expected, actual, start)
    other = min(max(actual_offset, 0), len(actual))
    end = _part_end(expected, expected_part, start) if expected_part or actual_part else len(expected)
    other_end = _part_end(actual, actual_part, other) if expected_part or actual_part else len(actual)
    while start < end and other < other_end and expected[start] == actual[other]:
        start, other = start + 1, other + 1
    while start < end and other < other_end and expected[end - 1] == actual[other_end - 1]:
        end, other_end = end - 1, other_end - 1
    return Parting((start, end), (other, other_end))


def _same_place(expected: str, actual: str, offset: int) -> int:
    """Return the place in `actual` that `offset` is in `expected`, when earlier differences moved it."""
    if actual.startswith(expected[:offset]):
        return offset
    for length in (80, 40, 20, 10, 5):
        context = expected[max(0, offset - length) : offset]
        places: list[int] = []
        at = actual.find(context)
        while at >= 0 and len(places) < 1000:
            places.append(at + len(context))
            at = actual.find(context, at + 1)
        if places:
            return min(places, key=lambda place: abs(place - offset))
    return min(offset, len(actual))


def _part_end(text: str, part: str, start: int) -> int:
    """Return where a part ends; it may begin before the difference, with what both texts share."""
    if not part:
        return start
    at = text.rfind(part, max(0, start - len(part)), start + len(part))
    return at + len(part) if at >= 0 and at + len(part) >= start else min(len(text), start + len(part))


def token_excerpt(actual: str, at: int, part: str, width: int, glyphs: Glyphs = UNICODE) -> Excerpt:
    """Return the line of a prompt in which the text `part` at `at` is read as a token."""
    end = min(at + max(len(part), 1), len(actual))
    return excerpt(actual[:at] + actual[end:], actual, Parting((at, at), (at, end)), width, glyphs)


def excerpt(expected: str, actual: str, where: Parting, width: int, glyphs: Glyphs = UNICODE) -> Excerpt:
    """Return both texts around their difference, each at most `width` cells wide.

    Both windows begin at the same shared character, so that the difference is in the same column, and no
    unit (a special token, an escaped character) is cut.
    """
    # Within a special token (`<|end|>`, `<|endoftext|>`) the token is shown whole and the caret points inside.
    inside = _token_part(expected, where.expected[0])
    begin, other = where.expected[0] - inside, where.actual[0] - inside
    before = _context(expected, actual, (begin, other), where, width, glyphs)
    left = sum(unit.width for unit in before)
    loud, other_loud = _changes(
        expected, (begin, where.expected[1]), actual, (other, where.actual[1]), glyphs
    )
    after = _after(expected, begin, where.expected[1], loud, width - left, glyphs)
    other_after = _after(actual, other, where.actual[1], other_loud, width - left, glyphs)
    expected_line = _line(before, after, loud, EXPECTED_STYLE)
    actual_line = _line(before, other_after, other_loud, ACTUAL_STYLE)
    if expected_line.plain == actual_line.plain and (later := _later(expected, actual, where)) is not None:
        # What is extra repeats what follows: the lines differ only where the repetition ends.
        return replace(excerpt(expected, actual, later, width, glyphs), note=where.note)
    column = left + inside
    caret = "^"
    if where.expected[0] == where.expected[1]:
        extra = sum(unit.width for unit in other_after if other <= unit.start < unit.end <= where.actual[1])
        caret += "~" * (extra - inside - 1)
    return Excerpt(
        expected_line,
        actual_line,
        column,
        caret,
        where.note,
    )


def _later(expected: str, actual: str, where: Parting) -> Parting | None:
    """Return where the texts really part, if that is behind where a difference can be said to begin."""
    start, other = where.expected[0], where.actual[0]
    while start < len(expected) and other < len(actual) and expected[start] == actual[other]:
        start, other = start + 1, other + 1
    if start == where.expected[0] or (start == len(expected) and other == len(actual)):
        return None
    shift = start - where.expected[0]
    return Parting((start, where.expected[1] + shift), (other, where.actual[1] + shift))


def _changes(
    expected: str, bounds: tuple[int, int], actual: str, other_bounds: tuple[int, int], glyphs: Glyphs
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the ranges that are really changed within two differing parts, special tokens as units."""
    sides: list[list[Unit]] = []
    for text, (start, end) in ((expected, bounds), (actual, other_bounds)):
        sides.append(list(units(text, start, min(end, start + _LOOK_AHEAD), glyphs=glyphs)))
    shown, other_shown = ([unit.shown for unit in side] for side in sides)
    matcher = SequenceMatcher(None, shown, other_shown, autojunk=False)
    same = [block for block in matcher.get_matching_blocks() if block.size >= _LEAST_SAME]
    if 2 * sum(block.size for block in same) < len(sides[0]) + len(sides[1]) - 2 * _LEAST_SAME:
        # Two different texts have letters in common by chance; to mark the rest would be confetti.
        same = []
    result = []
    for number, (side, (start, end)) in enumerate(zip(sides, (bounds, other_bounds), strict=True)):
        ranges, at = [], start
        for block in same:
            first = block[number]
            ranges.append((at, side[first].start))
            at = side[first + block.size - 1].end
        ranges.append((at, end))
        result.append([(first, last) for first, last in ranges if first < last])
    return result[0], result[1]


def _context(
    expected: str, actual: str, offsets: tuple[int, int], where: Parting, width: int, glyphs: Glyphs
) -> list[Unit]:
    """Return what both texts share before the difference: its line, and the one before at a line's start."""
    offset, other = offsets
    shared = 0
    longest = min(offset, other, _LOOK_BACK)
    while shared < longest and expected[offset - shared - 1] == actual[other - shared - 1]:
        shared += 1
    line = expected.rfind("\n", 0, offset) + 1
    while offset - line < _LEAST_CONTEXT and line:
        line = expected.rfind("\n", 0, line - 1) + 1
    begin = max(line, offset - shared)
    found = list(units(expected, begin, offset, loud=[where.expected], glyphs=glyphs))
    budget = max(width * 3 // 5, _LEAST_CONTEXT)
    cut = begin > line
    more = Unit(glyphs.more, MARK_STYLE, begin, begin)
    while found and sum(unit.width for unit in found) + (more.width if cut else 0) > budget:
        found.pop(0)
        cut = True
    return [more, *found] if cut else found


def _token_part(text: str, offset: int) -> int:
    """Return how many characters of a special token lie before `offset`, 0 if it is not inside one."""
    start = text.rfind("<|", max(0, offset - 48), offset)
    if start < 0:
        return 0
    first = next(units(text, start, start + 48))
    return offset - start if first.end > offset else 0


def _after(
    text: str, begin: int, changed_end: int, loud: list[tuple[int, int]], room: int, glyphs: Glyphs
) -> list[Unit]:
    """Return what follows from the difference on: to the end of the line after it, as far as there is room."""
    limit = min(len(text), changed_end + _LOOK_AHEAD, begin + 2 * _LOOK_AHEAD)
    newline = text.find("\n", changed_end, limit)
    stop = newline + 1 if newline >= 0 else limit
    found = list(units(text, begin, stop, loud=loud, glyphs=glyphs))
    if stop == len(text):
        found.append(Unit(glyphs.end, MARK_STYLE, stop, stop))
    whole = newline >= 0 or stop == len(text)
    if whole and sum(unit.width for unit in found) <= room:
        return found
    more = Unit(glyphs.more, MARK_STYLE, stop, stop)
    ends = accumulate(unit.width for unit in found)
    return [*(unit for unit, end in zip(found, ends, strict=True) if end <= room - more.width), more]


def _line(before: list[Unit], after: list[Unit], loud: list[tuple[int, int]], style: str) -> Text:
    line = Text(no_wrap=True, end="")
    for unit in before:
        line.append(unit.shown, unit.style or None)
    for unit in after:
        changed = any(unit.start < end and unit.end > start for start, end in loud)
        line.append(unit.shown, style if changed else unit.style or None)
    return line
