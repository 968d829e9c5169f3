"""The terminal's view of a comparison of checkpoints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from conformance.precision.checkpoints.compare import SAME, Comparison
from conformance.precision.view.tables import named_table, titled

STYLES = {SAME: "green", "LOSSY": "yellow", "MISSING": "red", "DIFFERENT": "red", "UNJUDGED": "magenta"}


def render_comparison(found: Comparison, console: Console) -> None:
    """Print every tensor that is not the same, then the sum."""
    console.print(f"A {found.a} ({found.kind_a})\nB {found.b} ({found.kind_b})")
    other = [t for t in found.tensors if t.verdict != SAME]
    compared = [t for t in other if t.numbers]
    if compared:
        table = named_table("tensor", "verdict", "A", "B", "differ", "max\nerror", "SQNR\ndB")
        for t in compared:
            decibels = "" if t.sqnr_db is None else f"{t.sqnr_db:.1f}"
            error = f"{t.abs_max:.3g}" if t.different else ""
            verdict = Text(t.verdict, style=STYLES[t.verdict])
            table.add_row(t.name, verdict, t.encoding_a, t.encoding_b, f"{t.different:,}", error, decibels)
        console.print(titled("tensors that differ", table), "", sep="\n")
    for t in other:
        if t.note or not t.numbers:
            console.print(Text(f"{t.verdict} {t.name}: {t.note}", style=STYLES[t.verdict]), soft_wrap=True)
    same = sum(t.verdict == SAME for t in found.tensors)
    console.print(
        Text(
            f"{same} of {len(found.tensors)} tensors hold the same numbers"
            + (": the checkpoints are the same" if found.same else ""),
            style="green" if found.same else "red",
        )
    )
