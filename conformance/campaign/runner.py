"""Run cases over targets and engines: the worker renders while the oracle answers, batch by batch."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from conformance.as_sent import SentCase
from conformance.bounds import COMPARE_S
from conformance.campaign.agreement import disagreements
from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.settings import Settings, Workload
from conformance.campaign.tally import Part, Tally
from conformance.conversation import Case
from conformance.engines import EngineHost
from conformance.engines.base import (
    Outcome,
    Request,
    SyntaxProblem,
    engine_names,
    get_engine,
)
from conformance.engines.host import Host, Ticket
from conformance.errors import NotCompiledError, UsageError
from conformance.generate import Hints, case_at
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.library import OracleRefusedError
from conformance.oracles.profile import profile
from conformance.shapes import AS_SENT, Shape, draw, shapes
from conformance.targets.base import Target

_FIRST_BATCH, _BATCH = 4, 64
# Objects more than before, until the collector looks for cycles: several times what two batches hold.
_MANY = 200_000
# A template that keeps running into the time limit would take hours to prove no more than this.
_TIME_LIMITS = 5


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
class _Sent:
    """What one engine was given of a batch for one target: `lost` has for each case why it was left out, or None.

    `ticket` is None where the engine cannot compile the template.
    """

    target: int
    engine: str
    lost: list[str | None]
    ticket: Ticket | None
    problem: SyntaxProblem | None = None


@dataclass(slots=True)
class _Batch:
    drawn: list[Drawn]
    sent: list[_Sent]


# What one engine made of the cases of a batch; None where it cannot express one.
_Results = tuple[str, list[Outcome | SyntaxProblem | None]]


def own_shapes(engines: Sequence[str]) -> tuple[str, ...]:
    """Return the shapes of an engine's own server; none where several engines are to be compared, or none is known."""
    return get_engine(engines[0]).shapes if len(engines) == 1 and engines[0] in engine_names() else ()


class Runner:
    """Holds the oracle and what makes the prompts; a context manager that ends the engines' workers.

    `hosts` are those of servers and renderers, by name; without them the engines of the settings are started. Raises
    UnjudgedError when the oracle or an engine cannot be had.
    """

    def __init__(self, settings: Settings, *, hosts: Mapping[str, Host] | None = None) -> None:
        self.settings = settings
        self.choices = shapes(settings.shapes or own_shapes(settings.engines))
        # Families take turns, so that each of them gets every one of these.
        self._replayed = [case for case in settings.replayed for _ in self.choices]
        self._stack = ExitStack()
        # The workers load their engines while this process loads the oracle.
        self.hosts: dict[str, Host] = dict(hosts or {}) or {
            name: self._stack.enter_context(EngineHost(name, limits=settings.limits))
            for name in settings.engines
        }
        self._problems: dict[tuple[str, str], SyntaxProblem | None] = {}
        try:
            self.judge = Judge(profile(settings.profile), settings.authority)
        except BaseException:
            self._stack.close()
            raise
        # What is loaded by now stays; a campaign makes many objects, and each full collection would walk it all.
        gc.freeze()
        # What a batch makes is gone with it, cycles aside; to walk the living ones all the time cost a tenth of it all.
        self._collected_after = gc.get_threshold()
        gc.set_threshold(_MANY, *self._collected_after[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        gc.set_threshold(*self._collected_after)
        self._stack.close()

    @staticmethod
    def new_part(targets: Sequence[Target]) -> Part:
        """Return an empty part for these targets."""
        return Part([Tally() for _ in targets], CoverageCounter())

    def compile_check(self, target: Target) -> None:
        """Raise UsageError, with the line, when a template does not compile in any of the engines.

        Raises NotCompiledError when one of them did not come to an end.
        """
        if target.text is None:
            return
        problems = {name: self.problem(name, target.text) for name in self.hosts}
        if problems and all(problem is not None for problem in problems.values()):
            name, problem = next(iter(problems.items()))
            assert problem is not None
            for ended, one in problems.items():
                if one is not None and one.ended:
                    raise NotCompiledError(f"{target.name} could not be judged: {one.message} ({ended}).")
            where = f"line {problem.line}" if problem.line else "an unknown line"
            raise UsageError(
                f"{target.name} is not a Jinja template: {problem.message} ({name}, {where}); correct it there."
            )

    def problem(self, engine: str, template: str) -> SyntaxProblem | None:
        """Return what keeps an engine from compiling a template, or None; asked once."""
        key = (engine, template)
        if key not in self._problems:
            self._problems[key] = self.hosts[engine].compile_check(template)
        return self._problems[key]

    def expressible(self, *engines: str) -> Callable[[Request], bool] | None:
        """Return what says of a request whether these engines can express it; None where they can express all."""
        choosy = [loses for name in engines if (loses := self.hosts[name].loses) is not None]
        return (lambda request: all(loses(request) is None for loses in choosy)) if choosy else None

    def drawn(
        self,
        index: int,
        hints: Hints | None = None,
        *,
        seed: int | None = None,
        source: Workload | None = None,
    ) -> Drawn:
        """Return case number `index` of the campaign, or of the same campaign with another seed, and its shape."""
        source = source or self.settings.source
        if source is not None:
            case = source.case(self.settings.seed if seed is None else seed, index)
        elif index < len(self._replayed):
            case = self._replayed[index]
        else:
            case = case_at(self.settings.seed if seed is None else seed, index, hints or self.settings.hints)
        if self.settings.date is not None:
            case = replace(case, options=replace(case.options, date=self.settings.date))
        # What was sent by somebody is handed over as it was sent.
        shape = AS_SENT if isinstance(case, SentCase) else draw(self.choices, index)
        return Drawn(index, case, shape, shape.loses(case))

    def run(
        self,
        targets: Sequence[Target],
        start: int,
        stop: int,
        *,
        deadline: float | None = None,
        on_found: OnFound | None = None,
        on_progress: OnProgress | None = None,
        on_drawn: Callable[[Drawn], None] | None = None,
        part: Part | None = None,
        hints: Hints | None = None,
        source: Workload | None = None,
    ) -> Part:
        """Judge the cases from `start` up to `stop` on all targets; `deadline` is a time.monotonic() to end at.

        `hints` steer the generator, `source` gives other cases than it. What was found is in `part` even when this
        is interrupted.
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
                drawn = [self.drawn(i, hints, source=source) for i in range(position, end)]
                if on_drawn is not None:
                    for item in drawn:
                        on_drawn(item)
                coming = self._submit(targets, live, drawn, part)
                position, size = end, min(_BATCH, size * 2)
            else:
                position = stop
            if waiting is not None:
                before, settled = part.cases, part.settled
                try:
                    self._judge(waiting, part, on_found)
                except BaseException:
                    # Of a batch that was ended in the middle only what was judged was done.
                    part.cases = before + part.settled - settled
                    raise
                if on_progress is not None:
                    on_progress(part.cases)
                for number in live:
                    self._give_up(number, part)
                live = [number for number in live if number not in part.errors]
            waiting = coming
        return part

    def _give_up(self, number: int, part: Part) -> None:
        """Leave out an engine on a target that keeps running into its limits there, and so the last one's target."""
        tally = part.tallies[number]
        for name in self.hosts:
            if tally.engine(name).time_limits >= _TIME_LIMITS:
                part.given_up.add((number, name))
        if tally.slow >= _TIME_LIMITS:
            part.errors.setdefault(number, _compared_too_long(tally))
        if all((number, name) in part.given_up for name in self.hosts):
            part.errors.setdefault(number, _gave_up(tally))

    def _submit(
        self, targets: Sequence[Target], live: Sequence[int], drawn: list[Drawn], part: Part
    ) -> _Batch:
        requests: list[Request] = [item.shape.request(item.case) for item in drawn if item.lost is None]
        sent: list[_Sent] = []
        for name, host in self.hosts.items():
            lost = self._lost(name, requests)
            expressible = [request for request, reason in zip(requests, lost, strict=True) if reason is None]
            for number in live:
                if (number, name) in part.given_up:
                    continue
                text = targets[number].text or ""
                # With one engine, what does not compile is refused before; with several it is a finding.
                problem = self.problem(name, text) if len(self.hosts) > 1 else None
                ticket = host.submit(text, expressible) if problem is None else None
                sent.append(_Sent(number, name, lost, ticket, problem))
        return _Batch(drawn, sent)

    def _lost(self, engine: str, requests: Sequence[Request]) -> list[str | None]:
        loses = self.hosts[engine].loses
        return [None] * len(requests) if loses is None else [loses(request) for request in requests]

    def _collect(self, sent: _Sent) -> list[Outcome | SyntaxProblem | None]:
        if sent.ticket is None:
            return [None if reason is not None else sent.problem for reason in sent.lost]
        outcomes = iter(self.hosts[sent.engine].collect(sent.ticket))
        return [None if reason is not None else next(outcomes) for reason in sent.lost]

    def _judge(self, batch: _Batch, part: Part, on_found: OnFound | None) -> None:
        answers: list[tuple[Drawn, Answer | None, int]] = []
        given = [sent.lost for sent in batch.sent]
        # One stage for the whole batch after another: the authority's work leaves nothing of ours in the cache.
        masks = [part.coverage.add(item.case) for item in batch.drawn]
        for item, mask in zip(batch.drawn, masks, strict=True):
            part.cases += 1
            if item.lost is None:
                # What nobody can be asked needs no right answer: of a server's cases that is a third.
                asked = any(lost[len(answers)] is None for lost in given)
                answers.append((item, self._ask(item.case, part) if asked else None, mask))
        lost = Counter(item.lost for item in batch.drawn if item.lost is not None)
        results: dict[int, list[_Results]] = {}
        for sent in batch.sent:
            results.setdefault(sent.target, []).append((sent.engine, self._collect(sent)))
            counted = part.tallies[sent.target].engine(sent.engine).inexpressible
            for reason in sent.lost:
                if reason is not None:
                    counted[reason] = counted.get(reason, 0) + 1
        for number, by_engine in results.items():
            tally = part.tallies[number]
            tally.inexpressible += lost.total()
            for reason, count in lost.items():
                tally.reasons[reason] = tally.reasons.get(reason, 0) + count
            for position, (item, answer, mask) in enumerate(answers):
                outcomes = [
                    (name, outcome) for name, made in by_engine if (outcome := made[position]) is not None
                ]
                if not outcomes:
                    tally.inexpressible += 1
                    continue
                if answer is None:
                    continue
                try:
                    judgements = self._judge_one(answer, outcomes)
                except OracleRefusedError as error:  # it failed on the template's text
                    part.no_answer(str(error))
                    continue
                news = tally.add(
                    item.index, item.case, (item.shape.name, item.shape.family), mask, judgements
                )
                if news and on_found is not None:
                    on_found(number, news, tally)

    def _ask(self, case: Case, part: Part) -> Answer | None:
        """Ask the oracle, and count where it has no answer, or one that the layout does not explain."""
        try:
            answer = self.judge.ask(case)
        except OracleRefusedError as error:
            part.no_answer(str(error))
            return None
        part.layout_failures += not answer.rendering.exact_spans
        return answer

    def _judge_one(
        self, answer: Answer, outcomes: Sequence[tuple[str, Outcome | SyntaxProblem]]
    ) -> list[tuple[str, Judgement]]:
        """Judge one case on every engine that can express it, then the engines against each other."""
        judgements = [(name, self.judge.judge(answer, outcome)) for name, outcome in outcomes]
        if len(outcomes) > 1:
            for number, found in disagreements(outcomes):
                judgements[number][1].found.append(found)
        return judgements


def _compared_too_long(tally: Tally) -> str:
    return (
        f"to compare what the template wrote took longer than {COMPARE_S:g} s in {tally.slow} of {tally.total} "
        "conversations, and it was given up"
    )


def _gave_up(tally: Tally) -> str:
    limits = max(counted.time_limits for counted in tally.engines.values())
    return (
        f"the template went over a limit in {limits} of {tally.total} conversations and was given up; "
        "see resource-limit"
    )
