"""Try all checks on a template, with each engine, and make the report's record of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from conformance.checks.base import Finding, checks
from conformance.checks.bench import Bench
from conformance.checks.content import fitting
from conformance.checks.probe import Probe
from conformance.conversation import case_id
from conformance.engines.base import Rejected, Rendered, SyntaxProblem
from conformance.engines.host import Host
from conformance.report.cut import fitted
from conformance.report.model import (
    CaseCounts,
    Coverage,
    Divergence,
    Example,
    Target,
)
from conformance.rules import rule
from conformance.rules.base import Severity, loss_of
from conformance.rules.behaviour import DOES_NOT_COMPILE
from conformance.sources import Template
from conformance.template.lines import LineTracer
from conformance.template.mask_engine import has_marks

_SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding, the check that made it and the engine on which it did."""

    check: str
    engine: str
    finding: Finding

    @property
    def severity(self) -> Severity:
        """How grave this occurrence is."""
        return self.finding.severity or rule(self.finding.rule).severity


@dataclass(slots=True)
class Examination:
    """What was found on one template: all findings, and what became of each probe on each engine.

    `tried` holds the names of the probes that fit the template, with their shapes.
    """

    template: Template
    engines: list[str]
    probes: Sequence[Probe]
    tried: dict[str, str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    rendered: set[tuple[str, str]] = field(default_factory=set)
    rejected: set[tuple[str, str]] = field(default_factory=set)
    problems: dict[str, SyntaxProblem] = field(default_factory=dict)

    @property
    def compiles(self) -> bool:
        """Whether any engine could compile the template."""
        return len(self.problems) < len(self.engines)


def examine(
    template: Template,
    hosts: Mapping[str, Host],
    probes: Sequence[Probe],
    *,
    mask_host: Host | None = None,
    on_probe: Callable[[int], None] = lambda done: None,
) -> Examination:
    """Try all checks on all probes; `mask_host` runs the mask engine, None leaves that check out.

    Raises UnjudgedError when an engine cannot be loaded.
    """
    found = Examination(template, list(hosts), probes)
    done = 0
    for engine, host in hosts.items():
        problem = host.compile_check(template.text)
        if problem is not None:
            found.problems[engine] = problem
            continue
        masked = mask_host if engine == "transformers" and has_marks(template.text) else None
        bench = Bench(template.text, host, engine, masked)
        fit, about_content = fitting(bench, probes)
        found.seen += [Seen("texts", engine, finding) for finding in about_content]
        bench.expect(probe.request(generation=probe.asks) for probe in fit)
        bench.expect(probe.request(generation=False) for probe in fit if probe.manner is None)
        for probe in fit:
            found.tried.setdefault(probe.name, probe.shape)
            outcome = bench.outcome(probe.request(generation=probe.asks))
            if isinstance(outcome, Rendered):
                found.rendered.add((engine, probe.name))
            elif isinstance(outcome, Rejected):
                found.rejected.add((engine, probe.name))
            for name, check in checks().items():
                found.seen += [Seen(name, engine, finding) for finding in check(bench, probe)]
            done += 1
            on_probe(done)
    return found


def target(found: Examination, hosts: Mapping[str, Host], aliases: Sequence[str] = ()) -> Target:
    """Return the report's record: a divergence for each rule, with its gravest and smallest example.

    Notes alone are no divergence: what a template refuses or never looks at, it may.
    """
    divergences = [_of_problem(found, engine, problem) for engine, problem in found.problems.items()]
    if not found.compiles:
        engine, problem = next(iter(found.problems.items()))
        return _record(found, [], aliases, error=f"{problem.message} ({engine}, line {problem.line})")
    by_rule: dict[str, list[Seen]] = {}
    for seen in found.seen:
        by_rule.setdefault(seen.finding.rule, []).append(seen)
    tracers: dict[str, LineTracer] = {}
    for group in by_rule.values():
        divergences.append(_divergence(found, group, hosts, tracers))
    divergences.sort(key=lambda d: (_SEVERITIES.index(d.severity), -d.count, d.code))
    return _record(found, divergences, aliases)


def _divergence(
    found: Examination, group: list[Seen], hosts: Mapping[str, Host], tracers: dict[str, LineTracer]
) -> Divergence:
    shown = min(group, key=lambda seen: (_SEVERITIES.index(seen.severity), seen.finding.probe.size))
    known = rule(shown.finding.rule)
    names = {seen.finding.probe.name for seen in group}
    return Divergence(
        rule=known.slug,
        code=known.code,
        severity=shown.severity,
        check=shown.check,
        count=len(names),
        share=len(names) / len(found.tried),
        engines=sorted({seen.engine for seen in group}),
        shapes=sorted({seen.finding.probe.shape for seen in group}),
        vanishes_under=[],
        impact=loss_of(known.slug).impact,
        example=fitted(_example(found, shown, hosts, tracers)),
    )


def _example(
    found: Examination, shown: Seen, hosts: Mapping[str, Host], tracers: dict[str, LineTracer]
) -> Example:
    finding, probe = shown.finding, shown.finding.probe
    line = finding.line
    if line is None and finding.actual is not None and finding.actual_offset is not None:
        host = hosts[shown.engine]
        if shown.engine not in tracers:  # cutting a template up takes as long as some rendering
            tracers[shown.engine] = LineTracer(host, found.template.text)
        for generation in (probe.asks, False):
            request = probe.request(generation=generation)
            (outcome,) = host.render_many(found.template.text, [request])
            if outcome == Rendered(finding.actual):
                line = tracers[shown.engine].line(request, finding.actual, finding.actual_offset)
                break
    others = {
        seen.finding.rule
        for seen in found.seen
        if seen.finding.probe.name == probe.name and seen.finding.rule != finding.rule
    }
    return Example(
        case_id=case_id(probe.case),
        case=probe.case,
        engine=shown.engine,
        shape=probe.shape,
        expected=finding.expected,
        actual=finding.actual,
        offset=finding.offset,
        actual_offset=finding.actual_offset,
        region=finding.what if probe.manner is None else f"{finding.what}, handed over as {probe.shape}",
        message_index=finding.message,
        template_line=line,
        also=sorted(others),
        failure=finding.failure,
        handed=probe.request(generation=probe.asks).handed,
    )


def _of_problem(found: Examination, engine: str, problem: SyntaxProblem) -> Divergence:
    known = rule(DOES_NOT_COMPILE.slug)
    probe = found.probes[0]
    return Divergence(
        rule=known.slug,
        code=known.code,
        severity=known.severity,
        check="compiles",
        count=len(found.probes),
        share=1.0,
        engines=[engine],
        shapes=[],
        vanishes_under=[],
        impact=loss_of(known.slug).impact,
        example=Example(
            case_id=case_id(probe.case),
            case=probe.case,
            engine=engine,
            shape=probe.shape,
            expected="",
            actual=None,
            offset=None,
            region="",
            message_index=None,
            template_line=problem.line,
            failure=problem.message,
        ),
    )


def _record(
    found: Examination, divergences: list[Divergence], aliases: Sequence[str], error: str | None = None
) -> Target:
    counts = _counts(found)
    if error is None and not found.rendered:
        error = "it rendered no conversation"
    graver = any(divergence.severity != "note" for divergence in divergences)
    return Target(
        name=found.template.name,
        sha256=found.template.sha256,
        source=msgspec.to_builtins(found.template.source),
        verdict="error" if error else "diverges" if graver else "conforms",
        engines=found.engines,
        shapes=sorted(set(found.tried.values())),
        cases=CaseCounts() if not found.compiles else counts,
        coverage=Coverage(features=0.0, pairs=0.0),
        right_under={},
        divergences=divergences,
        error=error,
        aliases=list(aliases),
    )


def _counts(found: Examination) -> CaseCounts:
    """Count each probe once: crashed or rejected if so on any engine, else different if it shows a rule."""
    wrong = {seen.finding.probe.name for seen in found.seen if seen.severity != "note"}
    able = [engine for engine in found.engines if engine not in found.problems]
    numbers = {"equal": 0, "different": 0, "rejected": 0, "crashed": 0}
    for name in found.tried:
        keys = [(engine, name) for engine in able]
        if any(key not in found.rendered and key not in found.rejected for key in keys):
            numbers["crashed"] += 1
        elif any(key in found.rejected for key in keys):
            numbers["rejected"] += 1
        else:
            numbers["different" if name in wrong else "equal"] += 1
    return CaseCounts(total=len(found.tried), **numbers)
