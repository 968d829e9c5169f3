"""The terminal's view of a comparison of checkpoints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.precision.compare import SAME, Comparison

STYLES = {SAME: "green", "LOSSY": "yellow", "MISSING": "red", "DIFFERENT": "red", "UNJUDGED": "magenta"}


def render_comparison(found: Comparison, console: Console) -> None:
    """Print every tensor that is not the same, then the sum."""
    console.print(f"A {found.a} ({found.kind_a})\nB {found.b} ({found.kind_b})")
    other = [t for t in found.tensors if t.verdict != SAME]
    if other:
        table = Table()
        for column in ("tensor", "verdict", "A", "B", "differ", "max |error|", "SQNR dB", ""):
            table.add_column(column)
        for t in other:
            decibels = "" if t.sqnr_db is None else f"{t.sqnr_db:.1f}"
            share = f"{t.different:,} of {t.numbers:,}" if t.numbers else ""
            error = f"{t.abs_max:.3g}" if t.different else ""
            verdict = Text(t.verdict, style=STYLES[t.verdict])
            table.add_row(t.name, verdict, t.encoding_a, t.encoding_b, share, error, decibels, t.note)
        console.print(table)
    same = sum(t.verdict == SAME for t in found.tensors)
    console.print(
        Text(
            f"{same} of {len(found.tensors)} tensors hold the same numbers"
            + (": the checkpoints are the same" if found.same else ""),
            style="green" if found.same else "red",
        )
    )
