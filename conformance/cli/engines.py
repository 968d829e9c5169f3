"""`conformance engines`: the programs that execute templates, and those of them that this tool can fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conformance.cli import completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

app = typer.Typer(help="The programs that execute templates.", invoke_without_command=True)


@app.callback()
def _engines(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from conformance.errors import EXIT_USAGE

        typer.echo(context.get_help())
        raise typer.Exit(EXIT_USAGE)


def _console() -> Console:
    from rich.console import Console

    return Console()


@app.command("list")
def list_() -> None:
    """List the engines, and how to get those that are missing here."""
    raise typer.Exit(run_list(_console()))


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.engines)
    ] = None,
) -> None:
    """Fetch engines that pip does not install; all of them when none is named."""
    raise typer.Exit(run_fetch(names or [], _console()))


def run_list(console: Console) -> int:
    """Print a line an engine: name, version and state, and below it how to get it."""
    from rich.padding import Padding
    from rich.text import Text

    from conformance.engines import engine_names, get_engine
    from conformance.errors import EXIT_CONFORMS
    from conformance.report.terminal import TerminalWriter

    out = TerminalWriter(console)
    for name in engine_names():
        engine = get_engine(name)
        reason = engine.available()
        if reason is None:
            out.print(Text.assemble((name, "bold"), f"  {engine.version()}  ", ("ok", "green")))
        else:
            out.print(Text.assemble((name, "bold"), "  ", ("missing", "yellow")))
            out.print(Padding(Text(reason), (0, 0, 0, 4)))
    return EXIT_CONFORMS


def run_fetch(names: Sequence[str], console: Console) -> int:
    """Fetch engines; exit code 2 when one could not be had.

    Raises UsageError when a named engine does not exist or is not fetched by this tool.
    """
    from conformance.cli.streams import complain
    from conformance.engines import engine_names, get_engine
    from conformance.engines.npm_package import Fetchable
    from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError

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
            console.print(f"{name}  {word}", markup=False, highlight=False, soft_wrap=True)
    return code
