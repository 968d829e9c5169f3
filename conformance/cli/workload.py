"""`conformance workload`: the public sets behind realistic conversations, their mix, and one conversation of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from conformance.campaign.settings import Workload
from conformance.cli.console import new_console
from conformance.cli.options import Seed
from conformance.conversation import to_json
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, UnjudgedError, UsageError
from conformance.report.model import REALISTIC
from conformance.report.model import Workload as Record
from conformance.report.terminal import TerminalWriter
from conformance.workload import packages
from conformance.workload.from_log import from_log
from conformance.workload.mix import MIX
from conformance.workload.realistic import Realistic, realistic_case

FUZZ = "fuzz"
_LOG = ".jsonl"
_FETCH = "`conformance workload fetch` gets them"

app = typer.Typer(invoke_without_command=True)


@app.callback()
def _workload(context: typer.Context) -> int:
    return EXIT_CONFORMS if context.invoked_subcommand else list_()


@app.command("list")
def list_() -> int:
    """List the packages that realistic conversations are drawn from, and which are here."""
    out = TerminalWriter(new_console())
    for package in packages.packages():
        here = packages.archive(package) is not None
        state = ("here", "green") if here else ("not here", "yellow")
        out.print(Text.assemble((package.title, "bold"), f"  {package.registry}  {package.licence}  ", state))
        out.print(Padding(Text(package.what), (0, 0, 0, 4)))
    return EXIT_CONFORMS


@app.command()
def fetch() -> int:
    """Fetch the packages with pip and npm into the cache, as archives: nothing of them is installed or run."""
    out, code = TerminalWriter(new_console()), EXIT_CONFORMS
    for package in packages.packages():
        try:
            state = "fetched" if packages.fetch(package) else "here already"
        except UsageError as error:
            state, code = str(error), EXIT_UNJUDGED
        out.print(Text.assemble((package.title, "bold"), f"  {state}"))
    return code


@app.command()
def mix() -> int:
    """Print the mix: how often each thing happens in realistic conversations, and on whose word."""
    out = TerminalWriter(new_console())
    for share in MIX:
        rows = ", ".join(f"{_words(value)} {percent} %" for percent, value in share.rows)
        out.print(Text.assemble((share.what, "bold"), f": {rows}"))
        out.print(Padding(Text(share.why, "dim"), (0, 0, 0, 4)))
    return EXIT_CONFORMS


def _words(value: object) -> str:
    return (
        {True: "yes", False: "no", "": "none"}.get(value, str(value))
        if type(value) is not int
        else str(value)
    )


@app.command()
def show(
    number: Annotated[int, typer.Argument(min=0, metavar="N", help="Which conversation, from 0 on.")],
    seed: Seed = 0,
) -> int:
    """Print realistic conversation number N as a case file."""
    typer.echo(to_json(realistic_case(seed, number)).decode())
    return EXIT_CONFORMS


def chosen(
    name: str | None, *, offline: bool, eager: bool = False, most: int = 2_000
) -> tuple[Workload | None, Record | None]:
    """Return the workload that a run asks for, and its record.

    Without a name it is the realistic one where that is here, or can be had if `eager`. Of a log `most` requests count.

    Raises UnjudgedError when one that was asked for cannot be had, UsageError when there is none of the name.
    """
    if name == FUZZ:
        return None, None
    if name is not None and name.endswith(_LOG):
        log = from_log(Path(name), most)
        return log, Record(name=log.name, left_out=log.left_out)
    if name not in (None, REALISTIC):
        raise UsageError(
            f"There is no workload {name!r}; --workload takes {FUZZ}, {REALISTIC}, or a log of requests (*{_LOG})."
        )
    if name is None and not eager and not packages.is_here():
        return None, Record(name=REALISTIC, missing=f"its public sets are not in the cache; {_FETCH}")
    try:
        obtain(offline=offline)
    except UsageError as error:
        if name is not None:
            raise UnjudgedError(str(error)) from None
        return None, Record(name=REALISTIC, missing=str(error))
    return Realistic(), Record(
        name=REALISTIC, sources={each.title: each.hash for each in packages.packages()}
    )


def obtain(*, offline: bool) -> None:
    """Get the packages that are not here; raises UsageError saying why one cannot be had."""
    for package in packages.packages():
        if packages.archive(package) is None:
            if offline:
                state = "altered" if package.path.exists() else "not"
                raise UsageError(
                    f"{package.title} is {state} in the cache and the network is switched off; {_FETCH}"
                )
            packages.fetch(package)
