"""Shrink a case to a 1-minimal one that still shows a rule, on the engine and in the shape it was found with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.reduce import STEPS
from conformance.conversation import Case, check_case
from conformance.engines.base import LimitExceeded
from conformance.engines.host import Host
from conformance.errors import UsageError
from conformance.rules.classify import Found
from conformance.shapes import Shape, families

_BATCH = 12
# Above the number of renders that any generated case needed; the case found by then is reported all the same.
_RENDERS = 4_000
_LIMITS = 3


@dataclass(slots=True)
class Shrunk:
    """The outcome of shrinking: the case, how it is judged, and whether it is 1-minimal."""

    case: Case
    shape: Shape
    answer: Answer
    judgement: Judgement
    found: Found
    minimal: bool
    renders: int


class Shrinker:
    """Shrinks cases for one template on one engine; deterministic."""

    def __init__(self, judge: Judge, host: Host, template: str) -> None:
        self._judge = judge
        self._host = host
        self._template = template
        self._renders = 0
        self._limits = 0

    def shrink(self, case: Case, shape: Shape, rule: str) -> Shrunk | None:
        """Return the shrunk case, or None when the case does not show the rule (it was not reproducible)."""
        self._renders = self._limits = 0
        plain = families()[shape.family][0]
        best = None
        for candidate in dict.fromkeys((plain, shape)):
            best = self._first([case], candidate, rule)
            if best is not None:
                shape = candidate
                break
        if best is None:
            return None
        minimal = False
        while not minimal and self._going():
            minimal = True
            for step in STEPS:
                while (smaller := self._first(step.cases(best.case), shape, rule)) is not None:
                    best = smaller
                    minimal = False
        minimal = minimal and self._going()
        best.minimal, best.renders = minimal, self._renders
        return best

    def _going(self) -> bool:
        """Say whether there is something left to spend; each limit that is hit costs seconds."""
        return self._renders < _RENDERS and self._limits < _LIMITS

    def _first(self, cases: Iterable[Case], shape: Shape, rule: str) -> Shrunk | None:
        """Return the first of the cases that shows the rule; the worker renders a batch at a time."""
        candidates = (case for case in cases if _possible(case, shape))
        while self._going() and (batch := list(islice(candidates, _BATCH))):
            ticket = self._host.submit(self._template, [shape.request(case) for case in batch])
            self._renders += len(batch)
            answers = self._answers(batch)
            for case, outcome in zip(batch, self._host.collect(ticket), strict=True):
                answer = next(answers)
                if answer is None:
                    continue
                self._limits += isinstance(outcome, LimitExceeded)
                judgement = self._judge.judge(answer, outcome, confirm=False)
                for found in judgement.found:
                    if found.rule == rule:
                        return Shrunk(case, shape, answer, judgement, found, False, 0)
        return None

    def _answers(self, cases: list[Case]) -> Iterator[Answer | None]:
        # Lazily: the oracle is the dearest part, and the first hit ends the batch.
        return (self._judge.answer(case) for case in cases)


def _possible(case: Case, shape: Shape) -> bool:
    """Say whether a reduced case is one that could be given at all."""
    if not case.conversation.messages or shape.loses(case):
        return False
    try:
        check_case(case)
    except UsageError:
        return False
    return True
