"""The terminal's view of a run over attention."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from conformance.errors import EXIT_CONFORMS
from conformance.precision.report import PrecisionReport
from conformance.precision.view import tables


def render_attention(report: PrecisionReport, console: Console, strict: bool) -> None:
    """Print the worst verdict by path and kind of input, findings, or what the planted faults met."""
    device = report.environment["device"]
    console.print(
        Text(device["name"] + (f", driver {device['driver']}" if "driver" in device else ""), style="bold")
    )
    console.print(tables.certified(report.reference))
    if report.rows:
        console.print(*tables.matrix(report.rows), sep="\n")
    for row in report.findings(strict)[:12]:
        console.print(
            Text(f"✗ {row.verdict}  {row.path} · {row.regime} · {row.stage}", tables.style_of(row.verdict))
        )
        console.print(f"    {row.reason}")
    for name, found in report.selftest.items():
        if isinstance(found, dict):
            survivors = ", ".join(found["survivors"])
            said = f"; survive: {survivors}" if survivors else ""
            console.print(f"{name}: {found['caught']} of {report.selftest['planted']} caught{said}")
    problems = report.problems(strict)
    judged = report.run.get("rows_judged", 0)
    what = f"{report.selftest['planted']} faults planted" if report.selftest else f"{judged:,} results judged"
    sign, style = ("✓", "green") if report.exit_code(strict) == EXIT_CONFORMS else ("✗", "red")
    text = f"{sign} {what}, {', '.join(problems) or 'none unexpected'} · {report.run['elapsed_s']:.1f} s"
    console.print(Text(text, style=f"bold {style}"))
