"""The precision track on the page: its verdict, a matrix path × kind of input, findings, plots and tables.

Words and tables are those of the terminal. The report may be a stranger's: what cannot be read of it is one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from conformance.errors import EXIT_CONFORMS
from conformance.precision.report import PrecisionReport, Row
from conformance.precision.view import plots, tables, terminal
from conformance.report.visible import inert

_WIDTH = 160  # of the terminal whose tables are shown
_MOST_FINDINGS = 60
_MOST_CELLS = 20_000  # rows that the matrix can be asked for


def precision_page(precision: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the page's script draws of a precision report, None where that track did not run."""
    if precision is None:
        return None
    try:
        return _page(msgspec.convert(precision, PrecisionReport))
    except (
        msgspec.ValidationError,
        ArithmeticError,
        AttributeError,
        LookupError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        return {"problem": inert(f"The precision part of this report cannot be read: {error!r}", 300)}


def _page(report: PrecisionReport) -> dict[str, Any]:
    findings = report.findings(strict=True)
    findings.sort(key=lambda row: row.expected)
    kept = report.rows[:_MOST_CELLS]
    return {
        "passes": report.exit_code() == EXIT_CONFORMS,
        "verdict": inert(terminal.verdict(report), 300),
        "lines": [inert(line, 300) for line in (*terminal.subject(report), report.command) if line],
        "matrix": _matrix(kept),
        "rows": [_row(row) for row in kept],
        "findings": [
            {
                "verdict": inert(row.verdict),
                "expected": row.expected,
                "where": inert(f"{row.path} · {row.regime} · {row.stage} ({row.mode})", 200),
                "reason": inert(row.reason, 300),
                "command": inert(terminal.reproduce(report, row), 400),
            }
            for row in findings[:_MOST_FINDINGS]
        ],
        "more": max(0, len(findings) - _MOST_FINDINGS),
        "plots": list(_plots(report)),
        "tables": [_table(group) for group in _tables(report)],
    }


def _row(row: Row) -> tuple[str, str, str, str, str]:
    """Return a row as path, column of the matrix, stage and mode, verdict, reason."""
    surprise = "" if row.expected else " (unexpected)"
    verdict = inert(row.verdict) + ("" if row.good else surprise)
    return (
        inert(row.path),
        inert(tables.column_of(row)),
        inert(f"{row.stage}, {row.mode}", 100),
        verdict,
        inert(row.reason, 200),
    )


def _matrix(rows: list[Row]) -> dict[str, Any]:
    """Return the worst verdict of every path in every column: its sign, its word, how it looks."""
    columns = list(dict.fromkeys(tables.column_of(row) for row in rows if row.regime != "all"))
    cells: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.path != tables.ALL_PATHS:
            cells.setdefault(row.path, {}).setdefault(tables.column_of(row), []).append(row)
    lines = []
    for path, by_column in cells.items():
        shown = [_cell(by_column.get(column, [])) for column in columns]
        if any(shown):
            lines.append((inert(path), shown))
    return {"columns": [inert(column) for column in columns], "lines": lines}


def _cell(rows: list[Row]) -> tuple[str, str, str] | None:
    worst = tables.worst_of(rows)
    if worst is None:
        return None
    surprise = bool(tables.surprises([worst]))
    kind = "bad" if surprise else {"green": "good", "dim": ""}.get(tables.style_of(worst.verdict), "odd")
    sign = tables.mark_of(worst.verdict) + ("!" if surprise else "")
    return sign, inert(worst.verdict) + (", unexpected" if surprise else ""), kind


def _tables(report: PrecisionReport) -> Iterator[Group]:
    yield from tables.of_report(report, _WIDTH)
    if report.selftest:
        yield tables.selftest(report.selftest)


def _table(group: Group) -> dict[str, Any]:
    """Return a table of the terminal as text: its title, its heads, its rows."""
    title, table = group.renderables
    if not isinstance(title, Text) or not isinstance(table, Table):
        raise TypeError("a table stands under its title")
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    return {
        "title": inert(title.plain.replace("\n", " "), 300),
        "heads": [_plain(column.header).replace("-\n", "").replace("\n", " ") for column in table.columns],
        "rows": list(zip(*columns, strict=True)),
    }


def _plain(cell: Any) -> str:
    return inert(cell.plain if isinstance(cell, Text) else str(cell), 200)


def _plots(report: PrecisionReport) -> Iterator[dict[str, Any]]:
    if report.depth:
        curves = plots.twins([(curve["path"], curve["error"]) for curve in report.depth])
        yield {
            "title": "Error over depth (synthetic layers)",
            "across": "layer",
            "up": "median relative error of a token",
            "series": [_series(name, errors) for name, errors in curves],
        }
        yield {
            "title": "Largest activation against float16's limit",
            "across": "layer",
            "up": "largest magnitude of the residual",
            "limit": (plots.FLOAT16_MAX, "float16's largest number, 65,504"),
            "series": [_series("reference", report.depth[0]["peak"])],
        }
    panels = plots.twins(plots.drawn(report.histograms))
    if panels:
        edges = [float(edge) for edge in report.histograms["edges"][1:]]
        used = [number for _, counts in panels for number, count in enumerate(counts) if count] or [0]
        first, last = min(used), max(used)
        yield {
            "title": "Chained error of the layer's result, in units in the last place of its dtype",
            "edges": [f"{edge:g}" for edge in edges[first : last + 1]],
            "panels": [
                (_name(name), [count / (sum(counts) or 1) for count in counts[first : last + 1]])
                for name, counts in panels
            ],
        }


def _series(name: str, values: list[Any]) -> dict[str, Any]:
    lost = plots.overflow(values)
    seen = [(layer, value) for layer, value in plots.points(values) if lost is None or layer < lost]
    return {"name": _name(name), "points": seen, "lost": lost}


def _name(paths: str) -> str:
    return inert(paths.replace("\n", " "), 200)
