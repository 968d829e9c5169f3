"""Run cases over targets and engines: the worker renders while the oracle answers, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from conformance.campaign.judge import Answer, Judge
from conformance.campaign.tally import Part, Tally
from conformance.conversation import Case
from conformance.engines import EngineHost
from conformance.engines.base import Limits, Request
from conformance.engines.host import Host, Ticket
from conformance.errors import UsageError
from conformance.generate import Hints, case_at
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.base import profile
from conformance.shapes import Shape, draw, shapes
from conformance.sources import Template

DEFAULT_CASES = 2_000
_FIRST_BATCH, _BATCH = 4, 64
# A template that keeps running into the time limit would take hours to prove no more than this.
_TIME_LIMITS = 5
CASE_LIMITS = Limits(time_s=2.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign runs: how many cases of which seed, in which shapes, engines and profile.

    `seconds` ends the campaign early, `jobs` is the number of processes that judge.
    """

    seed: int = 0
    cases: int = DEFAULT_CASES
    profile: str = "harmony"
    shapes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ("transformers",)
    seconds: float | None = None
    jobs: int = 1
    limits: Limits = CASE_LIMITS
    hints: Hints = field(default_factory=Hints)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A case of a campaign with the shape it is handed over in; `lost` says what the shape cannot carry."""

    index: int
    case: Case
    shape: Shape
    lost: str | None


# Called with: target number, rules that are new or have a smaller case, the tally so far.
OnFound = Callable[[int, Sequence[str], Tally], None]
# Called with the number of cases done.
OnProgress = Callable[[int], None]


@dataclass(slots=True)
class _Batch:
    drawn: list[Drawn]
    tickets: list[tuple[int, str, Ticket]]


class Runner:
    """Holds the oracle and the engines' workers; a context manager that ends the workers.

    Raises UnjudgedError when the oracle or an engine cannot be had.
    """

    def __init__(self, settings: Settings, *, hosts: dict[str, Host] | None = None) -> None:
        self.settings = settings
        self.choices = shapes(settings.shapes)
        self._stack = ExitStack()
        # The workers load their engines while this process loads the oracle.
        self.hosts: dict[str, Host] = hosts or {
            name: self._stack.enter_context(EngineHost(name, limits=settings.limits))
            for name in settings.engines
        }
        try:
            self.judge = Judge(profile(settings.profile))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        self._stack.close()

    @staticmethod
    def new_part(targets: Sequence[Template]) -> Part:
        """Return an empty part for these targets."""
        return Part([Tally() for _ in targets], CoverageCounter())

    def compile_check(self, template: Template) -> None:
        """Raise UsageError, with the line, when a template does not compile in any of the engines."""
        problems = {name: host.compile_check(template.text) for name, host in self.hosts.items()}
        if problems and all(problem is not None for problem in problems.values()):
            name, problem = next(iter(problems.items()))
            assert problem is not None
            where = f"line {problem.line}" if problem.line else "an unknown line"
            raise UsageError(
                f"{template.name} is not a Jinja template: {problem.message} ({name}, {where}); correct it there."
            )

    def drawn(self, index: int, hints: Hints | None = None) -> Drawn:
        """Return case number `index` of the campaign and its shape."""
        case = case_at(self.settings.seed, index, hints or self.settings.hints)
        shape = draw(self.choices, index)
        return Drawn(index, case, shape, shape.loses(case))

    def run(
        self,
        targets: Sequence[Template],
        start: int,
        stop: int,
        *,
        deadline: float | None = None,
        on_found: OnFound | None = None,
        on_progress: OnProgress | None = None,
        part: Part | None = None,
        hints: Hints | None = None,
    ) -> Part:
        """Judge the cases from `start` up to `stop` on all targets; `deadline` is a time.monotonic() to end at.

        `hints` steer the generator. What was found is in `part` even when this is interrupted.
        """
        if part is None:
            part = self.new_part(targets)
        live = [number for number in range(len(targets)) if number not in part.errors]
        waiting: _Batch | None = None
        position, size = start, _FIRST_BATCH
        while live and (position < stop or waiting is not None):
            coming: _Batch | None = None
            if position < stop and (deadline is None or time.monotonic() < deadline):
                end = min(stop, position + size)
                coming = self._submit(targets, live, [self.drawn(i, hints) for i in range(position, end)])
                position, size = end, min(_BATCH, size * 2)
            else:
                position = stop
            if waiting is not None:
                self._judge(waiting, part, on_found)
                if on_progress is not None:
                    on_progress(part.cases)
                for number in live:
                    if part.tallies[number].time_limits >= _TIME_LIMITS:
                        part.errors.setdefault(number, _gave_up(part.tallies[number]))
                live = [number for number in live if number not in part.errors]
            waiting = coming
        return part

    def _submit(self, targets: Sequence[Template], live: Sequence[int], drawn: list[Drawn]) -> _Batch:
        requests: list[Request] = [item.shape.request(item.case) for item in drawn if item.lost is None]
        tickets = [
            (number, name, host.submit(targets[number].text, requests))
            for number in live
            for name, host in self.hosts.items()
        ]
        return _Batch(drawn, tickets)

    def _judge(self, batch: _Batch, part: Part, on_found: OnFound | None) -> None:
        answers: list[tuple[Drawn, Answer | None, int]] = []
        for item in batch.drawn:
            mask = part.coverage.add(item.case)
            part.cases += 1
            if item.lost is None:
                answer = self.judge.answer(item.case)
                part.refused += answer is None
                answers.append((item, answer, mask))
        lost = len(batch.drawn) - len(answers)
        outcomes: dict[int, list[tuple[str, list[object]]]] = {}
        for number, name, ticket in batch.tickets:
            outcomes.setdefault(number, []).append((name, list(self.hosts[name].collect(ticket))))
        for number, by_engine in outcomes.items():
            tally = part.tallies[number]
            tally.inexpressible += lost
            for position, (item, answer, mask) in enumerate(answers):
                if answer is None:
                    continue
                judgements = [
                    (name, self.judge.judge(answer, results[position]))  # type: ignore[arg-type]
                    for name, results in by_engine
                ]
                news = tally.add(
                    item.index, item.case, (item.shape.name, item.shape.family), mask, judgements
                )
                if news and on_found is not None:
                    on_found(number, news, tally)


def _gave_up(tally: Tally) -> str:
    return (
        f"the template went over a limit in {tally.time_limits} of {tally.total} conversations and was given up; "
        "see resource-limit"
    )
