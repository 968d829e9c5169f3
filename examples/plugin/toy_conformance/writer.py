"""A report writer: one line a divergence, as CSV."""

import csv
from io import StringIO
from pathlib import Path

from conformance.report.base import Output
from conformance.report.files import write_file
from conformance.report.model import Report


def write_csv(report: Report, output: Output) -> Path:
    """Write `report.csv` into the output folder and return its path."""
    text = StringIO()
    rows = csv.writer(text)
    rows.writerow(["target", "rule", "count"])
    for target in report.targets:
        rows.writerows([target.name, found.rule, found.count] for found in target.divergences)
    return write_file(output.folder / "report.csv", text.getvalue().encode())
