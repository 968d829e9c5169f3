"""Judge targets from beginning to end: campaign, shrinking, report; what was found survives an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from conformance.campaign import assemble
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
    UnjudgedError,
    UsageError,
)
from conformance.generate import Hints
from conformance.generate.coverage import CoverageCounter
from conformance.package_checks import examine
from conformance.report.model import Divergence, Finding, LeftOut, Report, Run, Target
from conformance.rules.base import Severity
from conformance.rules.behaviour import DOES_NOT_COMPILE, RESOURCE_LIMIT
from conformance.shapes import Shape, shapes
from conformance.sources import Template
from conformance.template.branches import PROBED, BranchCoverage, BranchProbe
from conformance.template.hints import hints_of
from conformance.template.lines import LineTracer

# The last tenth of the cases is steered by what the template itself waits for.
HINTED = 0.1
# So many cases of either kind are run once more to see which branches they reach.
_PROBED_CASES = 250
# Each smaller case would cost the whole limit once more; no case is to blame for the other.
_NOT_SHRUNK = frozenset({RESOURCE_LIMIT.slug, DOES_NOT_COMPILE.slug})


class Listener(Protocol):
    """Is told what a campaign finds while it runs; the event log and the progress bar listen."""

    def started(self, template: Template, cases: int) -> None:
        """A target's campaign begins."""

    def progress(self, template: Template, done: int, total: int) -> None:
        """So many conversations of a target are judged."""

    def found(self, template: Template, divergence: Divergence) -> None:
        """A rule was seen for the first time, or its case was shrunk."""

    def finished(self, target: Target) -> None:
        """A target's result is complete."""


class Silent:
    """A listener that does nothing."""

    def started(self, template: Template, cases: int) -> None:
        """Do nothing."""

    def progress(self, template: Template, done: int, total: int) -> None:
        """Do nothing."""

    def found(self, template: Template, divergence: Divergence) -> None:
        """Do nothing."""

    def finished(self, target: Target) -> None:
        """Do nothing."""


def check(
    templates: Sequence[Template],
    settings: Settings,
    listener: Listener | None = None,
    *,
    left_out: Sequence[LeftOut] = (),
    shrink: bool = True,
) -> Report:
    """Judge templates and return the report; templates with the same text are judged once.

    A KeyboardInterrupt ends the campaign and not the report: what was found is in it, `complete` is False.
    Raises UsageError when the only target does not compile, UnjudgedError when oracle or engine is missing.
    """
    begin = time.monotonic()
    listener = listener or Silent()
    unique, aliases = _unique(templates)
    with Runner(settings) as runner:
        campaign = _Campaign(runner, unique, aliases, examine(templates), listener)
        try:
            campaign.run(begin)
            campaign.finish(shrink=shrink)
            complete = campaign.complete
        except KeyboardInterrupt:
            complete = False
            campaign.finish(shrink=False)
        finally:
            campaign.close()
        targets = campaign.targets
        cases = campaign.cases
    run = Run(
        seed=settings.seed,
        profile=settings.profile,
        elapsed_s=round(time.monotonic() - begin, 3),
        cases=cases,
        complete=complete,
    )
    return Report(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        run=run,
        targets=[targets[number] for number in sorted(targets)],
        left_out=list(left_out),
    )


def _unique(templates: Sequence[Template]) -> tuple[list[Template], list[list[str]]]:
    """Keep the first of the templates with one text; the names of the others become its aliases."""
    by_hash: dict[str, int] = {}
    unique: list[Template] = []
    aliases: list[list[str]] = []
    for template in templates:
        if template.sha256 in by_hash:
            aliases[by_hash[template.sha256]].append(template.name)
        else:
            by_hash[template.sha256] = len(unique)
            unique.append(template)
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
        templates: list[Template],
        aliases: list[list[str]],
        findings: dict[str, list[Finding]],
        listener: Listener,
    ) -> None:
        self.runner = runner
        self.templates = templates
        self.aliases = aliases
        self.findings = findings
        self.listener = listener
        self.part = runner.new_part(templates)
        self._own: dict[int, Part] = {}
        self._told: set[tuple[int, str]] = set()
        self._probe: BranchProbe | None = None
        self.targets: dict[int, Target] = {}
        self.complete = True

    def run(self, begin: float) -> None:
        settings = self.runner.settings
        for number, template in enumerate(self.templates):
            try:
                self.runner.compile_check(template)
            except UsageError as error:
                if len(self.templates) == 1:
                    raise
                self.part.errors[number] = str(error)
        for template in self.templates:
            self.listener.started(template, settings.cases)
        deadline = None if settings.seconds is None else begin + settings.seconds
        hinted = int(settings.cases * HINTED)
        plain = settings.cases - hinted
        self._judge(list(range(len(self.templates))), self.part, 0, plain, Hints(), deadline)
        for number, template in enumerate(self.templates):
            if number not in self.part.errors:
                # What a template waits for is its own; the tally is the same, so that both parts add up.
                own = Part([self.part.tallies[number]], CoverageCounter())
                self._judge([number], own, plain, settings.cases, hints_of(template.text), deadline)
                if own.errors:
                    self.part.errors[number] = own.errors[0]
                self._own[number] = own
        late = deadline is not None and time.monotonic() >= deadline
        judged = [
            self.part.cases + (self._own[number].cases if number in self._own else 0)
            for number in range(len(self.templates))
            if number not in self.part.errors
        ]
        self.complete = not (late and min(judged, default=settings.cases) < settings.cases)

    def _judge(
        self, numbers: list[int], part: Part, start: int, stop: int, hints: Hints, deadline: float | None
    ) -> None:
        """Judge a range of cases on some of the targets, in this process or in several."""
        settings = self.runner.settings
        templates = [self.templates[number] for number in numbers]

        def progress(_done: int) -> None:
            for number in numbers:
                if number not in self.part.errors:
                    self.listener.progress(self.templates[number], start + part.cases, settings.cases)

        def merged() -> None:
            progress(part.cases)
            for number, tally in zip(numbers, part.tallies, strict=True):
                self._tell(number, list(tally.rules), tally)

        if settings.jobs > 1:
            chosen = replace(settings, hints=hints)
            run_parallel(chosen, templates, part, start, stop, deadline=deadline, on_merged=merged)
        else:
            self.runner.run(
                templates,
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

    def _tell(self, number: int, slugs: Sequence[str], tally: Tally) -> None:
        for slug in slugs:
            if (number, slug) in self._told:
                continue
            self._told.add((number, slug))
            seen = tally.rules[slug]
            shown = self._shown(seen)
            if shown is not None:
                self.listener.found(self.templates[number], self._divergence(number, slug, shown))

    def _divergence(self, number: int, key: str, shown: assemble.Shown) -> Divergence:
        tally = self.part.tallies[number]
        slug = shown.found.rule
        return assemble.divergence(slug, tally.rules[key], tally.total, shown, self._coverage(number))

    def _coverage(self, number: int) -> CoverageCounter:
        """Return the coverage of one target's cases: those all targets share and its own."""
        whole = CoverageCounter()
        whole.merge(self.part.coverage)
        if number in self._own:
            whole.merge(self._own[number].coverage)
        return whole

    def _shown(self, seen: RuleTally) -> assemble.Shown | None:
        smallest = seen.smallest
        answer = self.runner.judge.answer(smallest.case)
        if answer is None:
            return None
        return assemble.Shown(
            smallest.case, smallest.engine, smallest.shape, answer, smallest.judgement, smallest.found
        )

    def finish(self, *, shrink: bool) -> None:
        """Make the records of all targets that have none yet."""
        for number, template in enumerate(self.templates):
            if number in self.targets:
                continue
            tally = self.part.tallies[number]
            smaller = shrink and assemble.is_harmony(template, tally)
            shown = self._shrunk(template, tally) if smaller else self._smallest(tally)
            divergences = [
                self._divergence(number, slug, shown[slug]) for slug in tally.rules if slug in shown
            ]
            divergences.sort(key=lambda d: (-d.count, d.code))
            result = assemble.target(
                template,
                tally,
                divergences,
                assemble.coverage_record(
                    self._coverage(number),
                    self._branches(template) if shrink and number not in self.part.errors else None,
                ),
                engines=list(self.runner.hosts),
                versions={name: host.version() for name, host in self.runner.hosts.items()},
                profiles=self.runner.judge.names,
                aliases=self.aliases[number],
                findings=self.findings.get(template.sha256, []),
                error=self.part.errors.get(number),
            )
            self.targets[number] = result
            self.listener.finished(result)

    def _branches(self, template: Template) -> BranchCoverage | None:
        """Run a sample of the campaign's cases once more, noting branches; None for engines that cannot."""
        settings = self.runner.settings
        if settings.engines[0] not in PROBED or self.cases == 0:
            return None
        hinted = int(settings.cases * HINTED)
        plain = settings.cases - hinted
        step = _stride(plain, self.runner.choices)
        drawn = [self.runner.drawn(index) for index in range(0, min(plain, self.part.cases), step)]
        hints = hints_of(template.text)
        step = _stride(hinted, self.runner.choices)
        drawn += [self.runner.drawn(index, hints) for index in range(plain, settings.cases, step)]
        requests = [item.shape.request(item.case) for item in drawn if item.lost is None]
        if self._probe is None:
            self._probe = BranchProbe(settings.engines[0], limits=settings.limits)
        try:
            return self._probe.run(template.text, requests)
        except UnjudgedError:
            return None

    def close(self) -> None:
        """End the probe's worker."""
        if self._probe is not None:
            self._probe.close()

    def _smallest(self, tally: Tally) -> dict[str, assemble.Shown]:
        found = {slug: self._shown(seen) for slug, seen in tally.rules.items()}
        return {slug: shown for slug, shown in found.items() if shown is not None}

    def _shrinker(self, template: Template, host: Host, smallest: Sighting) -> Shrinker:
        """Return what shrinks a sighting: on its engine, and where engines disagree on both."""
        runner, found = self.runner, smallest.found
        names = [smallest.engine, *([found.against] if found.against else [])]
        return Shrinker(
            runner.judge,
            host,
            template.text,
            expressible=runner.expressible(*names),
            against=(found.against, runner.hosts[found.against]) if found.against else None,
        )

    def _shrunk(self, template: Template, tally: Tally) -> dict[str, assemble.Shown]:
        """Shrink the smallest case of every rule, and trace the template line of each."""
        shown: dict[str, assemble.Shown] = {}
        tracers: dict[str, LineTracer] = {}
        for slug, seen in tally.rules.items():
            smallest = seen.smallest
            host = self.runner.hosts[smallest.engine]
            fallback = self._shown(seen)
            if slug in _NOT_SHRUNK:
                if fallback is not None:
                    shown[slug] = fallback
                continue
            shape = shapes([smallest.shape])[0][0]
            shrinker = self._shrinker(template, host, smallest)
            small = shrinker.shrink(
                smallest.case, shape, slug, unexplained=not seen.explained and not smallest.found.readings
            )
            if small is None:
                if fallback is not None:
                    shown[slug] = fallback
                continue
            line = None
            difference = small.found.difference
            # What only the server can prevent was not written by any line of the template.
            blamed = assemble.severity(small.found.rule, (), small.found.severity) != "note"
            if blamed and difference is not None and difference.actual and small.judgement.text is not None:
                tracer = tracers.setdefault(smallest.engine, LineTracer(host, template.text))
                line = tracer.line(
                    small.shape.request(small.case), small.judgement.text, difference.actual_offset
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
                shrinker.needed_shapes(small, slug),
            )
        return shown


def exit_code(report: Report, fail_on: str = "error") -> int:
    """Return the exit code of a report: the highest of its targets' and of what was left out.

    0 conforms, 1 divergences or findings at least as bad as `fail_on` (error, warning or never), 2 an unreadable
    target, 3 could not be judged.
    """
    codes = [EXIT_CONFORMS]
    if not report.targets or report.run.cases == 0:
        codes.append(EXIT_UNJUDGED)
    levels = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    for target in report.targets:
        if target.verdict == "error":
            unreadable = target.cases.total == 0 and target.error not in (None, assemble.NOTHING_JUDGED)
            codes.append(EXIT_USAGE if unreadable else EXIT_UNJUDGED)
        elif not target.harmony:
            codes.append(EXIT_CONFORMS if fail_on == "never" else EXIT_DIVERGES)
        elif not _severities(target).isdisjoint(levels):
            codes.append(EXIT_DIVERGES)
    return max(codes)


def _severities(target: Target) -> set[Severity]:
    found = {divergence.severity for divergence in target.divergences}
    return found | {finding.severity for finding in target.findings}
