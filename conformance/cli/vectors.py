"""`conformance vectors`: language-neutral test vectors, and the check of any renderer against them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conformance.cli.console import new_console
from conformance.cli.lazy import help_without_command
from conformance.cli.options import Authority, FailOnOption, Formats, Profile, Seed
from conformance.cli.publish import Destinations
from conformance.cli.runs import kept_runs
from conformance.cli.say import say
from conformance.cli.targets import obtain_authority
from conformance.cli.vectors_report import print_report, write_folder
from conformance.conversation import Case
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, UsageError
from conformance.gate.exits import exit_code
from conformance.gate.policy import FailOn, Policy
from conformance.importers import looks_like_case_id, read_case
from conformance.oracles.authorities import DEFAULT, find
from conformance.oracles.profile import profile as profile_named
from conformance.renderers.process import Renderer
from conformance.report.files import make_folder, write_file
from conformance.report.json_file import find_example, read
from conformance.vectors.export import differences, grow, normalise, promote, rendered_files
from conformance.vectors.files import Family, default_folder, read_folder
from conformance.vectors.judging import judge_renderer

app = typer.Typer(callback=help_without_command, invoke_without_command=True)

Vectors = Annotated[
    Path | None,
    typer.Option("--vectors", metavar="DIR", help="Folder of the vectors. Default: those shipped."),
]


@app.command()
def export(
    vectors: Vectors = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where they are written. Default: where they are.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail when a file is not as it would be written.")
    ] = False,
    authority: Authority = DEFAULT,
) -> int:
    """Write the vectors anew: ids, texts, tokens, flags and formatting."""
    if authority != DEFAULT and output is None:
        raise UsageError(
            f"The vectors here are {DEFAULT}'s; say with --output where those of {authority} go."
        )
    return run_export(
        vectors or default_folder(), output, check=check, console=new_console(), authority=authority
    )


@app.command()
def check(
    command: Annotated[
        str,
        typer.Option(
            "--command", metavar="COMMAND", help="A renderer: reads lines of JSON, writes one for each."
        ),
    ],
    vectors: Vectors = None,
    family: Annotated[list[str] | None, typer.Option(help="Only this family; repeatable.")] = None,
    profile: Annotated[list[str] | None, typer.Option(help="Only this profile; repeatable.")] = None,
    vector: Annotated[
        list[str] | None, typer.Option("--id", help="Only this vector, or ids beginning so; repeatable.")
    ] = None,
    limit: Annotated[float, typer.Option(metavar="S", help="Seconds that one answer may take.")] = 10.0,
    cards: Annotated[int, typer.Option(metavar="N", help="Failure cards to print.")] = 5,
    format: Formats = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where reports are written.")] = None,
    fail_on: FailOnOption = FailOn.error,
    authority: Authority = DEFAULT,
) -> int:
    """Judge a renderer in any language by the vectors."""
    # Written so that NaN fails too.
    if not 0 < limit < math.inf:
        raise UsageError(f"--limit is {limit:g}; give a positive number of seconds.")
    destinations = Destinations(format or (), cards)
    find(authority)
    families = read_folder(vectors or default_folder())
    if authority != DEFAULT:
        obtain_authority(authority, offline=False)
        families = normalise(vectors or default_folder(), authority)
    families = _selected(families, family or (), profile or (), vector or ())
    if output is not None:
        make_folder(output)
    console = destinations.console
    obtain_authority(authority, offline=False)
    with Renderer(command, limit_s=limit) as renderer:
        report, results = judge_renderer(renderer, families, name=authority)
        early = list(renderer.early_exits)
    if output is not None:
        write_folder(output, report, results)
    destinations.write(report, output or Path(), terminal=False)
    if destinations.shows:
        print_report(console, report, results, command=command, cards=cards, early_exits=early)
        if output is not None:
            say(console, f"Report: {output / 'report.json'}")
    # Unknown is not pass: what was not asked is not known.
    return max(
        exit_code(Policy(fail_on=fail_on).apply(report)),
        EXIT_CONFORMS if report.run.complete else EXIT_UNJUDGED,
    )


@app.command()
def add(
    case: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CASE]",
            help="A case or an OpenAI chat-completions request in a JSON file, or the id of a case in the newest run.",
        ),
    ] = None,
    why: Annotated[str | None, typer.Option(help="Why the case matters, in one sentence.")] = None,
    profile: Profile = "harmony",
    family: Annotated[str, typer.Option(help="File that the vector goes to.")] = "reported",
    vectors: Vectors = None,
    generated: Annotated[
        int, typer.Option(metavar="N", help="Instead of a case: add N generated ones for coverage.")
    ] = 0,
    seed: Seed = 0,
) -> int:
    """Make a case a vector: what a campaign found, or somebody reported."""
    folder, console = vectors or default_folder(), new_console()
    if (case is None) == (generated == 0):
        raise UsageError("Name either a case file or --generated N, and not both.")
    if generated < 0 or seed < 0:
        raise UsageError("--generated and --seed are numbers of 0 or more.")
    obtain_authority(DEFAULT, offline=False)
    if case is None:
        added = grow(folder, generated, seed=seed)
        say(console, f"{len(added)} generated vectors added to {folder}.")
        return EXIT_CONFORMS
    vector, file = promote(folder, _reported(case), profile_named(profile), why=why, family=family)
    say(console, f"Vector {vector.id} added to {file}: {len(vector.tokens)} tokens. {vector.why}")
    return EXIT_CONFORMS


def run_export(
    folder: Path, output: Path | None, *, check: bool, console: Console, authority: str = DEFAULT
) -> int:
    """Write the vectors of a folder, or with `check` say what would change; 1 when something would."""
    find(authority)
    obtain_authority(authority, offline=False)
    if check:
        read_folder(folder)
    families = normalise(folder, authority)
    wanted = rendered_files(families, authority)
    target = output or folder
    problems = differences(target, wanted)
    count = sum(len(family.vectors) for family in families)
    if check:
        for problem in problems:
            say(console, f"{problem}; run `conformance vectors export`.")
        if not problems:
            say(console, f"{count} vectors in {len(families)} families are as the tool writes them.")
        return EXIT_DIVERGES if problems else EXIT_CONFORMS
    for name, data in wanted.items():
        if not (target / name).is_file() or (target / name).read_bytes() != data:
            write_file(target / name, data)
    say(console, f"{count} vectors in {len(families)} families in {target}; {len(problems)} files changed.")
    return EXIT_CONFORMS


def _reported(path: Path) -> Case:
    """Return the case of a file, or that of this id in the newest run.

    Raises UsageError when there is none.
    """
    if path.is_file() or not looks_like_case_id(str(path)):
        return read_case(path)
    _, divergence = find_example(read(kept_runs()[0]), str(path), None)
    return divergence.example.case


def _selected(
    families: Sequence[Family], names: Sequence[str], profiles: Sequence[str], ids: Sequence[str]
) -> tuple[Family, ...]:
    """Return the vectors that the options choose.

    Raises UsageError when an option chooses none.
    """
    vectors = [vector for family in families for vector in family.vectors]
    for option, given, known in (
        ("--family", names, {family.name for family in families}),
        ("--profile", profiles, {vector.profile.name for vector in vectors}),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"No vectors for {option} {name}; choose from {', '.join(sorted(known))}.")
    for prefix in ids:
        if not any(vector.id.startswith(prefix) for vector in vectors):
            raise UsageError(f"No vector's id begins with {prefix!r}.")
    chosen = tuple(
        Family(
            family.name,
            tuple(
                vector
                for vector in family.vectors
                if (not profiles or vector.profile.name in profiles)
                and (not ids or vector.id.startswith(tuple(ids)))
            ),
        )
        for family in families
        if not names or family.name in names
    )
    if not any(family.vectors for family in chosen):
        raise UsageError("No vector has the family, profile and id that were asked for.")
    return chosen
