"""How a command hands over its report: the file that is always written, the formats asked for, and where it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from conformance.cli.console import new_console
from conformance.cli.runs import KEPT_RUNS, OUR_FILES, new_run_folder, remember_run
from conformance.cli.say import say
from conformance.cli.streams import complain, write_bytes
from conformance.errors import UsageError
from conformance.report.base import Output, Writer, writer
from conformance.report.compact import plural
from conformance.report.files import (
    FolderLock,
    check_place,
    make_folder,
    refuse_links,
    write_file,
)
from conformance.report.json_file import FILE_NAME, encode
from conformance.report.model import Report

TERMINAL = "terminal"
_FILE_WIDTH = 100  # of a terminal report in a file


@dataclass(frozen=True, slots=True)
class Destination:
    """A format as it was asked for, and the file it goes to; None is standard output."""

    name: str
    writer: Writer
    file: Path | None

    @staticmethod
    def of(asked: str) -> Destination:
        """Return the destination of `NAME` or `NAME=FILE`; `-` as the file is standard output.

        Raises UsageError for an unknown format, or a file that cannot be written.
        """
        name, equals, file = asked.partition("=")
        if equals and not file:
            raise UsageError(f"--format {asked} names no file; write NAME=FILE, or NAME for standard output.")
        if file.endswith("/"):
            raise UsageError(f"--format {asked} names a folder; name a file in it.")
        path = None if file in ("", "-") else Path(file)
        if path is not None:
            check_place(path)
        return Destination(name, writer(name), path)


class Destinations:
    """The formats of a report and where each goes, checked before a long run.

    When a format for programs has standard output, what is for people goes to standard error.
    """

    def __init__(self, formats: Sequence[str], cards: int, *, quiet: bool = False) -> None:
        """Read the options; raises UsageError for an unknown format, or a file that cannot be written."""
        if cards < 0:
            raise UsageError(f"--cards is {cards}; give 0 or more.")
        asked = [Destination.of(form) for form in dict.fromkeys(formats)]
        files = [destination.file.resolve() for destination in asked if destination.file is not None]
        if len(set(files)) < len(files):
            raise UsageError("Two formats go to one file; name a file for each.")
        streams = [one for one in asked if one.file is None and one.name != TERMINAL]
        if len(streams) > 1:
            both = " and ".join(one.name for one in streams)
            raise UsageError(f"{both} would be mixed on standard output; write NAME=FILE for all but one.")
        if not streams and not any(one.name == TERMINAL and one.file is None for one in asked):
            asked.insert(0, Destination.of(TERMINAL))
        self._asked = asked
        self.cards = cards
        self.quiet = quiet
        self.console = new_console(stderr=bool(streams), quiet=quiet)

    @property
    def shows(self) -> bool:
        """Whether the terminal is one of the formats."""
        return not self.quiet and any(one.name == TERMINAL and one.file is None for one in self._asked)

    def write(self, report: Report, folder: Path, *, terminal: bool = True) -> None:
        """Write the report in every format; without `terminal` the caller prints what is for people itself."""
        for destination in self._asked:
            if terminal or destination.name != TERMINAL or destination.file is not None:
                self._write(destination, report, folder)

    def _write(self, destination: Destination, report: Report, folder: Path) -> None:
        file = destination.file
        console = self.console if file is None else Console(file=io.StringIO(), width=_FILE_WIDTH)
        written = destination.writer(report, Output(folder=folder, console=console, examples=self.cards))
        if file is None:
            if isinstance(written, bytes):
                write_bytes(written)
            return
        if not isinstance(written, bytes):
            assert isinstance(console.file, io.StringIO)
            written = console.file.getvalue().encode()
        write_file(file, written)


class Publisher(Destinations):
    """The formats of a run's report, and its folder: `output` where one was named."""

    def __init__(
        self,
        formats: Sequence[str],
        output: Path | None,
        cards: int,
        *,
        quiet: bool = False,
        keep_runs: int = KEPT_RUNS,
    ) -> None:
        """Read the options; raises UsageError for places that cannot be written or that another run has."""
        super().__init__(formats, cards, quiet=quiet)
        if keep_runs < 1:
            raise UsageError(f"--keep-runs is {keep_runs}; give at least 1, since this run is one.")
        self._keep_runs = keep_runs
        self._output = output
        self._lock: FolderLock | None = None
        if output is not None:
            if str(output) == ".":
                raise UsageError("--output is empty or the current folder; name a folder for the report.")
            make_folder(output)
            refuse_links(output, OUR_FILES)
            self._lock = FolderLock(output)

    def folder(self, label: str) -> Path:
        """Return the folder named, or a new one for a run with this label."""
        return self._output or new_run_folder(label, self._keep_runs)

    def publish(self, report: Report, folder: Path, *, shown: Report | None = None) -> None:
        """Write the report into its folder and in every format, and say where it is; `shown` leaves the folder.

        Where the folder cannot be written, standard output has the report instead, and UsageError is raised.
        """
        try:
            keep(report, folder)
        except UsageError as error:
            self._instead(shown or report, folder)
            raise UsageError(f"{error} What was found is on standard output instead.") from None
        self.write(shown or report, folder)
        if self._lock is not None:
            self._lock.release()
        if self.quiet and not report.run.complete:
            complain(f"incomplete: ended after {plural(report.run.cases, 'conversation')}")
        if self.shows:
            say_where(self.console, folder)
        elif self._output is None and not self.quiet:
            # Nobody can guess the folder, and standard output is not for people here.
            say_where(new_console(stderr=True), folder)

    def _instead(self, report: Report, folder: Path) -> None:
        """Print the report where its file cannot be written, for programs where those have standard output."""
        if self.shows:
            writer(TERMINAL)(report, Output(folder=folder, console=self.console, examples=self.cards))
        else:
            write_bytes(encode(report))


def keep(report: Report, folder: Path) -> None:
    """Write `report.json`, and remember the run as the newest."""
    write_file(folder / FILE_NAME, encode(report))
    remember_run(folder)


def say_where(console: Console, folder: Path) -> None:
    """Print where the report is."""
    say(console, f"Report: {folder / FILE_NAME}")
