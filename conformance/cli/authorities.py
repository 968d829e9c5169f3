"""`conformance authorities`: the libraries whose word can be taken for Harmony's, and what each renders otherwise."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.cli import completion
from conformance.cli.console import new_console, say
from conformance.cli.streams import complain
from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError
from conformance.oracles.authorities import find, pinned
from conformance.oracles.copies import copy_of
from conformance.oracles.copies import fetch as fetch_copy
from conformance.oracles.installed import installed
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
