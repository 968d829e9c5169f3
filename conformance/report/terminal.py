"""The report on a terminal: a progress bar while it runs, then cards, rules and verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.rule import Rule as Line
from rich.text import Text

from conformance.report.base import Output, register
from conformance.report.cards import card, percent
from conformance.report.model import Divergence, Report, Run, Target
from conformance.report.severities import worst_first
from conformance.report.tables import engines_table, rules_table, targets_table
from conformance.report.verdicts import details, headline, judged_by
from conformance.report.visible import glyphs_for, inert


class Advance(Protocol):
    """Is told how far a target's campaign has come."""

    def __call__(self, target: str, done: int, total: int) -> None:
        """Show that `done` of `total` conversations of a target are judged."""


class TerminalWriter:
    """Prints a campaign's progress and its report; `examples` is how many failure cards a target gets.

    Progress is shown on terminals only. What a template wrote never reaches the terminal as it is.
    """

    def __init__(self, console: Console | None = None, examples: int = 5) -> None:
        self.console = console if console is not None else Console()
        self.examples = examples
        self._glyphs = glyphs_for(self.console)

    @contextlib.contextmanager
    def progress(self) -> Iterator[Advance]:
        """Show a bar a target while the block runs; yields the function that moves them."""
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            expand=False,
            disable=not self.console.is_terminal,
        ) as bars:
            tasks: dict[str, TaskID] = {}

            def advance(target: str, done: int, total: int) -> None:
                if target not in tasks:
                    name = inert(target, max(self.console.width // 3, 12), glyphs=self._glyphs)
                    tasks[target] = bars.add_task(name, total=total)
                bars.update(tasks[target], completed=done, total=total)

            yield advance

    def write(self, report: Report, *, cards: bool = True) -> None:
        """Print the report: each target in full, then one table when there are several of them.

        Without `cards` only the table and what was left out is printed (the scoreboard).
        """
        several = len(report.targets) > 1
        if cards or not several:
            for target in report.targets:
                self.target(target, report.run, title=several)
        if several:
            self.print(targets_table(report, self.console))
            self.print("")
            for target in report.targets:
                if not cards and (target.verdict == "error" or not target.harmony):
                    self.print(headline(target, report.run.profile, self._glyphs))
        if not report.targets:
            self.print(Text("Nothing was judged.", "bold red"))
        for left in report.left_out:
            name, reason = (inert(text, glyphs=self._glyphs) for text in (left.name, left.reason))
            self.print(Text.assemble(("left out ", "bold"), name, ": ", reason))
        for number, line in enumerate(judged_by(report)):
            self.print(Text(inert(line, 400, glyphs=self._glyphs), "yellow" if number else "dim"))
        if (used := report.run.workload) is not None and used.missing:
            missing = inert(used.missing, 300, glyphs=self._glyphs)
            self.print(Text(f"not weighed with real use: {missing}", "dim"))
        if unguarded := report.environment.unguarded:
            reach = ", ".join(unguarded)
            self.print(
                Text(
                    f"Degraded: on this system workers are not kept from {reach} (conformance doctor).",
                    "yellow",
                )
            )
        if not report.run.complete:
            self.print(Text(f"Incomplete: ended after {report.run.cases:,} conversations.", "bold red"))

    def target(self, target: Target, run: Run, *, title: bool = False) -> None:
        """Print one target: its worst divergences as cards, its rules as a table, its verdict."""
        if title:
            self.print(Line(Text(inert(target.name, glyphs=self._glyphs), "bold"), align="left", style="dim"))
        if target.harmony and target.verdict != "error":
            # What a baseline accepts is counted below the verdict.
            listed = worst_first(found for found in target.divergences if not found.accepted)
            # The commonest cause of each rule comes first, and says how many more there are.
            commonest = {divergence.rule: divergence for divergence in reversed(listed)}
            first = [divergence for divergence in listed if commonest[divergence.rule] is divergence]
            others = [divergence for divergence in listed if commonest[divergence.rule] is not divergence]
            for divergence in [*first, *others][: self.examples]:
                self.print(card(self.console, target, divergence))
                self._more_causes(divergence, others if divergence in first else [])
                self.print("")
            if listed:
                more = len(listed) - self.examples
                if more > 0 and self.examples:
                    self.print(Text(f"(+{more} more; --cards {len(listed)} shows all)", "dim"))
                    self.print("")
                self.print(rules_table(target, listed, self.console))
                self.print("")
        if len(target.by_engine) > 1:
            self.print(engines_table(target, run.profile, self.console))
            self.print("")
        self.print(headline(target, run.profile, self._glyphs))
        for line in details(target, run, self._glyphs):
            self.print(Padding(line, (0, 0, 0, 2)))
        self.print("")

    def _more_causes(self, shown: Divergence, others: list[Divergence]) -> None:
        more = [other for other in others if other.rule == shown.rule and other.cause]
        if more:
            share = percent(sum(other.share for other in more))
            noun = "cause" if len(more) == 1 else "causes"
            self.print(Text(f"  +{len(more)} more {noun} of {inert(shown.rule)}, {share} in all", "dim"))

    def print(self, what: RenderableType) -> None:
        """Print without markup, highlighting or emoji codes."""
        if not self._glyphs.ascii_only:
            self.console.print(what, markup=False, highlight=False, emoji=False, crop=False)
            return
        # rich itself writes an ellipsis where it cuts, which this terminal's encoding may not have.
        with self.console.capture() as captured:
            self.console.print(what, markup=False, highlight=False, emoji=False, crop=False)
        self.console.file.write(self._glyphs.plain(captured.get()))


@register("terminal")
def write_terminal(report: Report, output: Output) -> Path | None:
    """Print the report on the output's console."""
    TerminalWriter(output.console, output.examples).write(report)
    return None
