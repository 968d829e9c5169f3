"""One conversation, as Harmony and as the template write it: side by side, or one under the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.compare.align import Pair
from conformance.report.cards import SEVERITY_STYLE, known_rule
from conformance.report.excerpt import ACTUAL_STYLE, EXPECTED_STYLE
from conformance.report.messages import Row, header, rows
from conformance.report.visible import Glyphs, glyphs_for, inert, units
from conformance.rules.base import Severity

_SIDE_BY_SIDE = 120  # columns from which two texts fit beside each other
_CONTEXT = 2  # equal lines shown around differing ones


class Finding(NamedTuple):
    """A rule that explains a difference: where it lies, which cited readings explain it, and how bad it is."""

    rule: str
    where: str = ""
    readings: Sequence[str] = ()
    severity: Severity = "error"


def render_diff(
    console: Console,
    messages: Sequence[Pair] | None,
    *,
    findings: Sequence[Finding] = (),
    failure: str | None = None,
    structure: Sequence[str] = (),
    handed: str = "",
    stacked: bool | None = None,
) -> RenderableType:
    """Return one conversation's two texts message by message, equal messages folded, with what explains them.

    `messages` is None and `failure` says why where the template wrote nothing. `structure` says how a model reads
    the template's text, `handed` what it was handed, as JSON.
    `stacked` chooses the layout; by default the console's width does.
    """
    glyphs = glyphs_for(console)
    if messages is None:
        words = inert(failure or "the template wrote nothing", glyphs=glyphs)
        parts: list[RenderableType] = [Text.assemble(("template ", ACTUAL_STYLE), words)]
    elif all(pair.equal for pair in messages):
        length = sum(len(pair.expected or "") for pair in messages)
        parts = [Text(f"{glyphs.good} equal: {length:,} characters", "bold green")]
    else:
        parts = _messages(messages, console, stacked, glyphs)
    for finding in findings:
        parts += ["", _finding(finding, glyphs)]
    if structure:
        parts += ["", Text("What the model reads, parsed by Harmony", "bold")]
        parts += [Text(f"  {inert(sentence, glyphs=glyphs)}") for sentence in structure]
    if handed:
        parts += ["", Text("What the template was handed", "bold"), Text(f"  {inert(handed, glyphs=glyphs)}")]
    return Group(*parts)


def plain_diff(
    messages: Sequence[Pair] | None,
    *,
    findings: Sequence[Finding] = (),
    failure: str | None = None,
    structure: Sequence[str] = (),
    handed: str = "",
) -> str:
    """Return the difference as plain text without colours, for files and pipes; lines begin with ` `, `-` or `+`.

    `-` is Harmony's line and `+` the template's, as in a patch.
    """
    lines: list[str] = []
    if messages is None:
        lines.append(f"! template: {inert(failure or 'the template wrote nothing')}")
    else:
        for pair in messages:
            lines += _plain_pair(pair)
    for finding in findings:
        where = f" in {inert(finding.where)}" if finding.where else ""
        known = known_rule(finding.rule)
        lines.append(f"# {inert(finding.rule)}{where}" + (f": {known.why}" if known else ""))
    lines += [f"# parsed: {inert(sentence)}" for sentence in structure]
    if handed:
        lines.append(f"# handed over: {inert(handed)}")
    return "\n".join(lines) + "\n"


def _plain_pair(pair: Pair) -> list[str]:
    if pair.equal:
        return [f"  {_title(pair)}"]
    lines = [f"@ {_title(pair)}"]
    for row in rows(pair.expected, pair.actual):
        if row.equal:
            lines.append(f"  {_shown(row.expected or '', ())}")
            continue
        if row.expected is not None:
            lines.append(f"- {_shown(row.expected, row.expected_changes)}")
        if row.actual is not None:
            lines.append(f"+ {_shown(row.actual, row.actual_changes)}")
    return lines


def _shown(text: str, changes: Sequence[tuple[int, int]]) -> str:
    return "".join(unit.shown for unit in units(text, loud=changes))


def _title(pair: Pair) -> str:
    return inert(header(pair.expected if pair.expected is not None else pair.actual or ""), 72)


def _messages(
    found: Sequence[Pair], console: Console, stacked: bool | None, glyphs: Glyphs
) -> list[RenderableType]:
    if stacked is None:
        stacked = console.width < _SIDE_BY_SIDE
    parts: list[RenderableType] = []
    equal = 0
    for number, pair in enumerate(found):
        if pair.equal:
            equal += 1
            if number + 1 < len(found) and found[number + 1].equal:
                continue
            noun = "message" if equal == 1 else "messages"
            names = _title(pair) if equal == 1 else ""
            parts.append(Text(f"  {glyphs.good} {equal} equal {noun} {glyphs.plain(names)}".rstrip(), "dim"))
            equal = 0
            continue
        title = Text.assemble((f"{glyphs.bad} ", ACTUAL_STYLE), (glyphs.plain(_title(pair)), "bold"))
        if pair.actual is None:
            title.append("  only Harmony has this message", EXPECTED_STYLE)
        elif pair.expected is None:
            title.append("  only the template has this message", ACTUAL_STYLE)
        parts.append(title)
        shown = _folded(rows(pair.expected, pair.actual))
        body = _stacked(shown, glyphs) if stacked else _side_by_side(shown, console.width - 4, glyphs)
        parts.append(Padding(body, (0, 0, 0, 2)))
    return parts


def _folded(found: list[Row]) -> list[Row | int]:
    """Return the rows with runs of equal ones, beyond a few around each change, as their number."""
    near = {
        index + step
        for index, row in enumerate(found)
        if not row.equal
        for step in range(-_CONTEXT, _CONTEXT + 1)
    }
    shown: list[Row | int] = []
    for index, row in enumerate(found):
        if index in near:
            shown.append(row)
        elif shown and isinstance(shown[-1], int):
            shown[-1] += 1
        else:
            shown.append(1)
    return shown


def _fold(number: int, glyphs: Glyphs) -> Text:
    return Text(f"{glyphs.more} {number:,} equal line{'s' * (number > 1)}", "dim")


def _stacked(shown: list[Row | int], glyphs: Glyphs) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8)
    table.add_column(overflow="fold")
    for row in shown:
        if isinstance(row, int):
            table.add_row("", _fold(row, glyphs))
        elif row.equal:
            table.add_row("", _styled(row.expected, (), "", glyphs))
        else:
            if row.expected is not None:
                line = _styled(row.expected, row.expected_changes, EXPECTED_STYLE, glyphs)
                table.add_row(Text("Harmony", EXPECTED_STYLE), line)
            if row.actual is not None:
                line = _styled(row.actual, row.actual_changes, ACTUAL_STYLE, glyphs)
                table.add_row(Text("template", ACTUAL_STYLE), line)
    return table


def _side_by_side(shown: list[Row | int], width: int, glyphs: Glyphs) -> Table:
    table = Table.grid(padding=(0, 1))
    half = max((width - 3) // 2, 20)
    table.add_column(width=half, overflow="fold")
    table.add_column(width=1)
    table.add_column(width=half, overflow="fold")
    table.add_row(Text("Harmony", EXPECTED_STYLE), "", Text("template", ACTUAL_STYLE))
    for row in shown:
        if isinstance(row, int):
            table.add_row(_fold(row, glyphs), "", _fold(row, glyphs))
            continue
        mark = Text("" if row.equal else "|", ACTUAL_STYLE)
        table.add_row(
            _styled(row.expected, row.expected_changes, EXPECTED_STYLE, glyphs),
            mark,
            _styled(row.actual, row.actual_changes, ACTUAL_STYLE, glyphs),
        )
    return table


def _styled(text: str | None, changes: Sequence[tuple[int, int]], style: str, glyphs: Glyphs) -> Text:
    line = Text()
    for unit in units(text or "", loud=changes, glyphs=glyphs):
        changed = any(unit.start < end and unit.end > start for start, end in changes)
        line.append(unit.shown, style if changed else unit.style or None)
    return line


def _finding(finding: Finding, glyphs: Glyphs) -> RenderableType:
    known = known_rule(finding.rule)
    head = Text.assemble(
        (f"{known.code} " if known else "", "bold"), (inert(finding.rule, glyphs=glyphs), "bold")
    )
    head.append(f"  {finding.severity}", SEVERITY_STYLE[finding.severity])
    if finding.where:
        head.append(f"  {inert(finding.where, glyphs=glyphs)}")
    lines = [head]
    if known:
        lines.append(Text(f"  {glyphs.plain(known.why)}"))
    if finding.readings:
        lines.append(Text(f"  right where {inert(', '.join(finding.readings), glyphs=glyphs)}"))
    return Group(*lines)
