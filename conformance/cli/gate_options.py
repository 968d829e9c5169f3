"""The options of a gate: which rules count, how much, and what is known already."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from conformance.cli import completion
from conformance.cli.streams import complain
from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError
from conformance.gate.baseline import FILE_NAME, Baseline, renewed
from conformance.gate.policy import Policy
from conformance.report.files import check_place, write_file
from conformance.report.model import Report

Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="RULE",
        autocompletion=completion.rules,
        help="Only these rules: a code, its beginning, a slug or a family; repeatable, or with commas.",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="RULE", autocompletion=completion.rules, help="Not these rules."),
]
Severities = Annotated[
    list[str] | None,
    typer.Option("--severity", metavar="RULE=SEVERITY", help="Another severity for rules; repeatable."),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="Divergences that are known and accepted."),
]
WriteBaseline = Annotated[
    bool,
    typer.Option(
        "--write-baseline", help=f"Accept what is found: write the baseline (default: {FILE_NAME}) anew."
    ),
]


class Gate:
    """A policy, and the baseline file that it reads and may renew."""

    def __init__(
        self,
        select: Sequence[str] | None,
        ignore: Sequence[str] | None,
        severities: Sequence[str] | None,
        baseline: Path | None,
        fail_on: str,
        *,
        write: bool = False,
    ) -> None:
        """Read the options; raises UsageError for what does not exist or cannot be read."""
        self._today = datetime.date.today()
        self._write = write
        self._path = baseline or Path(FILE_NAME)
        known: Baseline | None = None
        if write:
            check_place(self._path)
        if baseline is not None or write:
            if self._path.exists():
                known = Baseline.read(self._path, self._today)
            elif not write:
                raise UsageError(f"There is no baseline {self._path}; write it with --write-baseline.")
        self._known = known
        self._policy = Policy.of(select, ignore, severities, known, fail_on)

    def apply(self, report: Report) -> Report:
        """Return the report under the policy; with `--write-baseline` the file is renewed first."""
        judged = self._policy.apply(report)
        if not self._write:
            return judged
        if not report.run.complete:
            raise UsageError("The run is incomplete, so the baseline was not written; let it end.")
        write_file(self._path, renewed(judged, self._known.entries if self._known else (), self._today))
        self._known = Baseline.read(self._path, self._today)
        self._policy = self._policy.with_baseline(self._known)
        return self._policy.apply(report)

    def exit_code(self, report: Report) -> int:
        """Return 2 and say why when the baseline holds what is not found any more or has expired, else 0."""
        if self._known is None or not report.run.complete:
            return EXIT_CONFORMS
        problems = list(self._known.problems())
        for problem in problems:
            complain(problem)
        return EXIT_USAGE if problems else EXIT_CONFORMS
