"""How the check of a renderer by vectors is shown and written: as `conformance check` does, by vector ids."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from conformance.report.cards import card
from conformance.report.events import EventLog, Header
from conformance.report.files import to_json, write_file
from conformance.report.json_file import encode
from conformance.report.model import Divergence, Report, Target
from conformance.report.severities import worst_first
from conformance.report.tables import rules_table
from conformance.report.terminal import TerminalWriter
from conformance.report.verdicts import details, headline
from conformance.report.visible import glyphs_for, inert
from conformance.vectors.judging import Result

_LISTED = 12


def write_folder(folder: Path, report: Report, results: Sequence[Result]) -> None:
    """Write `report.json`, `events.jsonl` and `results.jsonl`, one line for each vector.

    Raises UsageError when the folder cannot be written.
    """
    header = Header(
        tool=report.tool,
        environment=report.environment,
        seed=report.run.seed,
        profile=report.run.profile,
        targets=[target.name for target in report.targets],
    )
    with EventLog(folder / "events.jsonl", header) as log:
        for target in report.targets:
            log.target_started(target.name, target.sha256, len(results))
            for result in results:
                if result.failure is not None:
                    log.note(f"{result.family} {result.id}: {result.failure}", target.name)
            log.target_finished(target)
        if not report.run.complete:
            log.incomplete("interrupted" if not report.targets[0].error else report.targets[0].error)
    write_file(folder / "results.jsonl", b"".join(to_json(result) + b"\n" for result in results))
    write_file(folder / "report.json", encode(report))


def print_report(
    console: Console,
    report: Report,
    results: Sequence[Result],
    *,
    command: str,
    cards: int,
    early_exits: Sequence[tuple[str, str]],
) -> None:
    """Print failure cards, the table of rules, the vectors that failed, and the verdict."""
    writer = TerminalWriter(console)
    glyphs = glyphs_for(console)
    target = report.targets[0]
    listed = worst_first(target.divergences)
    for divergence in listed[:cards]:
        writer.print(_card(console, target, divergence, command))
        writer.print("")
    if listed:
        if len(listed) > cards:
            writer.print(Text(f"(+{len(listed) - cards} more; --cards {len(listed)} shows all)", "dim"))
            writer.print("")
        writer.print(rules_table(target, listed, console))
        writer.print("")
    failed = [result for result in results if result.status not in ("equal", "refused", "not asked")]
    for result in failed[:_LISTED]:
        said = ", ".join(result.rules)
        if result.failure is not None:
            said += f": {result.failure.removesuffix(f' (vector {result.id})')}"
        line = Text(f"{result.id}  ", "bold").append(f"{result.family:<10} ", "dim")
        writer.print(line.append(inert(said, 200, glyphs=glyphs)))
    if len(failed) > _LISTED:
        writer.print(
            Text(f"(+{len(failed) - _LISTED} more vectors; results.jsonl in --output lists all)", "dim")
        )
    if failed:
        writer.print("")
    if early_exits:
        before, how = early_exits[0]
        many = f"{len(early_exits)} times" if len(early_exits) > 1 else "once"
        told = f"The renderer ended by itself {many} and was started again, first before {before}: {how}."
        writer.print(Text(inert(told, 400, glyphs=glyphs), "yellow"))
    # Each vector is judged under its own profile only, so that there is no best one to name.
    plain = msgspec.structs.replace(target, right_under={})
    if report.run.complete or target.error or target.divergences:
        writer.print(headline(plain, report.run.profile, glyphs))
    for line in list(details(target, report.run, glyphs))[:1]:
        writer.print(Padding(line, (0, 0, 0, 2)))
    if not report.run.complete and not target.error:
        writer.print(Text(f"Incomplete: ended after {report.run.cases:,} vectors.", "bold red"))


def _card(console: Console, target: Target, divergence: Divergence, command: str) -> RenderableType:
    """Return the failure card, its last line with the command that asks for this vector again."""
    made = card(console, target, divergence)
    if not isinstance(made, Group):
        return made
    again = f"conformance vectors check --id {divergence.example.case_id} --command {shlex.quote(command)}"
    text = inert(again, glyphs=glyphs_for(console))
    line = Text("  ", no_wrap=True, overflow="ignore").append("Reproduce with ", "bold").append(text, "cyan")
    return Group(*made.renderables[:-1], line)
