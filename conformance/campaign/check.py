"""Judge targets from beginning to end: campaign, shrinking, report; what was found survives an interruption."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from conformance.bounds import COMPARE_S, EXPLAIN_S, READ_CHARS, READ_S, TimeIsUpError, cost, time_limit
from conformance.campaign import assemble
from conformance.campaign.branches import BranchSample
from conformance.campaign.examples import Examples
from conformance.campaign.listener import Listener, Silent
from conformance.campaign.parallel import Pool
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings, Workload
from conformance.campaign.sightings import RuleTally
from conformance.campaign.steering import plain_cases, with_corners
from conformance.campaign.tally import Part, Tally
from conformance.engines.host import Host
from conformance.errors import (
    GoneError,
    NotCompiledError,
    UsageError,
)
from conformance.generate import Hints
from conformance.generate.coverage import CoverageCounter
from conformance.package_checks import examine
from conformance.report.model import Divergence, Finding, LeftOut, Report, Run
from conformance.report.model import Target as Result
from conformance.report.model import Workload as WorkloadRecord
from conformance.sources import Template
from conformance.targets.base import Target
from conformance.template.branches import BranchCoverage
from conformance.template.hints import hints_of

# So many causes of one rule are shrunk and shown; a template can have as many as there are conversations.
_MOST_CAUSES = 30
# So many findings of a target at most are told while the campaign runs; the report has all.
_MOST_TOLD = 100


def check(
    given: Sequence[Target],
    settings: Settings,
    listener: Listener | None = None,
    *,
    hosts: Mapping[str, Host] | None = None,
    left_out: Sequence[LeftOut] = (),
    shrink: bool = True,
    runner: Runner | None = None,
    workload: WorkloadRecord | None = None,
) -> Report:
    """Judge targets and return the report; templates with the same text are judged once.

    `workload` describes the settings' workload in the report, or why there is none.

    `hosts` make the prompts where the targets are no templates. `runner` is one with these settings that goes on to be
    used, so that its engines are started once for many campaigns. A KeyboardInterrupt, or a server that is gone, ends
    the campaign and not the report: what was found is in it, `complete` is False.
    Raises UsageError when the only target does not compile, UnjudgedError when oracle or engine is missing.
    """
    begin = time.monotonic()
    listener = listener or Silent()
    unique, aliases = _unique(given)
    findings = examine([target for target in given if isinstance(target, Template)])
    with Runner(settings, hosts=hosts) if runner is None else contextlib.nullcontext(runner) as runner:
        campaign = _Campaign(runner, unique, aliases, findings, listener, foreign=bool(hosts))
        try:
            campaign.run(begin)
            campaign.finish(shrink=shrink)
        except KeyboardInterrupt:
            campaign.ended = "interrupted"
            campaign.finish(shrink=False)
        except GoneError as error:
            if campaign.cases == 0:
                raise
            campaign.ended = "gone"
            campaign.gone(str(error))
            campaign.finish(shrink=False)
        finally:
            campaign.close()
        targets = campaign.targets
        cases = campaign.cases
        weighed = campaign.weighed.cases
        unanswered, layout_failures = campaign.unanswered
        authority = runner.judge.oracle.authority
    run = Run(
        seed=settings.seed,
        profile=settings.profile,
        elapsed_s=round(time.monotonic() - begin, 3),
        cases=cases,
        complete=campaign.ended is None,
        ended=campaign.ended,
        unanswered=unanswered,
        layout_failures=layout_failures,
        workload=None if workload is None else msgspec.structs.replace(workload, cases=weighed),
    )
    return Report(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        run=run,
        targets=[targets[number] for number in sorted(targets)],
        left_out=list(left_out),
        authority=authority,
    )


def _unique(given: Sequence[Target]) -> tuple[list[Target], list[list[str]]]:
    """Keep the first of the targets with one text; the names of the others become its aliases."""
    by_hash: dict[str, int] = {}
    unique: list[Target] = []
    aliases: list[list[str]] = []
    for target in given:
        if target.sha256 in by_hash:
            aliases[by_hash[target.sha256]].append(target.name)
        else:
            by_hash[target.sha256] = len(unique)
            unique.append(target)
            aliases.append([])
    return unique, aliases


class _Campaign:
    """The state of one check: what was counted so far and which targets are finished."""

    def __init__(
        self,
        runner: Runner,
        judged: list[Target],
        aliases: list[list[str]],
        findings: dict[str, list[Finding]],
        listener: Listener,
        *,
        foreign: bool = False,
    ) -> None:
        self.runner = runner
        self.judged = judged
        self.aliases = aliases
        self.findings = findings
        self.listener = listener
        self.part = runner.new_part(judged)
        # Conversations of real use are counted apart: they weigh what the generated ones find.
        self.weighed = runner.new_part(judged)
        # Hosts that are no engines belong to this process.
        self.foreign = foreign
        self._pool = Pool(runner.settings, judged)
        self._own: dict[int, Part] = {}
        self._told: set[tuple[int, str]] = set()
        self.plain = plain_cases(runner.settings.cases)
        self.examples = Examples(runner, foreign=foreign)
        self.sample = BranchSample(runner, self.plain)
        self.targets: dict[int, Result] = {}
        self.unreadable: set[int] = set()
        self.ended: Literal["time", "interrupted", "gone"] | None = None
        self._deadline: float | None = None
        self._hints: dict[int, Hints] = {}
        # What took too long or was too long, by target, in the words of the report.
        self._cuts: dict[int, list[str]] = {}

    def run(self, begin: float) -> None:
        settings = self.runner.settings
        if settings.workload is not None and settings.jobs == 1:
            settings.workload.load()  # while the engines load
        for number, target in enumerate(self.judged):
            try:
                self.runner.compile_check(target)
            except (UsageError, NotCompiledError) as error:
                if len(self.judged) == 1:
                    raise
                self.part.errors[number] = str(error)
                if isinstance(error, UsageError):
                    self.unreadable.add(number)
        for target in self.judged:
            self.listener.started(target, settings.cases)
        if any(target.text is not None for target in self.judged):
            self.sample.start()
        deadline = self._deadline = None if settings.seconds is None else begin + settings.seconds
        self._judge(list(range(len(self.judged))), self.part, 0, self.plain, Hints(), deadline)
        for number in range(len(self.judged)):
            if number not in self.part.errors:
                # What a template waits for is its own; the tally is the same, so that both parts add up.
                own = Part([self.part.tallies[number]], CoverageCounter())
                hints = self._steering(number)
                self._judge([number], own, self.plain, settings.cases, hints, deadline)
                if own.errors:
                    self.part.errors[number] = own.errors[0]
                self._own[number] = own
        self._weigh(deadline)
        judged = [
            self._judged(number) for number in range(len(self.judged)) if number not in self.part.errors
        ]
        if self._late() and min(judged, default=settings.cases) < settings.cases:
            self.ended = "time"

    def _weigh(self, deadline: float | None) -> None:
        """Judge conversations of real use on all targets that could be judged."""
        settings = self.runner.settings
        live = [number for number in range(len(self.judged)) if number not in self.part.errors]
        if settings.workload is not None and live and not self._late():
            part = Part([self.weighed.tallies[number] for number in live], self.weighed.coverage)
            try:
                self._judge(live, part, 0, settings.weighed, Hints(), deadline, settings.workload)
            finally:
                self.weighed.cases = part.cases
                for number in live:
                    self.part.tallies[number].weigh(
                        self.weighed.tallies[number], shown=settings.workload.shown
                    )

    def _left(self) -> float:
        """Return how many seconds are left of the whole run's."""
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    def _late(self) -> bool:
        """Return whether the time of the whole run is over."""
        return self._left() <= 0

    @contextlib.contextmanager
    def _bounded(self, number: int, what: str, seconds: float = READ_S) -> Iterator[None]:
        """End the block after so much processor time, or when the run's time is over; that is noted of the target."""
        try:
            with time_limit(seconds, wall_s=self._left()):
                yield
        except TimeIsUpError:
            self._cuts.setdefault(number, []).append(f"{what}, for that took too long")

    def _steering(self, number: int) -> Hints:
        """Return what steers the last cases: what a template waits for, what the plain cases rarely met, the corners.

        Nothing is known of a target that is no template.
        """
        if number not in self._hints:
            hints, text = Hints(), self.judged[number].text
            if text is not None and len(text) > READ_CHARS:
                self._cuts.setdefault(number, []).append(
                    f"the template has {len(text):,} characters, and one of more than {READ_CHARS:,} is rendered but "
                    "not read: no cases are steered by it, no branches counted, no lines named"
                )
                text = None
            if text is not None:
                with self._bounded(number, "no cases were steered by what the template reads"):
                    hints = hints_of(text)
            self._hints[number] = hints = with_corners(hints, self.runner.settings.cases)
            if text is not None:
                with self._bounded(number, "no cases aim at what the others rarely met"):
                    self._hints[number] = self.sample.aim(text, hints, min(self.plain, self.part.cases))
        return self._hints[number]

    def _judged(self, number: int) -> int:
        """Return how many cases one target was given."""
        return self.part.cases + (self._own[number].cases if number in self._own else 0)

    def _short(self, number: int) -> str | None:
        """Return why too few cases were judged for a verdict, or None when there were enough."""
        settings, judged = self.runner.settings, self._judged(number)
        asked = settings.cases
        if self.ended is None or judged >= asked:
            return None
        if self.ended == "time" and settings.at_least is not None and judged >= settings.at_least:
            return None
        why = {
            "time": "the time was up",
            "gone": "it answered no more",
            "interrupted": "the run was interrupted",
        }[self.ended]
        return f"nothing diverged in {judged:,} of {asked:,} conversations, then {why}: too few for a verdict"

    def _judge(
        self,
        numbers: list[int],
        part: Part,
        start: int,
        stop: int,
        hints: Hints,
        deadline: float | None,
        source: Workload | None = None,
    ) -> None:
        """Judge a range of cases on some of the targets, in this process or in several."""
        settings = self.runner.settings
        before = start if source is None else settings.cases
        total = settings.cases + settings.weighed
        targets = [self.judged[number] for number in numbers]

        def progress(_done: int) -> None:
            for number in numbers:
                if number not in self.part.errors:
                    self.listener.progress(self.judged[number], before + part.cases, total)

        def merged() -> None:
            progress(part.cases)
            for number, tally in zip(numbers, part.tallies, strict=True):
                self._tell(number, list(tally.rules), tally)

        if settings.jobs > 1 and not self.foreign:
            self._pool.run(
                numbers, part, start, stop, hints=hints, source=source, deadline=deadline, on_merged=merged
            )
        else:
            self.runner.run(
                targets,
                start,
                stop,
                deadline=deadline,
                on_found=lambda position, news, tally: self._tell(numbers[position], news, tally),
                on_progress=progress,
                on_drawn=self.sample.keep if source is None else None,
                part=part,
                hints=hints,
                source=source,
            )

    @property
    def cases(self) -> int:
        """How many conversations each target was given."""
        return self.part.cases + max((own.cases for own in self._own.values()), default=0)

    @property
    def unanswered(self) -> tuple[dict[str, int], int]:
        """On how many conversations the authority gave no answer, by reason, and how many answers nothing explains."""
        unanswered: dict[str, int] = {}
        parts = (self.part, *self._own.values())
        for part in parts:
            for reason, count in part.unanswered.items():
                unanswered[reason] = unanswered.get(reason, 0) + count
        return unanswered, sum(part.layout_failures for part in parts)

    def _tell(self, number: int, slugs: Sequence[str], tally: Tally) -> None:
        for slug in slugs:
            if (number, slug) in self._told or len(self._told) >= _MOST_TOLD * len(self.judged):
                continue
            self._told.add((number, slug))
            seen = self.part.tallies[number].rules.get(slug, tally.rules[slug])
            shown = self.examples.as_seen(self.judged[number], seen)
            if shown is not None:
                self.listener.found(self.judged[number], self._divergence(number, seen, shown, parse=False))

    def _divergence(
        self, number: int, seen: RuleTally, shown: assemble.Shown, *, parse: bool = True
    ) -> Divergence:
        total, weighed = self.part.tallies[number].total, self.weighed.tallies[number].total
        return assemble.divergence(
            shown.found.rule, seen, total, shown, self._coverage(number), weighed=weighed, parse=parse
        )

    def _coverage(self, number: int) -> CoverageCounter:
        """Return the coverage of one target's cases: those all targets share and its own."""
        whole = CoverageCounter()
        whole.merge(self.part.coverage)
        if number in self._own:
            whole.merge(self._own[number].coverage)
        return whole

    def finish(self, *, shrink: bool) -> None:
        """Make the records of all targets that have none yet."""
        workload = self.runner.settings.workload
        for number, target in enumerate(self.judged):
            if number in self.targets:
                continue
            tally = self.part.tallies[number]
            deeper = shrink and assemble.is_harmony(target, tally)
            found = self.examples
            rules = tally.folded(_MOST_CAUSES)
            cut = self._cuts.setdefault(number, [])
            if deeper:
                shown, why = found.causes(target, rules, self._left)
                cut += why
            else:
                shown = found.smallest(target, rules)
            divergences = self._divergences(number, shown)
            if deeper and number not in self.part.errors and not self._late():
                with self._bounded(number, "what training would learn was not judged", EXPLAIN_S):
                    divergences += self.examples.masks(target, self.part.cases)
            if tally.slow:
                cut.append(
                    f"{tally.slow} texts are different and no more is known: to compare them took longer than "
                    f"{COMPARE_S:g} s"
                )
            divergences.sort(key=lambda d: (-(d.workload_count or 0), -d.count, d.code))
            result = assemble.target(
                target,
                tally,
                divergences,
                assemble.coverage_record(
                    self._coverage(number),
                    self._branches(number) if shrink and not self._late() else None,
                ),
                engines=list(self.runner.hosts),
                versions={name: host.version() for name, host in self.runner.hosts.items()},
                profiles=self.runner.judge.names,
                aliases=self.aliases[number],
                findings=self.findings.get(target.sha256, []),
                refusals=self.examples.refusals(tally),
                error=self.part.errors.get(number),
                unreadable=number in self.unreadable,
                short=self._short(number),
                cut=cut,
                weighed=None if workload is None else (workload.name, self.weighed.tallies[number]),
            )
            self.targets[number] = result
            self.listener.finished(result)

    def gone(self, reason: str) -> None:
        """Note why a target answers no more; what it answered so far stays judged."""
        for number in range(len(self.judged)):
            if number not in self.targets:
                self.part.errors.setdefault(number, reason)

    def _branches(self, number: int) -> BranchCoverage | None:
        target = self.judged[number]
        if target.text is None or number in self.part.errors or self.cases == 0:
            return None
        hints = self._steering(number)
        with self._bounded(number, "no branches were counted"):
            return self.sample.run(target.text, hints, min(self.plain, self.part.cases))
        self.sample.close()
        return None

    def _divergences(self, number: int, shown: list[tuple[RuleTally, assemble.Shown]]) -> list[Divergence]:
        """Return the records of a target's rules; to say what a model reads in their prompts has a limit of time."""
        found = []
        begin = cost()
        for seen, example in shown:
            key = seen.smallest.found.key
            parse = cost() - begin < EXPLAIN_S and not self._late()
            one = None
            if parse:
                with self._bounded(number, f"what a model reads in the example of {key[:80]} is not said"):
                    one = self._divergence(number, seen, example)
            found.append(one or self._divergence(number, seen, example, parse=False))
        return found

    def close(self) -> None:
        """End the workers of the probe and of what finds lines, and the processes that judge."""
        self._pool.close(at_once=self.ended is not None)
        self.examples.close()
        self.sample.close()
