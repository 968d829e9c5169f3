"""Two versions of one message, line by line, with what differs in each line."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

_START = "<|start|>"
_MESSAGE = "<|message|>"

# Character by character only what is this long at most; longer messages are compared line by line alone.
_MAX_CHARACTERS = 2000
_LEAST_SAME = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A line of either side with the ranges that differ; None where the other side has no such line."""

    expected: str | None
    expected_changes: tuple[tuple[int, int], ...]
    actual: str | None
    actual_changes: tuple[tuple[int, int], ...]

    @property
    def equal(self) -> bool:
        """Whether both lines are the same."""
        return self.expected == self.actual


def header(message: str) -> str:
    """Return what stands before `<|message|>`: role, recipient, channel."""
    head, mark, _ = message.partition(_MESSAGE)
    return head.removeprefix(_START) if mark else message.removeprefix(_START).partition("\n")[0]


def rows(expected: str | None, actual: str | None) -> list[Row]:
    """Return the lines of two texts side by side, each with its newline, and what differs in them."""
    left, right = _lines(expected), _lines(actual)
    found: list[Row] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        mine, theirs = left[i1:i2], right[j1:j2]
        for number in range(max(len(mine), len(theirs))):
            a = mine[number] if number < len(mine) else None
            b = theirs[number] if number < len(theirs) else None
            if tag == "equal":
                found.append(Row(a, (), b, ()))
            else:
                changes, other_changes = _changes(a, b)
                found.append(Row(a, changes, b, other_changes))
    return found


def _lines(text: str | None) -> list[str]:
    """Split after each newline only: other line ends are characters like any other here."""
    if not text:
        return []
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _changes(
    left: str | None, right: str | None
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    whole = (((0, len(left or "")),), ((0, len(right or "")),))
    if left is None or right is None or max(len(left), len(right)) > _MAX_CHARACTERS:
        return whole
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    same = [block for block in matcher.get_matching_blocks() if block.size >= _LEAST_SAME]
    ranges: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    at = [0, 0]
    for block in same:
        for side, first in enumerate((block.a, block.b)):
            ranges[side].append((at[side], first))
            at[side] = first + block.size
    ranges[0].append((at[0], len(left)))
    ranges[1].append((at[1], len(right)))
    changed = [tuple((a, b) for a, b in side if a < b) for side in ranges]
    return changed[0], changed[1]
