"""Shrink a case to a 1-minimal one that still shows a rule, on the engine and in the shape it was found with.

What is smaller, and in which order it is tried, is for `reduce` to say. Here is the search: the first smaller case that
still shows the rule is kept and tried anew by the same pass until that pass finds nothing; then the next pass has its
turn; when a round of all passes finds nothing, no smaller case shows the rule, and the case is 1-minimal. Taking the
first and not the smallest costs no quality, because the passes are tried again on what it leaves, and saves renders.

It ends because each pass makes a case smaller in an order without infinite descents (see `reduce`). Long before that
limits on renders may end it, for templates that hang: the case found by then is reported, marked as not minimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from conformance.as_sent import SentCase
from conformance.campaign.agreement import disagreements
from conformance.campaign.judge import EQUAL, Answer, Judge, Judgement
from conformance.campaign.reduce import STEPS
from conformance.campaign.reduce_sent import SENT_STEPS
from conformance.compare.base import Found
from conformance.conversation import Case, check_case
from conformance.engines.base import LimitExceeded, Outcome, Request
from conformance.engines.host import Host
from conformance.errors import UsageError
from conformance.oracles.library import OracleRefusedError
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
    """Shrinks cases for one template on one engine; deterministic.

    `expressible` says of a request whether the engine can express it; None where it can express all. With
    `against`, the name and host of another engine, what is shrunk is that the two disagree. `date` is the day that
    a target with a clock of its own writes: cases of another day say nothing about it.
    """

    def __init__(
        self,
        judge: Judge,
        host: Host,
        template: str,
        *,
        expressible: Callable[[Request], bool] | None = None,
        against: tuple[str, Host] | None = None,
        date: str | None = None,
    ) -> None:
        self._judge = judge
        self._host = host
        self._template = template
        self._expressible = expressible
        self._against = against
        self._date = date
        self._renders = 0
        self._limits = 0
        self._unexplained = False
        self._place = ""

    def shrink(
        self, case: Case, shape: Shape, rule: str, *, unexplained: bool = False, place: str = ""
    ) -> Shrunk | None:
        """Return the shrunk case, or None when the case does not show the rule (it was not reproducible).

        `rule` is a finding's key: a slug, with the cause where the rule has several. With `unexplained`, what a cited
        reading explains does not show it; with `place`, only what is found there does.
        """
        self._renders = self._limits = 0
        self._unexplained, self._place = unexplained, place
        plain = families().get(shape.family, (shape,))[0]
        best = None
        for candidate in dict.fromkeys((plain, shape)):
            best = self._first([case], candidate, rule)
            if best is not None:
                shape = candidate
                break
        if best is None:
            return None
        minimal = False
        steps = SENT_STEPS if isinstance(case, SentCase) else STEPS
        while not minimal and self._going():
            minimal = True
            for step in steps:
                while (smaller := self._first(step.cases(best.case), shape, rule, best)) is not None:
                    best = smaller
                    minimal = False
        minimal = minimal and self._going()
        best.minimal, best.renders = minimal, self._renders
        return best

    def in_other_words(self, small: Shrunk, cases: Iterable[Case]) -> Shrunk | None:
        """Return the first of these cases in which the same thing is found in the same shape; None where in none."""
        self._renders = self._limits = 0
        found = self._first(cases, small.shape, small.found.key, small)
        if found is not None:
            found.minimal = small.minimal
        return found

    def needed_shapes(self, small: Shrunk, rule: str) -> list[str]:
        """Return the shape families in whose plain member the shrunk case shows the rule, empty when in all.

        The rule needs shapes when the template is right in some other (or, where the rule is a failure, writes
        anything there). A family that cannot carry the case, or in which the template is wrong in another way,
        says nothing. The example's own shape is listed by its name where only that member of its family shows
        the rule. Whether engines agree is asked in one shape only.
        """
        if self._against is not None:
            return []
        plain = [members[0] for members in families().values() if self._possible(small.case, members[0])]
        outcomes = self._host.collect(
            self._host.submit(self._template, [shape.request(small.case) for shape in plain])
        )
        showing, without = [], False
        for shape, outcome in zip(plain, outcomes, strict=True):
            judgement = self._judge.judge(small.answer, outcome, confirm=False)
            if any(self._shows(found, rule) for found in judgement.found):
                showing.append(shape.name)
            elif judgement.status == EQUAL or (small.judgement.failure and not judgement.failure):
                without = True
        if not without:
            return []
        return showing if small.shape.family in showing else [small.shape.name, *showing]

    def _going(self) -> bool:
        """Say whether there is something left to spend; each limit that is hit costs seconds."""
        return self._renders < _RENDERS and self._limits < _LIMITS

    def _first(
        self, cases: Iterable[Case], shape: Shape, rule: str, best: Shrunk | None = None
    ) -> Shrunk | None:
        """Return the first of the cases that shows the rule; the worker renders a batch at a time.

        A case that shows a rule which the best one so far does not is passed over: a description that shrinks to
        nothing should not bring a rule about missing descriptions in.
        """
        known = None if best is None else {found.rule for found in best.judgement.found}
        candidates = (case for case in cases if self._possible(case, shape))
        while self._going() and (batch := list(islice(candidates, _BATCH))):
            requests = [shape.request(case) for case in batch]
            ticket = self._host.submit(self._template, requests)
            others = self._others(requests)
            self._renders += len(batch)
            answers = self._answers(batch)
            for position, outcome in enumerate(self._host.collect(ticket)):
                answer = next(answers)
                if answer is None:
                    continue
                self._limits += isinstance(outcome, LimitExceeded)
                try:
                    judgement = self._judge.judge(answer, outcome, confirm=False, readings=self._unexplained)
                except OracleRefusedError:  # it failed on the template's text
                    continue
                if others is not None:
                    pair = [(self._against_name, others[position]), ("", outcome)]
                    judgement.found += [found for _, found in disagreements(pair)]
                if known is not None and not known.issuperset(found.rule for found in judgement.found):
                    continue
                for found in judgement.found:
                    if self._shows(found, rule) and not (self._unexplained and found.readings):
                        if self._place:
                            found = replace(found, difference=found.places[self._place])
                        return Shrunk(batch[position], shape, answer, judgement, found, False, 0)
        return None

    def _shows(self, found: Found, rule: str) -> bool:
        return found.key == rule and (not self._place or self._place in found.places)

    @property
    def _against_name(self) -> str:
        return self._against[0] if self._against is not None else ""

    def _others(self, requests: list[Request]) -> list[Outcome] | None:
        """Render with the other engine, where there is one."""
        if self._against is None:
            return None
        host = self._against[1]
        return host.collect(host.submit(self._template, requests))

    def _answers(self, cases: list[Case]) -> Iterator[Answer | None]:
        # Lazily: the oracle is the dearest part, and the first hit ends the batch.
        return (self._judge.answer(case) for case in cases)

    def _possible(self, case: Case, shape: Shape) -> bool:
        """Say whether a reduced case is one that could be given at all."""
        if not case.conversation.messages or shape.loses(case):
            return False
        if self._date not in (None, case.options.date):
            return False
        try:
            check_case(case)
        except UsageError:
            return False
        return self._expressible is None or self._expressible(shape.request(case))
