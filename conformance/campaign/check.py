"""Judge targets from beginning to end: campaign, shrinking, report; what was found survives an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from conformance.campaign import assemble
from conformance.campaign.locate import Locator
from conformance.campaign.mask import check_mask
from conformance.campaign.parallel import run_parallel
from conformance.campaign.runner import Runner, Settings
from conformance.campaign.shrink import Shrinker
from conformance.campaign.tally import Part, RuleTally, Sighting, Tally
from conformance.engines.host import Host
from conformance.errors import (
    EXIT_CONFORMS,
    EXIT_DIVERGES,
    EXIT_UNJUDGED,
    EXIT_USAGE,
    GoneError,
    UnjudgedError,
    UsageError,
)
from conformance.generate import Hints
from conformance.generate.coverage import CoverageCounter
from conformance.package_checks import examine
from conformance.report.model import Divergence, Finding, LeftOut, Report, Run
from conformance.report.model import Target as Result
from conformance.rules.base import Severity
from conformance.rules.behaviour import DOES_NOT_COMPILE, RESOURCE_LIMIT
from conformance.shapes import Shape, shapes
from conformance.sources import Template
from conformance.targets.base import Target
from conformance.template.branches import PROBED, BranchCoverage, BranchProbe
from conformance.template.hints import hints_of

# The last tenth of the cases is steered by what the template itself waits for.
HINTED = 0.1
# So many cases of either kind are run once more to see which branches they reach.
_PROBED_CASES = 250
# A third of so many conversations is trained on.
_MASKED_CASES = 600
# Each smaller case would cost the whole limit once more; no case is to blame for the other.
# So many causes of one rule are shrunk and shown; a template can have as many as there are conversations.
_MOST_CAUSES = 30
_NOT_SHRUNK = frozenset({RESOURCE_LIMIT.slug, DOES_NOT_COMPILE.slug})


class Listener(Protocol):
    """Is told what a campaign finds while it runs; the event log and the progress bar listen."""

    def started(self, target: Target, cases: int) -> None:
        """A target's campaign begins."""

    def progress(self, target: Target, done: int, total: int) -> None:
        """So many conversations of a target are judged."""

    def found(self, target: Target, divergence: Divergence) -> None:
        """A rule was seen for the first time, or its case was shrunk."""

    def finished(self, result: Result) -> None:
        """A target's result is complete."""


class Silent:
    """A listener that does nothing."""

    def started(self, target: Target, cases: int) -> None:
        """Do nothing."""

    def progress(self, target: Target, done: int, total: int) -> None:
        """Do nothing."""

    def found(self, target: Target, divergence: Divergence) -> None:
        """Do nothing."""

    def finished(self, result: Result) -> None:
        """Do nothing."""


def check(
    given: Sequence[Target],
    settings: Settings,
    listener: Listener | None = None,
    *,
    hosts: Mapping[str, Host] | None = None,
    left_out: Sequence[LeftOut] = (),
    shrink: bool = True,
) -> Report:
    """Judge targets and return the report; templates with the same text are judged once.

    `hosts` make the prompts where the targets are no templates. A KeyboardInterrupt, or a server that is gone, ends
    the campaign and not the report: what was found is in it, `complete` is False.
    Raises UsageError when the only target does not compile, UnjudgedError when oracle or engine is missing.
    """
    begin = time.monotonic()
    listener = listener or Silent()
    unique, aliases = _unique(given)
    findings = examine([target for target in given if isinstance(target, Template)])
    with Runner(settings, hosts=hosts) as runner:
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


def _stride(cases: int, choices: tuple[tuple[Shape, ...], ...]) -> int:
    """Return every how many cases one is probed: a number that meets all shapes, which take turns."""
    turn = len(choices) * math.lcm(*(len(family) for family in choices))
    step = max(1, cases // _PROBED_CASES)
    while math.gcd(step, turn) > 1:
        step += 1
    return step


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
        # Hosts that are no engines belong to this process.
        self.foreign = foreign
        self._own: dict[int, Part] = {}
        self._told: set[tuple[int, str]] = set()
        self._probe: BranchProbe | None = None
        self._locator = Locator(limits=runner.settings.limits)
        self.targets: dict[int, Result] = {}
        self.ended: Literal["time", "interrupted", "gone"] | None = None
        self._deadline: float | None = None

    def run(self, begin: float) -> None:
        settings = self.runner.settings
        for number, target in enumerate(self.judged):
            try:
                self.runner.compile_check(target)
            except UsageError as error:
                if len(self.judged) == 1:
                    raise
                self.part.errors[number] = str(error)
        for target in self.judged:
            self.listener.started(target, settings.cases)
        deadline = self._deadline = None if settings.seconds is None else begin + settings.seconds
        hinted = int(settings.cases * HINTED)
        plain = settings.cases - hinted
        self._judge(list(range(len(self.judged))), self.part, 0, plain, Hints(), deadline)
        for number, target in enumerate(self.judged):
            if number not in self.part.errors:
                # What a template waits for is its own; the tally is the same, so that both parts add up.
                own = Part([self.part.tallies[number]], CoverageCounter())
                hints = Hints() if target.text is None else hints_of(target.text)
                self._judge([number], own, plain, settings.cases, hints, deadline)
                if own.errors:
                    self.part.errors[number] = own.errors[0]
                self._own[number] = own
        judged = [
            self._judged(number) for number in range(len(self.judged)) if number not in self.part.errors
        ]
        if self._late() and min(judged, default=settings.cases) < settings.cases:
            self.ended = "time"

    def _late(self) -> bool:
        """Return whether the time of the whole run is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

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
        self, numbers: list[int], part: Part, start: int, stop: int, hints: Hints, deadline: float | None
    ) -> None:
        """Judge a range of cases on some of the targets, in this process or in several."""
        settings = self.runner.settings
        targets = [self.judged[number] for number in numbers]

        def progress(_done: int) -> None:
            for number in numbers:
                if number not in self.part.errors:
                    self.listener.progress(self.judged[number], start + part.cases, settings.cases)

        def merged() -> None:
            progress(part.cases)
            for number, tally in zip(numbers, part.tallies, strict=True):
                self._tell(number, list(tally.rules), tally)

        if settings.jobs > 1 and not self.foreign:
            chosen = replace(settings, hints=hints)
            run_parallel(chosen, targets, part, start, stop, deadline=deadline, on_merged=merged)
        else:
            self.runner.run(
                targets,
                start,
                stop,
                deadline=deadline,
                on_found=lambda position, news, tally: self._tell(numbers[position], news, tally),
                on_progress=progress,
                part=part,
                hints=hints,
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
            if (number, slug) in self._told:
                continue
            self._told.add((number, slug))
            seen = self.part.tallies[number].rules.get(slug, tally.rules[slug])
            shown = self._shown(self.judged[number], seen)
            if shown is not None:
                self.listener.found(self.judged[number], self._divergence(number, seen, shown))

    def _divergence(self, number: int, seen: RuleTally, shown: assemble.Shown) -> Divergence:
        total = self.part.tallies[number].total
        return assemble.divergence(shown.found.rule, seen, total, shown, self._coverage(number))

    def _coverage(self, number: int) -> CoverageCounter:
        """Return the coverage of one target's cases: those all targets share and its own."""
        whole = CoverageCounter()
        whole.merge(self.part.coverage)
        if number in self._own:
            whole.merge(self._own[number].coverage)
        return whole

    def _shown(self, target: Target, seen: RuleTally) -> assemble.Shown | None:
        smallest = seen.smallest
        answer = self.runner.judge.answer(smallest.case)
        if answer is None:
            return None
        return assemble.Shown(
            smallest.case,
            smallest.engine,
            smallest.shape,
            answer,
            smallest.judgement,
            smallest.found,
            reproduce=target.reproduce(shapes([smallest.shape])[0][0].request(smallest.case)),
        )

    def finish(self, *, shrink: bool) -> None:
        """Make the records of all targets that have none yet."""
        for number, target in enumerate(self.judged):
            if number in self.targets:
                continue
            tally = self.part.tallies[number]
            smaller = shrink and assemble.is_harmony(target, tally)
            rules = tally.folded(_MOST_CAUSES)
            shown = self._shrunk(target, rules) if smaller else self._smallest(target, rules)
            divergences = [
                self._divergence(number, seen, shown[key]) for key, seen in rules.items() if key in shown
            ]
            divergences += self._masks(target) if smaller and number not in self.part.errors else []
            divergences.sort(key=lambda d: (-d.count, d.code))
            result = assemble.target(
                target,
                tally,
                divergences,
                assemble.coverage_record(
                    self._coverage(number),
                    self._branches(target)
                    if shrink and number not in self.part.errors and not self._late()
                    else None,
                ),
                engines=list(self.runner.hosts),
                versions={name: host.version() for name, host in self.runner.hosts.items()},
                profiles=self.runner.judge.names,
                aliases=self.aliases[number],
                findings=self.findings.get(target.sha256, []),
                refusals=assemble.refusals(tally),
                error=self.part.errors.get(number),
                short=self._short(number),
            )
            self.targets[number] = result
            self.listener.finished(result)

    def _masks(self, target: Target) -> list[Divergence]:
        """Judge what training with a template would learn; transformers alone makes masks."""
        if target.text is None or "transformers" not in self.runner.hosts:
            return []
        drawn = (self.runner.drawn(index) for index in range(min(_MASKED_CASES, self.part.cases)))
        cases = [(item.case, item.shape) for item in drawn if item.lost is None]
        limits = self.runner.settings.limits
        try:
            return check_mask(
                target.name, target.text, cases, self.runner.judge, self._locator, limits=limits
            )
        except UnjudgedError:
            return []

    def gone(self, reason: str) -> None:
        """Note why a target answers no more; what it answered so far stays judged."""
        for number in range(len(self.judged)):
            if number not in self.targets:
                self.part.errors.setdefault(number, reason)

    def _branches(self, target: Target) -> BranchCoverage | None:
        """Run a sample of the campaign's cases once more, noting branches; None for engines that cannot."""
        settings = self.runner.settings
        if target.text is None or settings.engines[0] not in PROBED or self.cases == 0:
            return None
        hinted = int(settings.cases * HINTED)
        plain = settings.cases - hinted
        step = _stride(plain, self.runner.choices)
        drawn = [self.runner.drawn(index) for index in range(0, min(plain, self.part.cases), step)]
        hints = hints_of(target.text)
        step = _stride(hinted, self.runner.choices)
        drawn += [self.runner.drawn(index, hints) for index in range(plain, settings.cases, step)]
        requests = [item.shape.request(item.case) for item in drawn if item.lost is None]
        if self._probe is None:
            self._probe = BranchProbe(settings.engines[0], limits=settings.limits)
        try:
            return self._probe.run(target.text, requests)
        except UnjudgedError:
            return None

    def close(self) -> None:
        """End the workers of the probe and of what finds lines."""
        self._locator.close()
        if self._probe is not None:
            self._probe.close()

    def _smallest(self, target: Target, rules: dict[str, RuleTally]) -> dict[str, assemble.Shown]:
        found = {key: self._shown(target, seen) for key, seen in rules.items()}
        return {slug: shown for slug, shown in found.items() if shown is not None}

    def _shrinker(self, target: Target, host: Host, smallest: Sighting) -> Shrinker:
        """Return what shrinks a sighting: on its engine, and where engines disagree on both."""
        runner, found = self.runner, smallest.found
        names = [smallest.engine, *([found.against] if found.against else [])]
        return Shrinker(
            runner.judge,
            host,
            target.text or "",
            expressible=runner.expressible(*names),
            against=(found.against, runner.hosts[found.against]) if found.against else None,
            date=runner.settings.date,
        )

    def _shrunk(self, target: Target, rules: dict[str, RuleTally]) -> dict[str, assemble.Shown]:
        """Shrink the smallest case of every rule, and trace the template line of each."""
        shown: dict[str, assemble.Shown] = {}
        for slug, seen in rules.items():
            smallest = seen.smallest
            host = self.runner.hosts[smallest.engine]
            fallback = self._shown(target, seen)
            if slug in _NOT_SHRUNK or self._late():
                if fallback is not None:
                    shown[slug] = fallback
                continue
            shape = shapes([smallest.shape])[0][0]
            shrinker = self._shrinker(target, host, smallest)
            small = shrinker.shrink(smallest.case, shape, slug)
            if small is None:
                if fallback is not None:
                    shown[slug] = fallback
                continue
            line, origin = None, None
            difference, text = small.found.difference, small.judgement.text
            # What only the server can prevent was not written by any line of the template.
            blamed = assemble.severity(small.found.rule, (), small.found.severity) != "note"
            if target.text is not None and blamed and difference is not None and text is not None:
                request = small.shape.request(small.case)
                line, origin = self._locator.locate(
                    target.text, smallest.engine, host, request, text, difference
                )
            shown[slug] = assemble.Shown(
                small.case,
                smallest.engine,
                small.shape.name,
                small.answer,
                small.judgement,
                small.found,
                small.minimal,
                line,
                () if self.foreign else shrinker.needed_shapes(small, slug),
                origin,
                target.reproduce(small.shape.request(small.case)),
            )
        return shown


def exit_code(report: Report, fail_on: str = "error") -> int:
    """Return the exit code of a report: the highest of its targets' and of what was left out.

    0 conforms, 1 divergences or findings at least as bad as `fail_on` (error, warning or never), 2 an unreadable
    target, 3 could not be judged. Where a gate has judged the targets, its word holds.
    """
    codes = [EXIT_CONFORMS]
    if not report.targets or report.run.cases == 0:
        codes.append(EXIT_UNJUDGED)
    levels = {"error": ("error",), "warning": ("error", "warning")}.get(fail_on, ())
    for target in report.targets:
        if target.verdict == "error":
            unreadable = target.cases.total == 0 and target.error not in (
                None,
                assemble.NOTHING_JUDGED,
                assemble.ALL_REFUSED,
            )
            codes.append(EXIT_USAGE if unreadable else EXIT_UNJUDGED)
        elif target.passes is not None:
            codes.append(EXIT_CONFORMS if target.passes else EXIT_DIVERGES)
        elif not target.harmony:
            codes.append(EXIT_CONFORMS if fail_on == "never" else EXIT_DIVERGES)
        elif not _severities(target).isdisjoint(levels):
            codes.append(EXIT_DIVERGES)
    return max(codes)


def _severities(result: Result) -> set[Severity]:
    found = {divergence.severity for divergence in result.divergences}
    return found | {finding.severity for finding in result.findings}
