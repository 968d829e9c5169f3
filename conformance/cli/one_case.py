"""`conformance diff` and `conformance replay`: one conversation, the oracle's text beside the template's."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from conformance.campaign.assemble import region_words, severity, structure
from conformance.campaign.runner import CASE_LIMITS, Runner, Settings
from conformance.cli.common import check_engines, one_template
from conformance.cli.runs import newest_run
from conformance.compare.align import align, side_by_side
from conformance.conversation import Case, case_id
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UsageError
from conformance.importers import looks_like_case_id, read_case
from conformance.oracles.profile import written
from conformance.report.diff_view import Finding, plain_diff, render_diff
from conformance.report.json_file import find_example, read
from conformance.report.terminal import TerminalWriter
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN
from conformance.shapes import families, shapes
from conformance.sources import Template


def run_diff(
    template: Template,
    case: Case,
    *,
    shape_name: str | None,
    engine: str,
    profile: str,
    plain: bool,
    console: Console,
) -> int:
    """Render one case with the oracle and with a template, print both, and return the exit code."""
    names = [shape_name] if shape_name else list(families())
    candidates = [shape for name in names for shape in shapes([name])[0]]
    shape = next((shape for shape in candidates if not shape.loses(case)), None)
    if shape is None:
        first = candidates[0]
        raise UsageError(
            f"The shape {first.name} cannot carry this case: {first.loses(case)}; choose another --shape."
        )
    settings = Settings(profile=profile, engines=(engine,), limits=CASE_LIMITS)
    with Runner(settings) as runner:
        runner.compile_check(template)
        answer = runner.judge.answer(case)
        if answer is None:
            raise UsageError("Harmony refuses this case, so there is nothing to compare the template with.")
        host = runner.hosts[engine]
        outcome = host.collect(host.submit(template.text, [shape.request(case)]))[0]
        judgement = runner.judge.judge(answer, outcome)
    findings = [
        Finding(
            found.rule,
            region_words(found),
            [written(reading) for reading in found.readings],
            severity(found.rule, found.readings, found.severity),
        )
        for found in judgement.found
    ]
    injected = any(found.rule == INJECTED_SPECIAL_TOKEN.slug for found in judgement.found)
    read = structure(answer, judgement, INJECTED_SPECIAL_TOKEN.slug if injected else "")
    failure = judgement.failure
    if failure is not None and judgement.line is not None:
        failure = f"{failure} (line {judgement.line})"
    messages = None
    if judgement.text is not None:
        messages = side_by_side(answer.rendering, align(answer.rendering, judgement.text))
    if plain or not console.is_terminal:
        text = plain_diff(messages, findings=findings, failure=failure, structure=read)
        console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
    else:
        title = f"{template.name} · case {case_id(case)} · shape {shape.name} · engine {engine}"
        writer = TerminalWriter(console)
        writer.print(title)
        writer.print(render_diff(console, messages, findings=findings, failure=failure, structure=read))
    worse = any(finding.severity != "note" for finding in findings)
    return EXIT_DIVERGES if worse else EXIT_CONFORMS


def run_replay(
    what: str,
    *,
    target: str | None,
    run: Path | None,
    plain: bool,
    offline: bool,
    console: Console,
) -> int:
    """Show a reported case again, by its id in the newest (or a named) run or from a file."""
    path = Path(what)
    if path.is_file() or not looks_like_case_id(what):
        if target is None:
            raise UsageError(f"To replay the file {what}, name the template with --target.")
        template = one_template(target, offline=offline)
        return run_diff(
            template, read_case(path), shape_name=None, engine="transformers", profile="harmony",
            plain=plain, console=console,
        )  # fmt: skip
    report = read(run or newest_run())
    reported, divergence = find_example(report, what, target)
    shown = divergence.example
    # What a report names is not run unless it is an engine of this installation.
    check_engines([shown.engine])
    template = _again(reported.name, reported.source, reported.sha256, offline=offline)
    if template.sha256 != reported.sha256:
        console.print(f"Note: {reported.name} has changed since that run.", markup=False, highlight=False)
    return run_diff(
        template, shown.case, shape_name=shown.shape, engine=shown.engine, profile=report.run.profile,
        plain=plain, console=console,
    )  # fmt: skip


def _again(name: str, source: dict[str, str], sha256: str, *, offline: bool) -> Template:
    """Load a reported template again: from where it came, or from the catalogue under its name."""
    problems = []
    for place in dict.fromkeys((source.get("location", name), name)):
        try:
            return one_template(place, offline=offline, sha256=sha256, name=name)
        except UsageError as error:
            problems.append(str(error))
    raise UsageError(problems[0])
