"""`conformance authorities`: the libraries whose word can be taken for Harmony's, and what each renders otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.campaign.contrast import contrast
from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.options import Examples, Offline, Seed
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.cli.targets import obtain_authority
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.oracles.authorities import DEFAULT, find, pinned
from conformance.oracles.copies import copy_of
from conformance.oracles.copies import fetch as fetch_copy
from conformance.oracles.installed import installed
from conformance.report.authorities_page import comparison_json, comparison_markdown
from conformance.report.files import make_folder, write_file
from conformance.report.terminal import TerminalWriter

app = typer.Typer(invoke_without_command=True)


@app.callback()
def _authorities(context: typer.Context) -> int:
    return EXIT_CONFORMS if context.invoked_subcommand else list_()


@app.command("list")
def list_() -> int:
    """List the authorities: which is installed, which has a copy here."""
    out, here = TerminalWriter(new_console()), installed()
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


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.authorities)
    ] = None,
) -> int:
    """Fetch copies of authorities with pip into the cache; all of them when none is named."""
    code = EXIT_CONFORMS
    for entry in [find(name) for name in dict.fromkeys(names or pinned())]:
        try:
            word = "fetched" if fetch_copy(entry) else "was cached"
        except UsageError as error:
            complain(str(error))
            code = EXIT_USAGE
        else:
            say(new_console(), f"{entry.name}  {word}")
    return code


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
) -> int:
    """Compare authorities with the default one on generated conversations; all of them when none is named."""
    if examples < 1:
        raise UsageError(f"--examples is {examples}; give at least 1, since a run of no case proves nothing.")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give 0 or more.")
    chosen = [find(name).name for name in dict.fromkeys(names or pinned()) if name != DEFAULT]
    if not chosen:
        raise UsageError(
            f"{DEFAULT} is what the others are compared with; name another authority, or none for all."
        )
    for name in (DEFAULT, *chosen):
        obtain_authority(name, offline=offline)
    if output is not None:
        make_folder(output)
    console = new_console()
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
