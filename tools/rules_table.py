"""The rules as a Markdown table, for the README; a test keeps the two alike.

`python -m tools.rules_table README.md` writes the table between its marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.report.markdown import between
from conformance.rules import catalogue

BEGIN, END = "<!-- rules: generated -->", "<!-- rules: end -->"


def rules_table() -> str:
    """Return the Markdown table of all rules, by code."""
    rows = ["| Code | Rule | Severity | What differs |", "|---|---|---|---|"]
    for rule in catalogue():
        what = rule.what.replace("|", "\\|")
        rows.append(f"| {rule.code} | `{rule.slug}` | {rule.severity} | {what} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """Return a document with the table between its marks made new.

    Raises ValueError when the marks are not there.
    """
    return between(text, BEGIN, END, rules_table())


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
