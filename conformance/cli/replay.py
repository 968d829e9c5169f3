"""`conformance replay`: a reported case again."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from conformance.as_sent import SentCase
from conformance.cli.console import new_console
from conformance.cli.diff import run_diff
from conformance.cli.groups import ServerOptions, one_group
from conformance.cli.options import KeyVariable, Offline, Plain, Timeout
from conformance.cli.runs import kept_runs
from conformance.cli.targets import check_engines, one_template
from conformance.errors import UsageError
from conformance.importers import looks_like_case_id, read_case
from conformance.oracles.authorities import DEFAULT
from conformance.report.json_file import find_example, read
from conformance.report.model import Divergence, Report, Target
from conformance.servers import KEY_VARIABLE
from conformance.shapes import AS_SENT
from conformance.targets.base import Group, is_known


def replay(
    case: Annotated[
        str, typer.Argument(metavar="CASE_ID|FILE", help="An id from a failure card, or a case file.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="The target, where several show the case.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="NAME", help="The shape, where several show the case.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="The engine, where several show the case.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run to look in. Default: all that are kept."),
    ] = None,
    plain: Plain = False,
    offline: Offline = False,
    timeout: Timeout = 30.0,
    api_key_variable: KeyVariable = KEY_VARIABLE,
) -> int:
    """Show a reported case again."""
    console = new_console()
    servers = ServerOptions(timeout_s=timeout, key_variable=api_key_variable)
    path = Path(case)
    if path.is_file() or not looks_like_case_id(case):
        if not path.exists():
            raise UsageError(f"{case} is neither a file nor a case id, such as 7f3a12; cards end in theirs.")
        if target is None:
            raise UsageError(f"To replay the file {case}, name the target with --target.")
        with one_group(target, servers, offline=offline) as group:
            return run_diff(
                group, read_case(path), shape_name=shape, engine=engine or "transformers", profile="harmony",
                authority=DEFAULT, plain=plain, offline=offline, console=console,
            )[0]  # fmt: skip
    report, reported, divergence = _reported(case, target, run, shape, engine)
    shown = divergence.example
    if reported.source.get("kind") != "server" and not is_known(reported.source.get("location", "")):
        # What a report names is not run unless it is an engine of this installation.
        check_engines([shown.engine])
    servers = replace(servers, readings=report.run.profile)
    with _again(reported, servers, Path(report.run.directory), offline=offline) as group:
        if group.targets[0].sha256 != reported.sha256:
            console.print(f"Note: {reported.name} has changed since that run.", markup=False, highlight=False)
        case_shown = shown.case
        if shown.shape == AS_SENT.name:
            case_shown = SentCase(
                conversation=case_shown.conversation, options=case_shown.options, body=shown.handed
            )
        return run_diff(
            group, case_shown, shape_name=shown.shape, engine=shown.engine, profile=report.run.profile,
            authority=DEFAULT if report.authority is None else report.authority.name,
            plain=plain, offline=offline, console=console,
        )[0]  # fmt: skip


def _reported(
    case: str, target: str | None, run: Path | None, shape: str | None, engine: str | None
) -> tuple[Report, Target, Divergence]:
    """Return a reported case with its report: of the run named, else of the newest kept run that has it."""
    if run is not None:
        report = read(run)
        return report, *find_example(report, case, target, shape, engine)
    problem: UsageError | None = None
    runs = kept_runs()
    for kept in runs:
        try:
            report = read(kept)
            return report, *find_example(report, case, target, shape, engine)
        except UsageError as error:
            problem = problem or error
    assert problem is not None
    searched = (
        ""
        if len(runs) == 1
        else f" None of the {len(runs)} kept runs has it (check --keep-runs N keeps more)."
    )
    raise UsageError(f"{problem}{searched}")


def _again(
    reported: Target, servers: ServerOptions, directory: Path, *, offline: bool
) -> AbstractContextManager[Group]:
    """Return a reported target once more: a server or known renderer asked again, a template from its place or from the
    catalogue.

    `directory` is the folder that the run was started in, to which a relative place belongs.
    """
    source, name = reported.source, reported.name
    if source.get("kind") == "server":
        same = replace(servers, protocol=source["protocol"])
        return one_group(source["location"], same, offline=offline)
    if is_known(source.get("location", "")):
        return one_group(source["location"], servers, offline=offline)
    problems = []
    location = source.get("location", name)
    there = (
        str(directory / location) if directory.is_absolute() and (directory / location).exists() else location
    )
    for place in dict.fromkeys((there, location, name)):
        try:
            template = one_template(place, offline=offline, sha256=reported.sha256, name=name)
            return nullcontext(Group([template]))
        except UsageError as error:
            problems.append(str(error))
    raise UsageError(problems[0])
