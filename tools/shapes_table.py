"""The shapes as a Markdown table, for the README; a test keeps the two alike.

`python -m tools.shapes_table README.md` writes the table between its marks; without a file it is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.report.markdown import between
from conformance.shapes import table

BEGIN, END = "<!-- shapes: generated -->", "<!-- shapes: end -->"


def shapes_table() -> str:
    """Return the Markdown table of all shape families, in the order of the data."""
    rows = ["| `--shape` | What a template is handed | Who does so |", "|---|---|---|"]
    for name, family in table().items():
        drawn = " (drawn by default)" if family.default else ""
        cells = (f"`{name}`{drawn}", family.what, family.citation)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """Return a document with the table between its marks made new.

    Raises ValueError when the marks are not there.
    """
    return between(text, BEGIN, END, shapes_table())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(shapes_table())
