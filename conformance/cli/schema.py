"""`conformance schema`: the published JSON Schemas."""

from __future__ import annotations

import enum
import json

from conformance.cli.streams import write_bytes
from conformance.conversation import case_schema
from conformance.errors import EXIT_CONFORMS
from conformance.report.model import report_schema


class Schema(enum.StrEnum):
    """The published JSON Schemas."""

    case = "case"
    report = "report"


def schema(which: Schema) -> int:
    """Print the JSON Schema of case files or of reports."""
    found = case_schema() if which is Schema.case else report_schema()
    write_bytes(json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")
    return EXIT_CONFORMS
