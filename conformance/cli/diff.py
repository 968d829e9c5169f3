"""`conformance diff`: one conversation, the oracle's text beside the template's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.campaign.assemble import region_words, severity, structure
from conformance.campaign.runner import CASE_LIMITS, Runner, Settings
from conformance.cli import completion
from conformance.cli.check import validate
from conformance.cli.console import new_console
from conformance.cli.options import Offline, Plain, Profile, Target
from conformance.cli.targets import one_template
from conformance.compare.align import align, side_by_side
from conformance.conversation import Case, case_id
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UsageError
from conformance.importers import read_case
from conformance.report.diff_view import Finding, plain_diff, render_diff
from conformance.report.terminal import TerminalWriter
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN
from conformance.shapes import families, shapes
from conformance.sources import Template


def diff(
    target: Target,
    case: Annotated[
        Path,
        typer.Option(
            "--case", metavar="FILE", help="A case, or an OpenAI chat-completions request, as JSON."
        ),
    ],
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.shapes, help="Shape to hand the conversation over in."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", autocompletion=completion.engines, help="Engine to render with.")
    ] = "transformers",
    profile: Profile = "harmony",
    plain: Plain = False,
    offline: Offline = False,
) -> int:
    """Show one conversation as Harmony and as a template write it."""
    validate(Settings(engines=(engine,), shapes=(shape,) if shape else (), profile=profile))
    template, read = one_template(target, offline=offline), read_case(case)
    return run_diff(
        template, read, shape_name=shape, engine=engine, profile=profile, plain=plain, console=new_console()
    )


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
            found.vanishes_under,
            severity(found.rule, found.vanishes_under, found.severity),
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
