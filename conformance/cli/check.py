"""`conformance check` and `conformance scoreboard`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from conformance.campaign import assemble
from conformance.campaign.check import check, exit_code
from conformance.campaign.runner import Settings
from conformance.cli.common import all_engines, check_engines, load_templates, obtain_authority
from conformance.cli.publish import Publisher, keep, say_where
from conformance.cli.runs import new_run_folder
from conformance.cli.streams import complain
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.oracles.authorities import find
from conformance.oracles.profile import profile
from conformance.report.engines_matrix import engines_json, engines_markdown
from conformance.report.events import EventLog, Header
from conformance.report.files import make_folder, write_file
from conformance.report.model import Divergence, LeftOut, Report, Target
from conformance.report.scoreboard import scoreboard_json, scoreboard_markdown
from conformance.report.terminal import Advance, TerminalWriter
from conformance.shapes import shapes
from conformance.sources import Template, catalogue
from conformance.vectors import reported_cases


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
    profile(settings.profile)
    find(settings.authority)
    shapes(settings.shapes)
    check_engines(settings.engines)


def run_check(
    targets: Sequence[str],
    settings: Settings,
    *,
    formats: Sequence[str],
    output: Path | None,
    cards: int,
    fail_on: str,
    offline: bool,
    console: Console,
) -> int:
    """Judge targets, write the reports asked for and the event log, and return the exit code."""
    engines, no_engine = all_engines(settings.engines)
    settings = replace(settings, engines=engines)
    validate(settings)
    publisher = Publisher.of(formats, output, cards)
    obtain_authority(settings.authority, offline=offline)
    templates, left_out = load_templates(targets, offline=offline)
    for left in left_out:
        complain(left.reason)
    folder = publisher.folder(templates[0].name)
    everything = [*left_out, *no_engine]
    report = judge(templates, settings, folder, console, shown=publisher.shows, left_out=everything)
    publisher.publish(report, folder, console)
    codes = [exit_code(report, fail_on), EXIT_USAGE if left_out else EXIT_CONFORMS]
    # Unknown is not pass: who asked for all engines did not get all.
    codes += [EXIT_UNJUDGED] if no_engine else []
    return max(codes + ([EXIT_UNJUDGED] if interrupted(report, settings) else []))


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
        authority=settings.authority,
        targets=list(dict.fromkeys(template.name for template in templates)),
    )
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder / "events.jsonl", header))
        bars = TerminalWriter(console if shown else Console(quiet=True))
        advance = stack.enter_context(bars.progress())
        for left in left_out:
            log.note(left.reason, left.name)
        report = check(templates, settings, _Watch(log, advance), left_out=left_out)
        if not report.run.complete:
            log.incomplete("interrupted" if interrupted(report, settings) else "its time was up")
    return report


def run_scoreboard(settings: Settings, *, output: Path, offline: bool, console: Console) -> int:
    """Judge the whole catalogue and write `scoreboard.md` and `scoreboard.json`; return 0 whatever diverges.

    With several engines the matrix template × engine is written instead, `engines.md` and `engines.json`.

    The exit code is 3 when nothing could be judged, or when the campaign was interrupted.
    """
    engines, no_engine = all_engines(settings.engines)
    settings = replace(settings, engines=engines)
    validate(settings)
    make_folder(output)
    obtain_authority(settings.authority, offline=offline)
    templates, left_out = [], list(no_engine)
    for fetched in catalogue.fetch(offline=offline):
        if fetched.template is not None:
            templates.append(fetched.template)
        else:
            left_out.append(LeftOut(name=fetched.entry.name, reason=fetched.error or "not fetched"))
    folder = new_run_folder("scoreboard")
    report = judge(templates, settings, folder, console, left_out=left_out)
    keep(report, folder)
    if report.run.complete and report.targets:
        if len(settings.engines) > 1:
            write_file(output / "engines.json", engines_json(report))
            write_file(output / "engines.md", engines_markdown(report).encode())
        else:
            write_file(output / "scoreboard.json", scoreboard_json(report))
            write_file(output / "scoreboard.md", scoreboard_markdown(report).encode())
    TerminalWriter(console).write(report, cards=False)
    say_where(console, folder)
    code = max(exit_code(report, "never"), EXIT_UNJUDGED if no_engine else EXIT_CONFORMS)
    return max(code, EXIT_UNJUDGED) if interrupted(report, settings) else code
