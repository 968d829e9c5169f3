"""`conformance engines`: the programs that execute templates, and those of them that this tool can fetch."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.lazy import help_without_command
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.engines import engine_names, get_engine
from conformance.engines.npm_package import Fetchable
from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError
from conformance.report.terminal import TerminalWriter

app = typer.Typer(callback=help_without_command, invoke_without_command=True)


@app.command("list")
def list_() -> int:
    """List the engines, and how to get those that are missing here."""
    out = TerminalWriter(new_console())
    for name in engine_names():
        engine = get_engine(name)
        reason = engine.available()
        if reason is None:
            out.print(Text.assemble((name, "bold"), f"  {engine.version()}  ", ("ok", "green")))
        else:
            out.print(Text.assemble((name, "bold"), "  ", ("missing", "yellow")))
            out.print(Padding(Text(reason), (0, 0, 0, 4)))
    return EXIT_CONFORMS


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.engines)
    ] = None,
) -> int:
    """Fetch engines that pip does not install; all of them when none is named."""
    wanted: list[tuple[str, Fetchable]] = []
    for name in dict.fromkeys(names or engine_names()):
        engine = get_engine(name)
        if isinstance(engine, Fetchable):
            wanted.append((name, engine))
        elif names:
            cure = engine.available() or "it is installed"
            raise UsageError(f"The engine {name} comes with Python packages, not by fetching: {cure}.")
    code = EXIT_CONFORMS
    for name, fetchable in wanted:
        try:
            word = "fetched" if fetchable.fetch() else "was cached"
        except UsageError as error:
            complain(str(error))
            code = EXIT_USAGE
        else:
            say(new_console(), f"{name}  {word}")
    return code
