"""`conformance authorities`: the libraries whose word can be taken for Harmony's, and what each renders otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conformance.cli import completion
from conformance.cli.options import Examples, Offline, Seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

app = typer.Typer(
    help="The libraries that say what is right, and where they differ.", invoke_without_command=True
)


@app.callback()
def _authorities(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        raise typer.Exit(run_list(_console()))


def _console() -> Console:
    from rich.console import Console

    return Console()


@app.command("list")
def list_() -> None:
    """List the authorities: which is installed, which has a copy here."""
    raise typer.Exit(run_list(_console()))


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.authorities)
    ] = None,
) -> None:
    """Fetch copies of authorities with pip into the cache; all of them when none is named."""
    raise typer.Exit(run_fetch(names or [], _console()))


@app.command()
def compare(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.authorities)
    ] = None,
    examples: Examples = 2000,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where authorities.md and authorities.json are written."),
    ] = None,
    offline: Offline = False,
) -> None:
    """Compare authorities with the default one on generated conversations; all of them when none is named."""
    raise typer.Exit(
        run_compare(
            names or [], seed=seed, examples=examples, output=output, offline=offline, console=_console()
        )
    )


def run_list(console: Console) -> int:
    """Print a line an authority: name, version and state, and below it what it is."""
    from rich.padding import Padding
    from rich.text import Text

    from conformance.errors import EXIT_CONFORMS
    from conformance.oracles.authorities import pinned
    from conformance.oracles.copies import copy_of
    from conformance.oracles.installed import installed
    from conformance.report.terminal import TerminalWriter

    out, here = TerminalWriter(console), installed()
    for name, entry in pinned().items():
        live = here is not None and (here.distribution, here.version) == (entry.distribution, entry.version)
        states = ["installed"] * live + ["own copy"] * (copy_of(entry) is not None)
        state = ", ".join(states) or "not here"
        out.print(
            Text.assemble(
                (name, "bold"), f"  {entry.distribution} {entry.version}  ",
                (state, "green" if states else "yellow"), (f"  renders {entry.renders[:12]}", "dim"),
            )
        )  # fmt: skip
        out.print(Padding(Text(entry.note), (0, 0, 0, 4)))
    return EXIT_CONFORMS


def run_fetch(names: Sequence[str], console: Console) -> int:
    """Fetch copies; exit code 2 when one could not be had.

    Raises UsageError when a named authority does not exist.
    """
    from conformance.cli.streams import complain
    from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError
    from conformance.oracles.authorities import find, pinned
    from conformance.oracles.copies import fetch as fetch_copy

    code = EXIT_CONFORMS
    for entry in [find(name) for name in dict.fromkeys(names or pinned())]:
        try:
            word = "fetched" if fetch_copy(entry) else "was cached"
        except UsageError as error:
            complain(str(error))
            code = EXIT_USAGE
        else:
            console.print(f"{entry.name}  {word}", markup=False, highlight=False, soft_wrap=True)
    return code


def run_compare(
    names: Sequence[str], *, seed: int, examples: int, output: Path | None, offline: bool, console: Console
) -> int:
    """Compare authorities with the default one, print the page, and keep it where asked.

    Raises UsageError when an authority does not exist, UnjudgedError when one cannot be had.
    """
    from conformance.campaign.contrast import contrast
    from conformance.cli.common import obtain_authority
    from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, UsageError
    from conformance.oracles.authorities import DEFAULT, find, pinned
    from conformance.report.authorities_page import comparison_json, comparison_markdown
    from conformance.report.files import make_folder, write_file
    from conformance.report.terminal import TerminalWriter

    if examples < 1:
        raise UsageError(f"--examples is {examples}; give at least 1, since a run of no case proves nothing.")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give 0 or more.")
    chosen = [name for name in dict.fromkeys(names or pinned()) if name != DEFAULT]
    for name in chosen:
        find(name)
    if not chosen:
        raise UsageError(
            f"{DEFAULT} is what the others are compared with; name another authority, or none for all."
        )
    for name in (DEFAULT, *chosen):
        obtain_authority(name, offline=offline)
    if output is not None:
        make_folder(output)
    with TerminalWriter(console).progress() as advance:
        found = contrast(
            chosen,
            seed=seed,
            cases=examples,
            on_progress=lambda done: advance("authorities", done, examples),
        )
    page = comparison_markdown(found)
    console.print(page, markup=False, highlight=False, soft_wrap=True, end="")
    if output is not None and found.complete:
        write_file(output / "authorities.md", page.encode())
        write_file(output / "authorities.json", comparison_json(found))
    # Unknown is not pass: a library that never answered was not compared.
    silent = any(other.cases == 0 for other in found.others)
    return EXIT_CONFORMS if found.complete and not silent else EXIT_UNJUDGED
