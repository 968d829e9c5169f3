"""`conformance check`: the main job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.campaign import assemble
from conformance.campaign.check import check as run_campaign
from conformance.campaign.check import exit_code
from conformance.campaign.runner import Settings
from conformance.cli.check_any import run_check_any
from conformance.cli.options import (
    DEFAULT_ENGINES,
    Cards,
    Engines,
    Examples,
    FailOn,
    FailOnOption,
    Formats,
    Jobs,
    Offline,
    Output,
    Profile,
    Seconds,
    Seed,
    Shapes,
    Targets,
)
from conformance.cli.publish import Publisher
from conformance.cli.streams import complain
from conformance.cli.targets import all_engines, check_engines, load_templates
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.oracles.profile import profile as profile_named
from conformance.report.events import EventLog, Header
from conformance.report.model import Divergence, LeftOut, Report, Target
from conformance.report.terminal import Advance, TerminalWriter
from conformance.shapes import shapes
from conformance.sources import Template
from conformance.vectors import reported_cases


def check(
    context: typer.Context,
    targets: Targets,
    engine: Engines = None,
    shape: Shapes = None,
    profile: Profile = "harmony",
    examples: Examples = 2000,
    seconds: Seconds = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    cards: Cards = 5,
    format: Formats = None,
    output: Output = None,
    fail_on: FailOnOption = FailOn.error,
    any_family: Annotated[
        bool,
        typer.Option("--any", help="Any family of template: try the properties that need no oracle."),
    ] = False,
    offline: Offline = False,
) -> int:
    """Judge templates: generate conversations, compare with Harmony, show what differs."""
    if any_family:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}
        return run_check_any(
            targets,
            engines=engine or DEFAULT_ENGINES,
            seed=seed,
            examples=examples if "examples" in given else None,
            unused=sorted(given & {"shape", "profile", "seconds", "jobs"}),
            formats=format or (),
            output=output,
            cards=cards,
            fail_on=fail_on,
            offline=offline,
        )
    engines, no_engine = all_engines(engine or DEFAULT_ENGINES)
    settings = Settings(
        seed=seed,
        cases=examples,
        profile=profile,
        shapes=tuple(shape or ()),
        engines=engines,
        seconds=seconds,
        jobs=jobs,
    )
    validate(settings)
    publisher = Publisher(format or (), output, cards)
    templates, left_out = load_templates(targets, offline=offline)
    for left in left_out:
        complain(left.reason)
    folder = publisher.folder(templates[0].name)
    report = judge(
        templates,
        settings,
        folder,
        publisher.console,
        shown=publisher.shows,
        left_out=[*left_out, *no_engine],
    )
    publisher.publish(report, folder)
    codes = [exit_code(report, fail_on), EXIT_USAGE if left_out else EXIT_CONFORMS]
    # Unknown is not pass: who asked for all engines did not get all.
    codes += [EXIT_UNJUDGED] if no_engine or interrupted(report, settings) else []
    return max(codes)


class _Watch:
    """Passes what a campaign finds on to the event log and the progress bars."""

    def __init__(self, log: EventLog, advance: Advance) -> None:
        self._log = log
        self._advance = advance

    def started(self, template: Template, cases: int) -> None:
        self._log.target_started(template.name, template.sha256, cases)

    def progress(self, template: Template, done: int, total: int) -> None:
        self._advance(template.name, done, total)

    def found(self, template: Template, divergence: Divergence) -> None:
        self._log.divergence_found(template.name, divergence)

    def finished(self, target: Target) -> None:
        self._log.target_finished(target)


def validate(settings: Settings) -> None:
    """Check a campaign's settings before anything is loaded.

    Raises UsageError naming the option.
    """
    if settings.cases < 1:
        raise UsageError(
            f"--examples is {settings.cases}; give at least 1, since a run of no case proves nothing."
        )
    # Written so that NaN fails too.
    if settings.seconds is not None and not 0 < settings.seconds < math.inf:
        raise UsageError(f"--seconds is {settings.seconds:g}; give a positive number.")
    if settings.jobs < 1:
        raise UsageError(f"--jobs is {settings.jobs}; give at least 1.")
    if settings.seed < 0:
        raise UsageError(f"--seed is {settings.seed}; give 0 or more.")
    profile_named(settings.profile)
    shapes(settings.shapes)
    check_engines(settings.engines)


def interrupted(report: Report, settings: Settings) -> bool:
    """Say whether a run was cut short by anything but the time that `--seconds` gave it."""
    in_time = settings.seconds is None or report.run.elapsed_s < settings.seconds
    return not report.run.complete and in_time


def judge(
    templates: Sequence[Template],
    settings: Settings,
    folder: Path,
    console: Console,
    *,
    shown: bool = True,
    left_out: Sequence[LeftOut] = (),
) -> Report:
    """Run the campaign with an event log in `folder` and, where `shown`, progress bars.

    What was reported and became a vector comes first.
    """
    settings = replace(settings, replayed=reported_cases())
    header = Header(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        seed=settings.seed,
        profile=settings.profile,
        targets=list(dict.fromkeys(template.name for template in templates)),
    )
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder / "events.jsonl", header))
        bars = TerminalWriter(console if shown else Console(quiet=True))
        advance = stack.enter_context(bars.progress())
        for left in left_out:
            log.note(left.reason, left.name)
        report = run_campaign(templates, settings, _Watch(log, advance), left_out=left_out)
        if not report.run.complete:
            log.incomplete("interrupted" if interrupted(report, settings) else "its time was up")
    return report
