"""`conformance compare`: what a change to a template makes better or worse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.campaign.check import check as run_campaign
from conformance.campaign.settings import Settings
from conformance.cli.judging import validate
from conformance.cli.options import DEFAULT_ENGINES, Engines, Examples, Jobs, Offline, Profile, Seed, Shapes
from conformance.cli.streams import write_bytes
from conformance.cli.targets import all_engines, obtain_authority, one_template
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, UsageError
from conformance.gate.compare import compared, comparison_markdown
from conformance.report.json_file import read
from conformance.report.model import Report


def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The template before, or its report.json.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The template after, or its report.json.")],
    engine: Engines = None,
    shape: Shapes = None,
    profile: Profile = "harmony",
    examples: Examples = 2000,
    seed: Seed = 0,
    jobs: Jobs = 1,
    offline: Offline = False,
) -> int:
    """Judge two versions of a template alike and print what changed as Markdown; exit code 1 when NEW is worse."""
    engines, no_engine = all_engines(engine or DEFAULT_ENGINES)
    settings = Settings(
        seed=seed, cases=examples, profile=profile, shapes=tuple(shape or ()), engines=engines, jobs=jobs
    )
    validate(settings)
    before, after = (_report(target, settings, offline=offline) for target in (old, new))
    if (before.run.seed, before.run.profile) != (after.run.seed, after.run.profile):
        raise UsageError("The two reports were made with another seed or profile; judge both alike.")
    judges = [report.authority.renders for report in (before, after) if report.authority is not None]
    if len(set(judges)) > 1:
        raise UsageError(
            "The two reports were judged by authorities that render otherwise; judge both alike."
        )
    found = compared(before, after)
    write_bytes(comparison_markdown(found).encode())
    if found.before.verdict == "error" or not (before.run.complete and after.run.complete) or no_engine:
        return EXIT_UNJUDGED
    return EXIT_DIVERGES if found.worse else EXIT_CONFORMS


def _report(target: str, settings: Settings, *, offline: bool) -> Report:
    if Path(target).name == "report.json":
        report = read(Path(target))
        if len(report.targets) != 1:
            raise UsageError(f"{target} has {len(report.targets)} targets; compare reports of one.")
        return report
    template = one_template(target, offline=offline)
    obtain_authority(settings.authority, offline=offline)
    return run_campaign([template], settings)
