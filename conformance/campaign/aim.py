"""Aims at conditions that conversations rarely meet: changes those that came as far, with the condition's own literals.

What is sought are branches, and outcomes of operands, that fewer than `ENOUGH` of the conversations known so far met.
A conversation that met what lies around is changed (`generate/towards`) and run on the engine that notes branches;
where it meets what is sought it is kept, and is itself a beginning for what lies further inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import count, islice
from typing import Self

from conformance.conversation import Case, to_json
from conformance.errors import UnjudgedError
from conformance.generate import RandomDraw
from conformance.generate.towards import towards
from conformance.generate.wants import Wants
from conformance.shapes import Shape
from conformance.template.audit_probe import Noted
from conformance.template.branches import BranchProbe, Seen
from conformance.template.wants import wants_of

ENOUGH = 3
"""So many conversations meet a condition in a campaign, if that can be done."""
_TRIES = 6  # candidates a round for one condition, at least
_SHORT = 12  # conversations that are changed for one condition
_AT_ONCE = 120  # candidates a round, where there are few conditions
_FROM = 1 << 40  # numbers of draws that no case of a campaign has


@dataclass(frozen=True, slots=True)
class Met:
    """A conversation, the branches that it ran, and how long it is as JSON."""

    case: Case
    branches: frozenset[int]
    size: int

    @classmethod
    def of(cls, case: Case, noted: Noted) -> Self:
        """Return what was noted of a conversation."""
        return cls(case, frozenset(noted.branches), len(to_json(case)))


def aimed(
    template: str,
    probe: BranchProbe,
    seen: Seen,
    known: list[Met],
    slots: dict[int, Shape],
    *,
    seed: int,
    candidates: int,
) -> dict[int, Case]:
    """Return cases for some of the slots, by number; `seen` and `known` take in what they met.

    A slot is the number of a case with the shape in which it is handed over. At most `candidates` are run.
    """
    wants = wants_of(template)
    kept: dict[int, Case] = {}
    tried = 0
    while slots and tried < candidates and (goals := _goals(seen)):
        made = list(
            islice(_changed(goals, wants, known, list(slots.values()), seed, tried), candidates - tried)
        )
        if not made:
            break
        tried += len(made)
        requests = [shape.request(case) for case, shape in made]
        try:
            for (case, shape), noted in zip(made, probe.noted(template, requests), strict=False):
                if noted is not None and any(
                    seen.ran[goal] < ENOUGH for goal, _ in goals if goal in noted.branches
                ):
                    slot = next((number for number, free in slots.items() if free == shape), None)
                    if slot is not None:
                        kept[slot] = case
                        del slots[slot]
                        seen.add(noted)
                        known.append(Met.of(case, noted))
        except UnjudgedError:
            break
    return kept


def _goals(seen: Seen) -> list[tuple[int, int | None]]:
    """Return what was rarely met, what never ran first, each with what conversations met that came nearest.

    That is the other outcome of the same condition, else what lies around; where neither ran there is no beginning.
    """
    found = []
    for point in seen.points:
        if seen.ran[point.id] < ENOUGH and (point.around is None or seen.ran[point.around]):
            beside = point.beside if point.beside is not None and seen.ran[point.beside] else None
            if beside is not None or not point.operand:
                found.append((point.id, point.around if beside is None else beside))
    return sorted(found, key=lambda goal: seen.ran[goal[0]])


def _beginnings(known: Sequence[Met], nearest: int | None) -> list[Case]:
    """Return conversations that came nearest, few and short ones: there a change is likelier to fall aright."""
    found = [met for met in known if nearest is None or nearest in met.branches]
    return [met.case for met in nsmallest(_SHORT, found, key=lambda met: met.size)]


def _changed(
    goals: Sequence[tuple[int, int | None]],
    wants: Sequence[Wants],
    known: Sequence[Met],
    shapes: Sequence[Shape],
    seed: int,
    first: int,
) -> Iterator[tuple[Case, Shape]]:
    """Yield changed conversations, the goals taking turns, each with a shape that carries it."""
    begin = [(goal, cases) for goal, nearest in goals if (cases := _beginnings(known, nearest))]
    numbers = count(first)
    for _ in range(max(_TRIES, _AT_ONCE // len(goals))):
        for goal, cases in begin:
            number = next(numbers)
            draw = RandomDraw(seed, _FROM + number)
            case = towards(draw.choice(cases), wants[goal], draw.choice(known).case, draw)
            shape = shapes[number % len(shapes)]
            if case is not None and shape.loses(case) is None:
                yield case, shape
