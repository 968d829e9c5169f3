"""`conformance templates`: the catalogue of known public templates."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.lazy import help_without_command
from conformance.cli.options import Offline
from conformance.cli.say import say
from conformance.cli.streams import complain, write_bytes
from conformance.errors import EXIT_CONFORMS, EXIT_USAGE, UsageError
from conformance.report.terminal import TerminalWriter
from conformance.sources import catalogue

app = typer.Typer(callback=help_without_command, invoke_without_command=True)


@app.command("list")
def list_() -> int:
    """List the known templates."""
    out = TerminalWriter(new_console())
    for entry in catalogue.entries():
        facts = [
            entry.sha256[:12],
            entry.licence or "licence unknown",
            "Harmony" if entry.harmony else "not Harmony",
            "cached" if catalogue.is_cached(entry.name) else "not cached",
        ]
        out.print(Text.assemble((entry.name, "bold"), "  ", ("  ".join(facts), "dim")))
        also = f"; also called {', '.join(entry.aliases)}" if entry.aliases else ""
        out.print(Padding(Text(f"{entry.note}{also}"), (0, 0, 0, 4)))
    return EXIT_CONFORMS


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.targets)],
    offline: Offline = False,
) -> int:
    """Print a known template's text."""
    fetched = catalogue.fetch([name], offline=offline)[0]
    if fetched.template is None:
        raise UsageError(fetched.error or f"{name} was not fetched")
    write_bytes(fetched.template.text.encode())
    return EXIT_CONFORMS


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.targets)
    ] = None,
) -> int:
    """Fetch known templates into the cache; all of them when none is named."""
    code = EXIT_CONFORMS
    console = new_console()
    for fetched in catalogue.fetch(names or None):
        if fetched.template is None:
            complain(fetched.error or f"{fetched.entry.name} was not fetched")
            code = EXIT_USAGE
            continue
        word = "was cached" if fetched.from_cache else "fetched"
        say(console, f"{fetched.entry.name}  {word}")
    return code
