"""`conformance renderers`: programs that make the prompt themselves, installed apart and compared on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.judging import validate
from conformance.cli.lazy import help_without_command
from conformance.cli.options import Seed
from conformance.cli.say import say
from conformance.cli.streams import complain
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.renderers.environments import command as command_of
from conformance.renderers.environments import fetch as install
from conformance.renderers.environments import installed
from conformance.renderers.known import find, known
from conformance.report.terminal import TerminalWriter

app = typer.Typer(callback=help_without_command, invoke_without_command=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.renderers)]


@app.command("list")
def list_() -> int:
    """List the renderers: which are installed, and how to get the others."""
    out = TerminalWriter(new_console())
    for entry in known().values():
        here = installed(entry)
        state = "missing" if here is None else "ok" if here.own else "ok, an environment of yours"
        out.print(
            Text.assemble(
                (entry.name, "bold"), f"  {entry}  ", (state, "yellow" if here is None else "green"),
                (f"  {entry.home}", "dim"),
            )
        )  # fmt: skip
        how = entry.what + (f". Installed alone: {entry.why}" if entry.alone else "")
        out.print(Padding(Text(how), (0, 0, 0, 4)))
        if here is None:
            hint = f"`conformance renderers fetch {entry.name}` ({entry.size})"
            out.print(Padding(Text(hint), (0, 0, 0, 4)))
    return EXIT_CONFORMS


@app.command()
def fetch(
    names: Names = None,
    python: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The Python of an environment of yours that has the package; nothing is installed.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The Python to make environments with. Default: this one, or a newer one."
        ),
    ] = None,
) -> int:
    """Install renderers with pip or npm, each into an environment of its own in the cache; all when none is named."""
    entries = [find(name) for name in dict.fromkeys(names or known())]
    if python is not None and len(entries) != 1:
        raise UsageError("--python belongs to one renderer; name it.")
    code = EXIT_CONFORMS
    for entry in entries:
        try:
            word = "ready" if install(entry, python, base=base) else "was installed"
        except UsageError as error:
            complain(f"{entry.name}: {error}")
            code = EXIT_USAGE
        else:
            say(new_console(), f"{entry.name}  {word}")
    return code


@app.command()
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.renderers)],
) -> int:
    """Print the command line that asks an installed renderer, as `check --command` takes it."""
    typer.echo(command_of(find(name)))
    return EXIT_CONFORMS


@app.command()
def report(
    names: Names = None,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", help="How many conversations each is given.")
    ] = 300,
    seed: Seed = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where renderers.md and renderers.json are written.")
    ] = None,
) -> int:
    """Judge renderers on the same conversations and print who is right, under which reading; all when none is named."""
    from conformance.campaign.renderers import compare
    from conformance.campaign.settings import Settings
    from conformance.report.files import make_folder, write_file
    from conformance.report.renderers_page import page_json, page_markdown

    settings = Settings(seed=seed, cases=examples)
    validate(settings)
    entries = [find(name) for name in dict.fromkeys(names or known())]
    if output is not None:
        make_folder(output)
    console = new_console()
    with TerminalWriter(console).progress() as advance:
        found = compare(entries, settings, advance)
    page = page_markdown(found)
    console.print(page, markup=False, highlight=False, soft_wrap=True, end="")
    for row in found.rows:
        if row.error:
            complain(f"{row.name}: {row.error}")
    if output is not None and found.complete:
        write_file(output / "renderers.md", page.encode())
        write_file(output / "renderers.json", page_json(found))
    # Unknown is not pass: who could not be asked was not judged.
    return EXIT_CONFORMS if found.complete and not any(row.error for row in found.rows) else EXIT_UNJUDGED
