"""The command line. Commands import what they need when they run: `--help` must not wait for transformers."""

from __future__ import annotations

import enum
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conformance import __version__
from conformance.cli import completion
from conformance.cli.authorities import app as authorities_app
from conformance.cli.engines import app as engines_app
from conformance.cli.interrupt import one_interrupt
from conformance.cli.options import (
    Authority,
    Engines,
    Examples,
    FailOn,
    Jobs,
    Offline,
    Plain,
    Profile,
    Seconds,
    Seed,
    Shapes,
    Target,
    Targets,
)
from conformance.cli.streams import complain, steady_stdout
from conformance.cli.vectors import app as vectors_app
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, ConformanceError
from conformance.launch import distrust_current_folder
from conformance.precision.cli import app as precision_app

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="Does a chat template put the tokens before gpt-oss that OpenAI's Harmony library would?",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    # Plain help: it can be piped, and square brackets in it are brackets.
    rich_markup_mode=None,
)
templates_app = typer.Typer(help="The catalogue of known public templates.", invoke_without_command=True)
app.add_typer(templates_app, name="templates")
app.add_typer(authorities_app, name="authorities")
app.add_typer(engines_app, name="engines")
app.add_typer(precision_app, name="precision")
app.add_typer(vectors_app, name="vectors")


class Schema(enum.StrEnum):
    """The published JSON Schemas."""

    case = "case"
    report = "report"


def _console() -> Console:
    from rich.console import Console

    return Console()


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(EXIT_USAGE)


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
    _help_without_command(context)


@templates_app.callback()
def _templates(context: typer.Context) -> None:
    _help_without_command(context)


@app.command()
def check(
    context: typer.Context,
    targets: Targets,
    engine: Engines = None,
    shape: Shapes = None,
    profile: Profile = "harmony",
    authority: Authority = "openai-harmony",
    examples: Examples = 2000,
    seconds: Seconds = None,
    seed: Seed = 0,
    jobs: Jobs = 1,
    cards: Annotated[int, typer.Option(metavar="N", help="Failure cards to print for each target.")] = 5,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            autocompletion=completion.formats,
            help="Report format; repeatable. Default: terminal.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for reports and event log.")
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="From which severity on to exit with 1.")] = FailOn.error,
    any_family: Annotated[
        bool,
        typer.Option("--any", help="Any family of template: try the properties that need no oracle."),
    ] = False,
    offline: Offline = False,
) -> None:
    """Judge templates: generate conversations, compare with Harmony, show what differs."""
    engines = tuple(dict.fromkeys(engine or ("transformers",)))
    formats = tuple(dict.fromkeys(format or ("terminal",)))
    if any_family:
        from conformance.cli.check_any import run_check_any

        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}
        raise typer.Exit(
            run_check_any(
                targets,
                engines=engines,
                seed=seed,
                examples=examples if "examples" in given else None,
                unused=sorted(given & {"authority", "shape", "profile", "seconds", "jobs"}),
                formats=formats,
                output=output,
                cards=max(cards, 0),
                fail_on=fail_on.value,
                offline=offline,
                console=_console(),
            )
        )
    from conformance.campaign.runner import Settings
    from conformance.cli.check import run_check

    settings = Settings(
        seed=seed,
        cases=examples,
        profile=profile,
        authority=authority,
        shapes=tuple(shape or ()),
        engines=engines,
        seconds=seconds,
        jobs=jobs,
    )
    raise typer.Exit(
        run_check(
            targets,
            settings,
            formats=formats,
            output=output,
            cards=max(cards, 0),
            fail_on=fail_on.value,
            offline=offline,
            console=_console(),
        )
    )


@app.command()
def scoreboard(
    engine: Engines = None,
    examples: Examples = 2000,
    seed: Seed = 0,
    profile: Profile = "harmony",
    authority: Authority = "openai-harmony",
    jobs: Jobs = 1,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the scoreboard is written.")] = Path(
        "reports"
    ),
    offline: Offline = False,
) -> None:
    """Judge the whole catalogue and write scoreboard.md and scoreboard.json."""
    from conformance.campaign.runner import Settings
    from conformance.cli.check import run_scoreboard

    engines = tuple(dict.fromkeys(engine or ("transformers",)))
    settings = Settings(
        seed=seed, cases=examples, profile=profile, authority=authority, engines=engines, jobs=jobs
    )
    raise typer.Exit(run_scoreboard(settings, output=output, offline=offline, console=_console()))


@app.command()
def diff(
    target: Target,
    case: Annotated[
        Path,
        typer.Option(
            "--case", metavar="FILE", help="A case, or an OpenAI chat-completions request, as JSON."
        ),
    ],
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=completion.shapes, help="Shape to hand the conversation over in."
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", autocompletion=completion.engines, help="Engine to render with.")
    ] = "transformers",
    profile: Profile = "harmony",
    authority: Authority = "openai-harmony",
    plain: Plain = False,
    offline: Offline = False,
) -> None:
    """Show one conversation as Harmony and as a template write it."""
    from conformance.campaign.runner import Settings
    from conformance.cli.check import validate
    from conformance.cli.common import one_template
    from conformance.cli.one_case import run_diff
    from conformance.importers import read_case

    validate(
        Settings(engines=(engine,), shapes=(shape,) if shape else (), profile=profile, authority=authority)
    )
    template, read = one_template(target, offline=offline), read_case(case)
    raise typer.Exit(
        run_diff(
            template,
            read,
            shape_name=shape,
            engine=engine,
            profile=profile,
            plain=plain,
            offline=offline,
            authority=authority,
            console=_console(),
        )
    )


@app.command()
def replay(
    case: Annotated[
        str, typer.Argument(metavar="CASE_ID|FILE", help="An id from a failure card, or a case file.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="The target, where several show the case.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run to look in; default the newest.")
    ] = None,
    plain: Plain = False,
    offline: Offline = False,
) -> None:
    """Show a reported case again."""
    from conformance.cli.one_case import run_replay

    raise typer.Exit(
        run_replay(case, target=target, run=run, plain=plain, offline=offline, console=_console())
    )


@app.command()
def fix(
    target: Target,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where the repaired template or GGUF file is written."
        ),
    ] = None,
    examples: Examples = 2000,
    seed: Seed = 0,
    offline: Offline = False,
) -> None:
    """Repair a template, as far as a campaign before and after proves it; the target itself is never changed."""
    from conformance.campaign.runner import Settings
    from conformance.cli.fix import run_fix

    settings = Settings(seed=seed, cases=examples)
    raise typer.Exit(run_fix(target, settings, output=output, offline=offline, console=_console()))


@app.command()
def explain(
    slug: Annotated[
        str | None,
        typer.Argument(metavar="[SLUG]", autocompletion=completion.rules, help="A rule's slug or code."),
    ] = None,
) -> None:
    """Explain a rule, or list them all."""
    from conformance.cli.info import run_explain

    raise typer.Exit(run_explain(slug, _console()))


@templates_app.command("list")
def templates_list() -> None:
    """List the known templates."""
    from conformance.cli.info import run_templates_list

    raise typer.Exit(run_templates_list(_console()))


@templates_app.command("show")
def templates_show(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.targets)],
    offline: Offline = False,
) -> None:
    """Print a known template's text."""
    from conformance.cli.info import run_templates_show

    raise typer.Exit(run_templates_show(name, offline=offline))


@templates_app.command("fetch")
def templates_fetch(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=completion.targets)
    ] = None,
) -> None:
    """Fetch known templates into the cache; all of them when none is named."""
    from conformance.cli.info import run_templates_fetch

    raise typer.Exit(run_templates_fetch(names or [], _console()))


@app.command()
def settings() -> None:
    """List the readings of the format, on whose word each stands, and the profiles made of them."""
    from conformance.cli.info import run_settings

    raise typer.Exit(run_settings(_console()))


@app.command()
def doctor() -> None:
    """Say what works here and how to get the rest."""
    from conformance.cli.info import run_doctor

    raise typer.Exit(run_doctor(_console()))


@app.command()
def schema(which: Schema) -> None:
    """Print the JSON Schema of case files or of reports."""
    from conformance.cli.info import run_schema

    raise typer.Exit(run_schema(which.value))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what one sentence explains is that sentence, never a traceback."""
    # Hugging Face libraries announce themselves on standard error otherwise.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    distrust_current_folder()
    with one_interrupt():
        sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with steady_stdout():
            code = app(arguments, prog_name="conformance", standalone_mode=False)
    except ConformanceError as error:
        complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except _ClickException as error:
        complain(_wrong_usage(error))
        return EXIT_USAGE
    except Exception as error:  # a fault of ours is no verdict on a template: 1 would say that it diverges
        if os.environ.get("CONFORMANCE_TRACEBACK"):
            raise
        complain(_unforeseen(error))
        return EXIT_UNJUDGED
    if code == _INTERRUPTED:
        complain("interrupted, and nothing is reported")
        return EXIT_UNJUDGED
    return code or EXIT_CONFORMS


# What typer makes of Ctrl-C.
_INTERRUPTED = 130
# Newer versions of typer carry a click of their own, older ones use the package: ask the class.
_ClickException: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


def _unforeseen(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return (
        f"this is a fault of conformance, and nothing was judged: {said} ({Path(last.filename).name}, line "
        f"{last.lineno}); please report it with what CONFORMANCE_TRACEBACK=1 shows"
    )


def _wrong_usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    command = context.command_path if context is not None else "conformance"
    return f"{message.rstrip(' .')}; see `{command} --help`"
