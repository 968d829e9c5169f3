"""The tables of a terminal report: the rules of one target, and all targets."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.report.cards import SEVERITY_STYLE, names, percent
from conformance.report.model import Divergence, Report, Target
from conformance.report.verdicts import VERDICT_STYLE, best_profile, verdict
from conformance.report.visible import Glyphs, glyphs_for, inert, inert_text

_WIDE = 100  # from this many columns on there is room for what triggers a rule
_NARROW = 60  # columns below which only names have room
_SHA = 8


def rules_table(target: Target, divergences: list[Divergence], console: Console) -> Table:
    """Return the rules that a target breaks, with their shares, what triggers them and where they vanish."""
    glyphs = glyphs_for(console)
    if console.width < _NARROW:
        return _narrow_rules(divergences, glyphs)
    wide = console.width >= _WIDE
    weighed = any(divergence.workload_share is not None for divergence in divergences)
    vanishing = wide and any(_accepting(divergence) for divergence in divergences)
    table = _table()
    table.add_column("Code", no_wrap=True)
    table.add_column("Rule", no_wrap=True)
    table.add_column("Severity", no_wrap=True)
    table.add_column("Generated" if weighed and wide else "Share", justify="right", no_wrap=True)
    if weighed:
        table.add_column("Real use" if wide else "Real", justify="right", no_wrap=True)
    table.add_column("Seen only with", overflow="fold")
    if vanishing:
        table.add_column("Accepted under", overflow="fold")
    for divergence in divergences:
        needs = Text(names(divergence.features, glyphs, most=3 if wide else 2))
        if divergence.cause:
            engines = f": {', '.join(divergence.engines)}" if divergence.check == "engines" else ""
            needs = Text(inert(divergence.cause + engines, glyphs=glyphs))
        vanishes = Text(names(_accepting(divergence), glyphs))
        if not vanishing and vanishes:
            needs = Text("\n" if needs else "").join([needs, Text("accepted under ", "dim") + vanishes])
        row = [
            inert_text(divergence.code, glyphs=glyphs),
            inert_text(divergence.rule, glyphs=glyphs),
            Text(divergence.severity, SEVERITY_STYLE[divergence.severity]),
            Text(percent(divergence.share)),
            *([Text(_share(divergence.workload_share))] if weighed else []),
            needs,
        ]
        table.add_row(*row, *([vanishes] if vanishing else []))
    return table


def _accepting(divergence: Divergence) -> list[str]:
    """Return the cited readings and the profiles under which a divergence is none."""
    return [*map(str, divergence.readings), *divergence.vanishes_under]


def _share(share: float | None) -> str:
    return "" if share is None else percent(share)


def _narrow_rules(divergences: list[Divergence], glyphs: Glyphs) -> Table:
    """Return the rules for a terminal with room for their names alone: severity and share stand below."""
    table = _table()
    table.add_column("Code", no_wrap=True)
    table.add_column("Rule", overflow="fold")
    for divergence in divergences:
        name = inert_text(divergence.rule, glyphs=glyphs)
        name.append(f"\n{divergence.severity}", SEVERITY_STYLE[divergence.severity]).append(
            f" {percent(divergence.share)}"
            + (
                ""
                if divergence.workload_share is None
                else f", real use {percent(divergence.workload_share)}"
            )
        )
        table.add_row(inert_text(divergence.code, glyphs=glyphs), name)
    return table


def targets_table(report: Report, console: Console) -> Table:
    """Return all targets of a report, one line each: shares right, rules, verdict, other names."""
    glyphs = glyphs_for(console)
    profile = report.run.profile
    table = _table()
    table.add_column("Template", overflow="fold", min_width=16)
    if console.width >= _WIDE:
        table.add_column("SHA-256", no_wrap=True)
    table.add_column(Text(f"Identical under {inert(profile, glyphs=glyphs)}"), justify="right", max_width=11)
    if weighed := any(target.workload is not None for target in report.targets):
        table.add_column("Real use", justify="right", max_width=8)
    wide = console.width >= _WIDE
    if wide:  # elsewhere names need the room; the files have it
        table.add_column("Best profile", justify="right", max_width=18)
    table.add_column("Rules", justify="right", no_wrap=True)
    if console.width >= _WIDE:
        table.add_column("Unclassified", justify="right", no_wrap=True)
    table.add_column("Verdict", overflow="fold", max_width=16)
    for target in report.targets:
        row = [_name(target, glyphs)]
        if console.width >= _WIDE:
            row.append(Text(inert(target.sha256[:_SHA], glyphs=glyphs), "dim"))
        judged = target.harmony and target.verdict != "error" and target.cases.total > 0
        shares = _shares(target, profile, glyphs) if judged else [Text("")] * 4
        if weighed:
            used = (
                target.workload.right_under.get(profile) if judged and target.workload is not None else None
            )
            shares.insert(1, Text(_share(used)))
        row += shares if wide else [*shares[: 1 + weighed], shares[-2]]
        row.append(_verdict(target, profile, whole=wide))
        table.add_row(*row)
    return table


def engines_table(target: Target, profile: str, console: Console) -> Table:
    """Return what each engine alone made of a target: shares, counts, and what it cannot express."""
    glyphs = glyphs_for(console)
    table = _table()
    table.add_column("Engine", no_wrap=True)
    table.add_column(Text(f"Identical under {inert(profile, glyphs=glyphs)}"), justify="right", max_width=11)
    for heading in ("Equal", "Differ", "Reject", "Crash", "Cannot"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Rules", justify="right", no_wrap=True)
    for result in target.by_engine:
        counts = result.cases
        right = result.right_under.get(profile)
        numbers = (counts.equal, counts.different, counts.rejected, counts.crashed, counts.inexpressible)
        table.add_row(
            inert_text(result.name, glyphs=glyphs),
            "" if right is None else percent(right),
            *(f"{number:,}" for number in numbers),
            f"{len(result.rules):,}",
        )
    return table


def _name(target: Target, glyphs: Glyphs) -> Text:
    name = inert_text(target.name, glyphs=glyphs)
    for alias in target.aliases:
        name.append(f"\n= {inert(alias, glyphs=glyphs)}", "dim")
    return name


def _shares(target: Target, profile: str, glyphs: Glyphs) -> list[Text]:
    right = target.right_under.get(profile)
    best = best_profile(target, profile)
    return [
        Text("" if right is None else percent(right)),
        Text("" if best is None else f"{percent(best[1])} {inert(best[0], glyphs=glyphs)}"),
        Text(f"{len({found.rule for found in target.divergences}):,}"),
        Text(percent(target.unclassified_share)),
    ]


def _verdict(target: Target, profile: str, *, whole: bool) -> Text:
    """Return the verdict without what has a column or a line of its own; if not `whole`, in a word or two."""
    words, style = verdict(target, profile), VERDICT_STYLE[target.verdict]
    if words.startswith("error"):
        style = VERDICT_STYLE["error"]
    elif not target.harmony:
        style = ""
    short = words.partition(":")[0]
    return Text(short if whole or not short.startswith("conforms,") else "conforms", style)


def _table() -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        expand=False,
        header_style="bold",
    )
