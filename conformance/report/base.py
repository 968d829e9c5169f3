"""What a report writer is, and how writers are found by the name of their format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from conformance.registry import Registry
from conformance.report.model import Report

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a report goes: the folder of `--output`, the terminal, and how many failure cards to print."""

    folder: Path
    console: Console | None = None
    examples: int = 5


class Writer(Protocol):
    """Writes a report in one format."""

    def __call__(self, report: Report, output: Output, /) -> bytes | Path | None:
        """Return the report's bytes, which go to standard output or to the file that the user named.

        A writer that has its own way returns the file that it wrote into the output's folder, or None when it printed
        on the output's console. Raises UsageError with one sentence if it cannot write.
        """


# Imported when first asked for: the JSON writer must not pay for rich.
WRITERS: Registry[Writer] = Registry(
    "report format",
    "conformance.report_writers",
    {
        "terminal": "conformance.report.terminal",
        "json": "conformance.report.json_file",
        "html": "conformance.report.html",
        "markdown": "conformance.report.github_markdown",
        "sarif": "conformance.report.sarif",
        "junit": "conformance.report.junit",
        "github": "conformance.report.github",
        "gitlab": "conformance.report.gitlab",
    },
)
register = WRITERS.named


def formats() -> list[str]:
    """Return the names of all formats: built in, registered and from installed plug-ins."""
    return sorted(WRITERS.names())


def writer(name: str) -> Writer:
    """Return the writer of a format.

    Raises UsageError when there is none, or when the plug-in that offers it cannot be loaded.
    """
    return WRITERS[name]
