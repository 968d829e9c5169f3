"""From settings and targets to a judged report: what `check`, `requests`, `upload` and `scoreboard` share."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace as replace_fields
from rich.console import Console

from conformance.campaign import assemble
from conformance.campaign.check import check as run_campaign
from conformance.campaign.settings import Settings
from conformance.cli.gate_options import Gate
from conformance.cli.groups import ServerOptions, load_groups
from conformance.cli.publish import Publisher
from conformance.cli.streams import complain
from conformance.cli.targets import check_engines, obtain_authority
from conformance.engines.base import CASE_LIMITS
from conformance.errors import EXIT_UNJUDGED, UsageError
from conformance.gate.exits import exit_code
from conformance.oracles.authorities import find
from conformance.oracles.profile import profile as profile_named
from conformance.report.compact import plural
from conformance.report.events import EventLog, Header
from conformance.report.model import Divergence, LeftOut, Report, Target, Workload
from conformance.report.terminal import Advance, TerminalWriter
from conformance.report.visible import inert
from conformance.shapes import shapes
from conformance.targets.base import Group
from conformance.targets.base import Target as Prompter
from conformance.vectors import reported_cases


class Judged(NamedTuple):
    """A report under its gate, the folder of its run, and the exit code that both imply."""

    report: Report
    folder: Path
    code: int


def judge_targets(
    targets: Sequence[str],
    settings: Settings,
    gate: Gate,
    publisher: Publisher,
    *,
    servers: ServerOptions,
    offline: bool,
    program: Group | None = None,
    no_engine: Sequence[LeftOut] = (),
    workload: Workload | None = None,
    label: str = "",
) -> Judged:
    """Judge targets and apply the gate; nothing is published yet.

    `no_engine` are engines that were asked for and are not here, `workload` describes that of the settings, `label`
    names the run's folder (default: after the first target).
    """
    with load_groups(targets, servers, offline=offline, program=program) as loaded:
        for left in loaded.left_out:
            complain(left.reason)
        obtain_authority(settings.authority, offline=offline)
        folder = publisher.folder(label or loaded.groups[0].targets[0].name)
        report = judge(
            loaded.groups,
            settings,
            folder,
            publisher.console,
            shown=publisher.shows,
            left_out=[*loaded.left_out, *no_engine],
            workload=workload,
        )
    for target in report.targets:
        for reason, count in target.inexpressible.items():
            complain(f"note: {inert(target.name)}: {plural(count, 'conversation')} left out: {reason}")
    report = gate.apply(report)
    codes = [exit_code(report), gate.exit_code(report), loaded.exit_code]
    # Unknown is not pass: who asked for all engines did not get all.
    codes += [EXIT_UNJUDGED] if no_engine or cut_short(report, settings) else []
    return Judged(report, folder, max(codes))


def with_workload(
    settings: Settings, name: str | None, *, offline: bool, eager: bool = False
) -> tuple[Settings, Workload | None]:
    """Return settings with the workload of this name, and its record.

    Without a name it is the realistic one where it is here, or can be had if `eager`.
    """
    from conformance.cli.workload import chosen  # what it reads is needed only here

    workload, record = chosen(name, offline=offline, eager=eager, most=settings.cases)
    if workload is not None and not workload.shown:  # a log: its prompts are as long as they were
        settings = replace(settings, limits=CASE_LIMITS)
    return replace(settings, workload=workload), record


class _Watch:
    """Passes what a campaign finds on to the event log and the progress bars."""

    def __init__(self, log: EventLog, advance: Advance) -> None:
        self._log = log
        self._advance = advance

    def started(self, target: Prompter, cases: int) -> None:
        self._log.target_started(target.name, target.sha256, cases)

    def progress(self, target: Prompter, done: int, total: int) -> None:
        self._advance(target.name, done, total)

    def found(self, target: Prompter, divergence: Divergence) -> None:
        self._log.divergence_found(target.name, divergence)

    def finished(self, result: Target) -> None:
        self._log.target_finished(result)


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
    if settings.at_least is not None and not 1 <= settings.at_least <= settings.cases:
        raise UsageError(
            f"--at-least is {settings.at_least}; give 1 to {settings.cases}, which is --examples."
        )
    if settings.at_least is not None and settings.seconds is None:
        raise UsageError("--at-least says what is enough when --seconds is over; give --seconds too.")
    if settings.jobs < 1:
        raise UsageError(f"--jobs is {settings.jobs}; give at least 1.")
    if settings.seed < 0:
        raise UsageError(f"--seed is {settings.seed}; give 0 or more.")
    profile_named(settings.profile)
    find(settings.authority)
    shapes(settings.shapes)
    check_engines(settings.engines)


def cut_short(report: Report, settings: Settings) -> bool:
    """Return whether a run ended before it had judged what was asked for, or the least that `--at-least` takes."""
    if report.run.ended == "time" and settings.at_least is not None:
        return report.run.cases < settings.at_least
    return not report.run.complete


def judge(
    groups: Sequence[Group],
    settings: Settings,
    folder: Path,
    console: Console,
    *,
    shown: bool = True,
    left_out: Sequence[LeftOut] = (),
    workload: Workload | None = None,
) -> Report:
    """Run the campaign with an event log in `folder` and, where `shown`, progress bars.

    What was reported and became a vector comes first, unless the settings name their own cases.
    """
    if not settings.replayed:
        settings = replace(settings, replayed=reported_cases())
    header = Header(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        seed=settings.seed,
        profile=settings.profile,
        authority=settings.authority,
        targets=list(dict.fromkeys(target.name for group in groups for target in group.targets)),
    )
    with ExitStack() as stack:
        log = stack.enter_context(EventLog(folder / "events.jsonl", header))
        bars = TerminalWriter(console if shown else Console(quiet=True))
        advance = stack.enter_context(bars.progress())
        for left in left_out:
            log.note(left.reason, left.name)
        watch = _Watch(log, advance)
        report = merged(
            [
                run_campaign(
                    group.targets,
                    _settings(settings, group),
                    watch,
                    hosts=group.hosts,
                    left_out=left_out,
                    workload=workload,
                )
                for group in groups
            ]
        )
        if not report.run.complete:
            reasons = {"interrupted": "interrupted", "gone": "a target answers no more"}
            log.incomplete(reasons.get(report.run.ended or "", "its time was up"))
    return report


def _settings(settings: Settings, group: Group) -> Settings:
    """Return the settings of one group: what makes its prompts, and its own shapes and day where it has some."""
    if not group.hosts:
        return settings
    own = settings.shapes or group.shapes
    return replace(settings, engines=tuple(group.hosts), shapes=own, date=group.date)


def merged(reports: Sequence[Report]) -> Report:
    """Return the reports of several groups as one."""
    first = reports[0]
    run = replace_fields(
        first.run,
        elapsed_s=round(sum(report.run.elapsed_s for report in reports), 3),
        ended=next((report.run.ended for report in reports if report.run.ended), None),
        cases=max(report.run.cases for report in reports),
        complete=all(report.run.complete for report in reports),
        directory=os.getcwd(),
    )
    return replace_fields(first, run=run, targets=[target for report in reports for target in report.targets])
