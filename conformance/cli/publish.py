"""How a command hands over its report: the file that is always written, the forms asked for, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from conformance.cli.console import new_console, say
from conformance.cli.runs import OUR_FILES, new_run_folder, remember_run
from conformance.cli.streams import write_bytes
from conformance.report.base import Output, Writer, writer
from conformance.report.files import make_folder, refuse_links, write_file
from conformance.report.json_file import FILE_NAME, encode
from conformance.report.model import Report

TERMINAL, JSON = "terminal", "json"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where a report goes: its formats, `output` where a folder was named, and how many cards the terminal shows.

    With the format `json` standard output gets the report and nothing else; what is for people goes to standard error.
    """

    writers: dict[str, Writer]
    output: Path | None
    cards: int
    console: Console

    @staticmethod
    def of(formats: Sequence[str], output: Path | None, cards: int) -> Publisher:
        """Return the publisher for options as given; the folder is made now, before a long run could lose its report.

        Raises UsageError for an unknown format, or a folder that cannot be made.
        """
        writers = {name: writer(name) for name in formats or (TERMINAL,)}
        if output is not None:
            make_folder(output)
            refuse_links(output, OUR_FILES)
        return Publisher(writers, output, max(cards, 0), new_console(stderr=JSON in writers))

    @property
    def shows(self) -> bool:
        """Whether the terminal is one of the formats."""
        return TERMINAL in self.writers

    def folder(self, label: str) -> Path:
        """Return the folder named, or a new one for a run with this label."""
        return self.output or new_run_folder(label)

    def publish(self, report: Report, folder: Path) -> None:
        """Write the report into its folder and in every format, and say where it is."""
        keep(report, folder)
        for name, write in self.writers.items():
            if name == JSON:
                write_bytes(encode(report))
            else:
                write(report, Output(folder=folder, console=self.console, examples=self.cards))
        if self.shows:
            say_where(self.console, folder)
        elif self.output is None:
            # Nobody can guess the folder, and standard output is not for people here.
            say_where(new_console(stderr=True), folder)


def keep(report: Report, folder: Path) -> None:
    """Write `report.json`, and remember the run as the newest."""
    write_file(folder / FILE_NAME, encode(report))
    remember_run(folder)


def say_where(console: Console, folder: Path) -> None:
    """Print where the report is."""
    say(console, f"Report: {folder / FILE_NAME}")
