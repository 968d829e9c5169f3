"""How a command hands over its report: the file that is always written, the forms asked for, and where it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from conformance.cli.runs import OUR_FILES, new_run_folder, remember_run
from conformance.report.base import Output, Writer, writer
from conformance.report.files import make_folder, refuse_links, write_file
from conformance.report.json_file import FILE_NAME, encode
from conformance.report.model import Report

TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Publisher:
    """The forms of a report, `output` where its folder was named, and how many cards the terminal shows."""

    formats: Sequence[str]
    writers: Sequence[Writer]
    output: Path | None
    cards: int

    @staticmethod
    def of(formats: Sequence[str], output: Path | None, cards: int) -> Publisher:
        """Return the publisher for options as given; the folder is made now, before a long run could lose its report.

        Raises UsageError for an unknown form, or a folder that cannot be made.
        """
        writers = [writer(name) for name in formats]
        if output is not None:
            make_folder(output)
            refuse_links(output, OUR_FILES)
        return Publisher(formats, writers, output, cards)

    @property
    def shows(self) -> bool:
        """Whether the terminal is one of the forms."""
        return TERMINAL in self.formats

    def folder(self, label: str) -> Path:
        """Return the folder named, or a new one for a run with this label."""
        return self.output or new_run_folder(label)

    def publish(self, report: Report, folder: Path, console: Console) -> None:
        """Write the report into its folder and in every form, and say where it is."""
        keep(report, folder)
        for write in self.writers:
            write(report, Output(folder=folder, console=console, examples=self.cards))
        if self.shows:
            say_where(console, folder)
        elif self.output is None:
            # Nobody can guess the folder, and standard output is not ours here.
            print(f"Report: {folder / FILE_NAME}", file=sys.stderr)


def keep(report: Report, folder: Path) -> None:
    """Write `report.json`, and remember the run as the newest."""
    write_file(folder / FILE_NAME, encode(report))
    remember_run(folder)


def say_where(console: Console, folder: Path) -> None:
    """Print where the report is."""
    console.print(f"Report: {folder / FILE_NAME}", markup=False, highlight=False, soft_wrap=True)
