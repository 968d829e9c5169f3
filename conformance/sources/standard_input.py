"""A template on standard input: `conformance check -`."""

from __future__ import annotations

import sys

from conformance.errors import UsageError
from conformance.sources.base import (
    Provenance,
    SourceSettings,
    Template,
    make_template,
    read_stream,
    register,
)


@register
class StandardInput:
    """What comes through the pipe, read once."""

    name = "standard-input"

    def claims(self, target: str) -> bool:
        """Return whether this is `-`."""
        return target == "-"

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the one template; raises UsageError when nothing is piped, or it is too large or no UTF-8."""
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "- is standard input, and nothing is piped into it; write `conformance check - < FILE`."
            )
        data = read_stream(sys.stdin.buffer, "standard input")
        return [make_template("stdin", data, Provenance(self.name, "-"), where="standard input")]
