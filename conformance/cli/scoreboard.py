"""`conformance scoreboard`: the whole catalogue judged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from conformance.campaign.settings import Settings
from conformance.cli.console import new_console
from conformance.cli.judging import cut_short, judge, validate, with_workload
from conformance.cli.options import (
    DEFAULT_ENGINES,
    Authority,
    Engines,
    Examples,
    Jobs,
    KeepRuns,
    Offline,
    Profile,
    Quiet,
    Seed,
    WorkloadName,
)
from conformance.cli.publish import keep, say_where
from conformance.cli.runs import KEPT_RUNS, new_run_folder
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.cli.targets import all_engines, load_templates, obtain_authority
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE
from conformance.gate.exits import exit_code
from conformance.oracles.authorities import DEFAULT
from conformance.report.base import Output
from conformance.report.engines_matrix import engines_json, engines_markdown
from conformance.report.files import make_folder, refuse_links, write_file
from conformance.report.model import LeftOut
from conformance.report.repairs import read_repairs, reference_template
from conformance.report.scoreboard import REFERENCE, scoreboard_json, scoreboard_markdown
from conformance.report.site import site_files
from conformance.report.terminal import TerminalWriter
from conformance.sources import catalogue
from conformance.sources.base import Provenance, Template, make_template
from conformance.targets.base import Group

_WRITTEN = re.compile(r"(scoreboard|engines)\.(json|md)")


def scoreboard(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...", help="Templates to judge beside the catalogue, such as a .gguf."
        ),
    ] = None,
    engine: Engines = None,
    examples: Examples = 2000,
    seed: Seed = 0,
    workload: WorkloadName = None,
    profile: Profile = "harmony",
    authority: Authority = DEFAULT,
    jobs: Jobs = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the scoreboard is written.")] = Path(
        "reports"
    ),
    site: Annotated[
        Path | None, typer.Option("--site", metavar="DIR", help="Also write it as a site, for GitHub Pages.")
    ] = None,
    offline: Offline = False,
    quiet: Quiet = False,
    keep_runs: KeepRuns = KEPT_RUNS,
) -> int:
    """Judge the whole catalogue and write scoreboard.md and scoreboard.json."""
    # With several engines it is the matrix template × engine, in engines.md and engines.json. The exit code is
    # 0 whatever diverges, 3 when nothing could be judged, or when the campaign was cut_short.
    chosen, no_engine = all_engines(engine or DEFAULT_ENGINES)
    settings = Settings(
        seed=seed, cases=examples, profile=profile, authority=authority, engines=chosen, jobs=jobs
    )
    console = new_console(quiet=quiet)
    validate(settings)
    settings, weighed = with_workload(settings, workload, offline=offline, eager=True)
    make_folder(output)
    refuse_links(output, _WRITTEN)
    if site is not None:
        make_folder(site)
    repairs = read_repairs()
    beside, unread = load_templates(targets, offline=offline) if targets else ([], [])
    for left in unread:
        complain(left.reason)
    obtain_authority(authority, offline=offline)
    templates, left_out = [_reference(), *beside], [*no_engine, *unread]
    for fetched in catalogue.fetch(offline=offline):
        if fetched.template is not None:
            templates.append(fetched.template)
        else:
            left_out.append(LeftOut(name=fetched.entry.name, reason=fetched.error or "not fetched"))
    folder = new_run_folder("scoreboard", keep_runs)
    report = judge([Group(templates)], settings, folder, console, left_out=left_out, workload=weighed)
    keep(report, folder)
    places: list[Path] = []
    if report.run.complete and report.targets:
        if len(settings.engines) > 1:
            write_file(output / "engines.json", engines_json(report))
            places.append(write_file(output / "engines.md", engines_markdown(report).encode()))
        else:
            write_file(output / "scoreboard.json", scoreboard_json(report, repairs))
            page = scoreboard_markdown(report, repairs).encode()
            places.append(write_file(output / "scoreboard.md", page))
        if site is not None:
            for name, data in site_files(report, Output(folder=folder, console=console), repairs):
                write_file(site / name, data, below=site)
            places.append(site / "index.html")
    TerminalWriter(console).write(report, cards=False)
    say_where(console, folder)
    for written in places:
        say(console, f"Scoreboard: {written}")
    codes = [exit_code(report, "never"), EXIT_USAGE if unread else EXIT_CONFORMS]
    return max(*codes, EXIT_UNJUDGED if no_engine or cut_short(report, settings) else EXIT_CONFORMS)


def _reference() -> Template:
    """Return this project's own template, which shows that conformance is possible."""
    path = reference_template()
    return make_template(REFERENCE, path.read_bytes(), Provenance("file", path.name), harmony=True)
