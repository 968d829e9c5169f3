"""Arguments and options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from conformance.cli import completion
from conformance.gate.policy import FailOn

# What every user has.
DEFAULT_ENGINES = ("transformers",)


_TARGETS_HELP = (
    "A .jinja file, a model folder, a .gguf file, hf://org/name[@revision], "
    "wheel://package==version/path, a catalogue name, the http(s):// address of a running server, or renderer:NAME "
    "(`conformance renderers list`)."
)
Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET...",
        autocompletion=completion.targets,
        help=_TARGETS_HELP,
    ),
]
OptionalTargets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TARGET]", autocompletion=completion.targets, help=_TARGETS_HELP),
]
Renderer = Annotated[
    str | None,
    typer.Option(
        "--command", metavar="COMMAND", help="A program as target: reads lines of JSON, writes one for each."
    ),
]
Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", autocompletion=completion.targets, help="As for `conformance check`."),
]
Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        autocompletion=completion.engines,
        help="Engine to render with; repeatable; `all` takes every one. Default: transformers.",
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME",
        autocompletion=completion.shapes,
        help="Shape to hand conversations over in; repeatable; `all` takes every one. Default: that of the engine's "
        "own server, else hf and openai.",
    ),
]
Profile = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=completion.profiles,
        help="How the format is read where it is contested: a profile, SETTING=VALUE,… or a .toml file "
        "(`conformance settings` lists them).",
    ),
]
Authority = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=completion.authorities,
        help="Whose library says what is right; `conformance authorities` lists them.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="PROTOCOL",
        autocompletion=completion.protocols,
        help="How an http(s):// target is asked for its prompt. Default: recognised.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Model to ask a server for. Default: the first that it names."),
]
Timeout = Annotated[float, typer.Option(metavar="S", help="Seconds that a server's answer may take.")]
Concurrency = Annotated[int, typer.Option(metavar="N", help="Requests to a server at once.")]
KeyVariable = Annotated[
    str,
    typer.Option(
        "--api-key-variable", metavar="NAME", help="Environment variable that holds a server's API key."
    ),
]
Examples = Annotated[int, typer.Option("--examples", metavar="N", help="How many conversations to generate.")]
Seconds = Annotated[float | None, typer.Option(metavar="S", help="End after so many seconds.")]
AtLeast = Annotated[
    int | None,
    typer.Option(
        "--at-least",
        metavar="N",
        help="With --seconds: so many conversations are enough for a verdict; else all of --examples must be judged.",
    ),
]
WorkloadName = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="NAME",
        autocompletion=completion.workloads,
        help="Real use that findings are weighed with: realistic (public sets of tools and dialogues), a log of "
        "requests (FILE.jsonl), or fuzz for none. Default: realistic where its sets are in the cache.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the generator.")]
Jobs = Annotated[int, typer.Option(metavar="N", help="Processes that judge.")]
FailOnOption = Annotated[
    FailOn, typer.Option("--fail-on", help="From which severity or which impact on to exit with 1.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME[=FILE]",
        autocompletion=completion.formats,
        help="Report format on standard output, or in a file; repeatable. Default: terminal.",
    ),
]
Output = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for reports and event log.")]
Cards = Annotated[int, typer.Option(metavar="N", help="Failure cards to print for each target.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", help="Print nothing but what went wrong; the exit code and the files tell."
    ),
]
KeepRuns = Annotated[
    int,
    typer.Option(
        "--keep-runs", metavar="N", help="Runs to keep, this one among them; older ones are removed."
    ),
]
Plain = Annotated[bool, typer.Option("--plain", help="Plain text, as into a pipe.")]
