"""The commands by name, and `main`, which runs one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from conformance import __version__
from conformance.cli.guard import guarded
from conformance.cli.interrupt import one_interrupt
from conformance.cli.lazy import HELP_NAMES, Command, help_without_command, lazy_group
from conformance.cli.settings_file import load_settings
from conformance.cli.streams import complain
from conformance.errors import UsageError
from conformance.launch import close_to_others, distrust_current_folder

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
    "report": Command(
        "conformance.cli.report:report",
        "Show kept reports again, in any format; the exit code is that of what they say.",
    ),
    "replay": Command("conformance.cli.replay:replay", "Show a reported case again."),
    "fix": Command(
        "conformance.cli.fix:fix",
        "Repair a template, as far as a campaign before and after proves it; only --in-place changes the target.",
    ),
    "audit": Command(
        "conformance.cli.audit:audit",
        "List where output hangs on a text, the time, chance, a helper or a count, and what testing saw of it.",
    ),
    "upload": Command(
        "conformance.cli.upload:upload",
        "Judge a model folder, and upload it to the Hub only if the gate passes.",
    ),
    "sweep": Command(
        "conformance.cli.sweep:app",
        "Judge many targets on many engines, on many machines, and go on after a kill.",
    ),
    "explain": Command("conformance.cli.explain:explain", "Explain a rule, or list several or all."),
    "settings": Command(
        "conformance.cli.settings:settings",
        "Say which options hold and where each was set; then the readings of the format and the profiles.",
    ),
    "doctor": Command("conformance.cli.doctor:doctor", "Say what works here and how to get the rest."),
    "schema": Command("conformance.cli.schema:schema", "Print the JSON Schema of case files or of reports."),
    "templates": Command("conformance.cli.templates:app", "The catalogue of known public templates."),
    "authorities": Command(
        "conformance.cli.authorities:app", "The libraries that say what is right, and where they differ."
    ),
    "engines": Command("conformance.cli.engines:app", "The programs that execute templates."),
    "workload": Command(
        "conformance.cli.workload:app",
        "Realistic conversations: the public sets, their mix, and one of them.",
    ),
    "renderers": Command(
        "conformance.cli.renderers:app",
        "Programs that make gpt-oss's prompt without a template, and how right they are.",
    ),
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
    context_settings=HELP_NAMES,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"conformance {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="CONFORMANCE_SETTINGS",
            help="Settings file. Default: conformance.toml, or pyproject.toml with [tool.conformance], here or above.",
        ),
    ] = None,
    no_settings: Annotated[bool, typer.Option("--no-settings", help="Read no settings file.")] = False,
) -> None:
    help_without_command(context)
    if settings is not None and no_settings:
        raise UsageError("--settings and --no-settings exclude each other; give one.")
    loaded = load_settings(COMMANDS, settings, context.obj or (), use=not no_settings)
    context.obj = loaded
    context.default_map = loaded.default_map()
    if held := loaded.held.get((context.invoked_subcommand or "",)):
        complain(f"note: {loaded.path} sets {', '.join(each.key for each in held.values())}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Hugging Face libraries announce themselves on standard error otherwise.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    distrust_current_folder()
    close_to_others()
    with one_interrupt():
        given = _settings_first(list(sys.argv[1:] if arguments is None else arguments))
        sys.exit(guarded(lambda: app(given, prog_name="conformance", standalone_mode=False, obj=given)))


def _settings_first(arguments: list[str]) -> list[str]:
    """Move the options about settings before the command, where the parser looks for them."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first: list[str] = []
    rest: list[str] = []
    position = 0
    while position < end:
        word = arguments[position]
        length = 2 if word == "--settings" else 1
        about = word in ("--settings", "--no-settings") or word.startswith("--settings=")
        (first if about else rest).extend(arguments[position : min(position + length, end)])
        position += length
    return [*first, *rest, *arguments[end:]]
