"""A rule in full, and the list of all of them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.report.cards import SEVERITY_STYLE
from conformance.report.excerpt import ACTUAL_STYLE, EXPECTED_STYLE
from conformance.report.visible import Glyphs, glyphs_for, units
from conformance.rules import Rule
from conformance.rules.base import loss_of

_TEXT_WIDTH = 100


def explain_rule(rule: Rule, console: Console) -> RenderableType:
    """Return one rule: what it is called, what differs, why the model cares, who says so, how to fix it."""
    glyphs = glyphs_for(console)
    head = Text.assemble(
        (f"{rule.code} {rule.slug}", "bold"), "  ", (rule.severity, SEVERITY_STYLE[rule.severity])
    )
    head.append(f"  {rule.family}", "dim")
    table = Table.grid(padding=(0, 1))
    table.width = min(max(console.width - 2, 20), _TEXT_WIDTH)
    table.add_column(width=14, style="bold")
    table.add_column(ratio=1, overflow="fold")
    for label, text in (("What", rule.what), ("Why", rule.why), ("Spec", rule.citation), ("Try", rule.fix)):
        table.add_row(label, Text(glyphs.plain(text)))
    for label, text, style in (("Good", rule.good, EXPECTED_STYLE), ("Bad", rule.bad, ACTUAL_STYLE)):
        table.add_row(label, Text("".join(unit.shown for unit in units(text, glyphs=glyphs)), style))
    table.add_row("Impact", Text(f"{loss_of(rule.slug).impact}: {loss_of(rule.slug).reason}"))
    if rule.setting:
        setting = f"under another value of the setting {rule.setting} (`conformance settings`)"
        table.add_row("May be right", Text(setting))
    return Group(head, "", Padding(table, (0, 0, 0, 2)))


def explain_all(rules: Iterable[Rule], console: Console) -> RenderableType:
    """Return all rules by family, a line each."""
    glyphs = glyphs_for(console)
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    parts: list[RenderableType] = []
    for family, members in families.items():
        parts += [Text(family, "bold"), Padding(_list(members, console.width - 2, glyphs), (0, 0, 1, 2))]
    parts.append(Text("`conformance explain SLUG` says why a rule matters and how to fix it.", "dim"))
    return Group(*parts)


def _list(rules: list[Rule], width: int, glyphs: Glyphs) -> Table:
    table = Table.grid(padding=(0, 2))
    table.width = max(width, 20)
    table.add_column(no_wrap=True, style="dim", width=5)
    table.add_column(no_wrap=True, width=30)
    table.add_column(no_wrap=True, width=7)
    table.add_column(ratio=1)
    for rule in rules:
        what = Text(glyphs.plain(rule.what))
        table.add_row(rule.code, rule.slug, Text(rule.severity, SEVERITY_STYLE[rule.severity]), what)
    return table
