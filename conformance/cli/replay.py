"""`conformance replay`: a reported case again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.cli.console import new_console
from conformance.cli.diff import run_diff
from conformance.cli.options import Offline, Plain
from conformance.cli.runs import newest_run
from conformance.cli.targets import check_engines, one_template
from conformance.errors import UsageError
from conformance.importers import looks_like_case_id, read_case
from conformance.report.json_file import find_example, read
from conformance.sources import Template


def replay(
    case: Annotated[
        str, typer.Argument(metavar="CASE_ID|FILE", help="An id from a failure card, or a case file.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="The target, where several show the case.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run to look in; default the newest.")
    ] = None,
    plain: Plain = False,
    offline: Offline = False,
) -> int:
    """Show a reported case again."""
    console = new_console()
    path = Path(case)
    if path.is_file() or not looks_like_case_id(case):
        if target is None:
            raise UsageError(f"To replay the file {case}, name the template with --target.")
        template = one_template(target, offline=offline)
        return run_diff(
            template, read_case(path), shape_name=None, engine="transformers", profile="harmony",
            plain=plain, console=console,
        )  # fmt: skip
    report = read(run or newest_run())
    reported, divergence = find_example(report, case, target)
    shown = divergence.example
    # What a report names is not run unless it is an engine of this installation.
    check_engines([shown.engine])
    template = _again(reported.name, reported.source, reported.sha256, offline=offline)
    if template.sha256 != reported.sha256:
        console.print(f"Note: {reported.name} has changed since that run.", markup=False, highlight=False)
    return run_diff(
        template, shown.case, shape_name=shown.shape, engine=shown.engine, profile=report.run.profile,
        plain=plain, console=console,
    )  # fmt: skip


def _again(name: str, source: dict[str, str], sha256: str, *, offline: bool) -> Template:
    """Load a reported template again: from where it came, or from the catalogue under its name."""
    problems = []
    for place in dict.fromkeys((source.get("location", name), name)):
        try:
            return one_template(place, offline=offline, sha256=sha256, name=name)
        except UsageError as error:
            problems.append(str(error))
    raise UsageError(problems[0])
