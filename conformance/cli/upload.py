"""`conformance upload`: a model folder goes to the Hugging Face Hub only through the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.campaign.settings import Settings
from conformance.cli.gate_options import BaselineFile, Gate, Ignore, Select, Severities
from conformance.cli.groups import ServerOptions
from conformance.cli.judging import judge_targets, validate
from conformance.cli.options import (
    DEFAULT_ENGINES,
    Authority,
    Cards,
    Engines,
    Examples,
    FailOnOption,
    Formats,
    Jobs,
    Output,
    Profile,
    Quiet,
    Seed,
    Shapes,
)
from conformance.cli.publish import Publisher
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.cli.targets import all_engines
from conformance.errors import EXIT_CONFORMS, UnjudgedError, UsageError
from conformance.gate.hub import Upload, send
from conformance.gate.model_card import with_section
from conformance.gate.policy import FailOn
from conformance.oracles.authorities import DEFAULT
from conformance.report.model import Report
from conformance.sources import resolve


def upload(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model folder.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Where it goes: ORG/NAME on the Hub.")],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="NAME", help="Branch to upload to. Default: main.")
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request on the Hub.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Put the result into the model card, README.md, that is uploaded.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge, say what would be uploaded, and upload nothing.")
    ] = False,
    engine: Engines = None,
    shape: Shapes = None,
    profile: Profile = "harmony",
    authority: Authority = DEFAULT,
    examples: Examples = 2000,
    seed: Seed = 0,
    jobs: Jobs = 1,
    cards: Cards = 5,
    format: Formats = None,
    output: Output = None,
    fail_on: FailOnOption = FailOn.error,
    select: Select = None,
    ignore: Ignore = None,
    severity: Severities = None,
    baseline: BaselineFile = None,
    quiet: Quiet = False,
) -> int:
    """Judge a model folder, and upload it to the Hub only if the gate passes."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name the model folder that is to be uploaded.")
    wanted = Upload.of(folder, repo, revision=revision, create_pr=create_pr, private=private)
    engines, no_engine = all_engines(engine or DEFAULT_ENGINES)
    settings = Settings(
        seed=seed,
        cases=examples,
        profile=profile,
        authority=authority,
        shapes=tuple(shape or ()),
        engines=engines,
        jobs=jobs,
    )
    validate(settings)
    gate = Gate(select, ignore, severity, baseline, fail_on)
    publisher = Publisher(format or (), output, cards, quiet=quiet)
    report, where, code = judge_targets(
        [str(folder)], settings, gate, publisher, servers=ServerOptions(), offline=False, no_engine=no_engine
    )
    publisher.publish(report, where)
    if code != EXIT_CONFORMS:
        complain(f"{folder} was not uploaded, since the gate does not let it pass")
        return code
    _unchanged(folder, report)
    readme = with_section(wanted.readme(), report) if card else None
    if dry_run:
        say(publisher.console, f"Would upload {len(wanted.files)} files of {folder} to {repo}.")
        return EXIT_CONFORMS
    say(publisher.console, f"Uploaded {len(wanted.files)} files of {folder} to {send(wanted, readme)}")
    return EXIT_CONFORMS


def _unchanged(folder: Path, report: Report) -> None:
    """Raise UnjudgedError when the folder's templates are other ones now than those that were judged."""
    judged = {target.sha256 for target in report.targets}
    if any(template.sha256 not in judged for template in resolve(str(folder), offline=True)):
        raise UnjudgedError(f"A template in {folder} has changed since it was judged; nothing was uploaded.")
