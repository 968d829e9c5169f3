"""Which cases of a campaign are steered by what the template itself waits for: the last tenth, in three parts."""

from __future__ import annotations

from dataclasses import replace

from conformance.generate import Hints, corners
from conformance.template.hints import hints_of

HINTED = 0.1
"""The share of the cases, at their end, that is steered."""
# So much of that part at most holds the corners of schemas; the default budget has room for all of them.
_CORNERS = 0.4
# So much of it, before the corners, aims at conditions that the other cases rarely meet (`aim`).
_AIMED = 0.3


def plain_cases(cases: int) -> int:
    """Return how many of so many cases, from the first on, are the same for every template."""
    return cases - int(cases * HINTED)


def steered(template: str, cases: int) -> Hints:
    """Return what steers the last of so many cases: what a template waits for, and at their end the corners."""
    return with_corners(hints_of(template), cases)


def with_corners(hints: Hints, cases: int) -> Hints:
    """Return hints that end with the corners of schemas."""
    room = int((cases - plain_cases(cases)) * _CORNERS)
    return replace(hints, corners=(cases - min(corners.COUNT, room), cases))


def slots(hints: Hints, cases: int) -> range:
    """Return the numbers of the cases that aim at what others rarely meet."""
    first, _ = hints.corners
    return range(first - int((cases - plain_cases(cases)) * _AIMED), first)
