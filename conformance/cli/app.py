"""The commands by name, and `main`, which runs one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from conformance import __version__
from conformance.cli.guard import guarded
from conformance.cli.interrupt import one_interrupt
from conformance.cli.lazy import Command, help_without_command, lazy_group
from conformance.launch import distrust_current_folder

COMMANDS = {
    "check": Command(
        "conformance.cli.check:check",
        "Judge templates, running servers or programs: compare with Harmony, show what differs.",
    ),
    "scoreboard": Command(
        "conformance.cli.scoreboard:scoreboard",
        "Judge the whole catalogue and write scoreboard.md and scoreboard.json.",
    ),
    "compare": Command(
        "conformance.cli.compare:compare",
        "Judge two versions of a template alike and print what changed as Markdown; exit code 1 when NEW is worse.",
    ),
    "diff": Command(
        "conformance.cli.diff:diff", "Show one conversation as Harmony and as a target write it."
    ),
    "requests": Command(
        "conformance.cli.requests:requests", "Judge logged requests as they were sent, one body on each line."
    ),
    "replay": Command("conformance.cli.replay:replay", "Show a reported case again."),
    "fix": Command(
        "conformance.cli.fix:fix",
        "Repair a template, as far as a campaign before and after proves it; the target itself is never changed.",
    ),
    "explain": Command("conformance.cli.explain:explain", "Explain a rule, or list them all."),
    "settings": Command(
        "conformance.cli.settings:settings",
        "List the readings of the format, on whose word each stands, and the profiles made of them.",
    ),
    "doctor": Command("conformance.cli.doctor:doctor", "Say what works here and how to get the rest."),
    "schema": Command("conformance.cli.schema:schema", "Print the JSON Schema of case files or of reports."),
    "templates": Command("conformance.cli.templates:app", "The catalogue of known public templates."),
    "authorities": Command(
        "conformance.cli.authorities:app", "The libraries that say what is right, and where they differ."
    ),
    "engines": Command("conformance.cli.engines:app", "The programs that execute templates."),
    "precision": Command(
        "conformance.precision.cli:app",
        "Does an MoE forward pass, in this precision and on this device, compute what the weights say?",
    ),
    "vectors": Command(
        "conformance.cli.vectors:app",
        "Language-neutral test vectors, and the check of any renderer against them.",
    ),
}

app = typer.Typer(
    help="Does a chat template put the tokens before gpt-oss that OpenAI's Harmony library would?",
    cls=lazy_group(COMMANDS),
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    # Plain help: it can be piped, and square brackets in it are brackets.
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"conformance {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    help_without_command(context)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Hugging Face libraries announce themselves on standard error otherwise.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    distrust_current_folder()
    with one_interrupt():
        sys.exit(guarded(lambda: app(arguments, prog_name="conformance", standalone_mode=False)))
