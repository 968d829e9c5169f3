"""`conformance precision`: the command line. torch is imported only when a run starts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from conformance.cli.console import new_console
from conformance.cli.guard import guarded
from conformance.errors import UnjudgedError, UsageError
from conformance.precision.config import SHORT, Config
from conformance.precision.config import Progress as Report
from conformance.precision.run.isolate import start_server

if TYPE_CHECKING:
    from conformance.precision.report import PrecisionReport

INSTALL = 'pip install "chat-template-conformance[precision]", or in a clone python -m nox -s precision'
FILES = ("precision.json", "report.json")
app = typer.Typer(
    help="Does an MoE forward pass, in this precision and on this device, compute what the weights say?",
    no_args_is_help=False,
)


def require_torch() -> None:
    """Raise UnjudgedError with the command to install torch when it is missing."""
    if find_spec("torch") is None:
        raise UnjudgedError(f"precision is UNSUPPORTED here, because torch is not installed: {INSTALL}")


@app.callback(invoke_without_command=True)
def precision(
    context: typer.Context,
    preset: Annotated[str | None, typer.Option(help="gpt-oss-20b, gpt-oss-120b, tiny or tiny-256")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="a folder of safetensors, or a .gguf file")] = None,
    activations: Annotated[
        Path | None, typer.Option(help="a .safetensors of hidden states that a model was given")
    ] = None,
    stored: Annotated[
        str,
        typer.Option(help="hold synthetic weights in NF4, Q4_K, Q8_0, …: those numbers are then the truth"),
    ] = "",
    path: Annotated[list[str] | None, typer.Option(help="a path under test; NAME* matches the rest")] = None,
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            help="your own: FILE.py:FUNCTION, package.module:function or an adapter (docs/kernels.md)"
        ),
    ] = None,
    declare: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of a kernel's declaration, over the file's own")
    ] = None,
    regime: Annotated[list[str] | None, typer.Option(help="a kind of input")] = None,
    layer: Annotated[list[int] | None, typer.Option(help="a layer of the checkpoint (default 0)")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="tokens of a regime that sets no number")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**48, help="the same seed gives the same run on the same device")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="repeat every regime with this many seeds")] = 1,
    depth: Annotated[int | None, typer.Option(min=0, help="layers of the stack; 0: none")] = None,
    sweep: Annotated[
        bool | None,
        typer.Option("--sweep/--no-sweep", help="every token count to 32, powers of two ± 1 to 4,096"),
    ] = None,
    isolation: Annotated[
        str, typer.Option(help="shared: other people's paths have a process each; each: every path; none")
    ] = "shared",
    limit_s: Annotated[
        float, typer.Option(min=1, help="seconds a path may take on one kind of input before it is ended")
    ] = 180.0,
    selftest: Annotated[bool, typer.Option("--selftest", help="plant faults: are they caught?")] = False,
    exposures: Annotated[
        bool,
        typer.Option(
            "--exposures/--no-exposures", help="of the self-test: faults staged and fused (minutes)"
        ),
    ] = True,
    timing: Annotated[
        bool, typer.Option("--timing", help="time the Triton path against others (GPU)")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit 1 also for what the formats imply")] = False,
    short: Annotated[bool, typer.Option("--short", help="a few seconds: tiny layer, few paths")] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help="terminal or json")] = "terminal",
    output: Annotated[Path | None, typer.Option(help="folder for precision.json and plots")] = None,
) -> None:
    """Judge precision paths of the gpt-oss MoE layer against a certified float32 reference."""
    if context.invoked_subcommand:
        return
    chosen = {
        "--preset": preset, "--tokens": tokens, "--checkpoint": checkpoint, "--path": path, "--regime": regime,
        "--layer": layer, "--seeds": seeds > 1, "--depth": depth is not None, "--timing": timing,
        "--selftest": selftest, "--kernel": kernel, "--declare": declare, "--sweep": sweep,
        "--activations": activations, "--stored": stored,
    }  # fmt: skip
    without_effect: list[str] = []
    if short:
        why = "--short makes its own choice"
        without_effect = [name for name, value in chosen.items() if value]
        config = replace(SHORT, seed=seed, device=device)
    else:
        if selftest:
            why = "--selftest plants its faults into synthetic weights and chooses their inputs"
            own = ("--preset", "--tokens", "--selftest")
            without_effect = [name for name, value in chosen.items() if value and name not in own]
        elif stored and checkpoint:
            why, without_effect = "a checkpoint has its own format", ["--stored"]
        elif layer and not checkpoint:
            why, without_effect = "synthetic weights have one layer", ["--layer"]
        elif declare and not kernel:
            why, without_effect = "a declaration belongs to a kernel", ["--declare"]
        config = Config(
            preset=preset,
            checkpoint=checkpoint,
            activations=activations,
            stored=stored,
            paths=tuple(path or ()),
            regimes=tuple(regime or ()),
            layers=tuple(layer or (0,)),
            tokens=tokens,
            seed=seed,
            seeds=seeds,
            kernels=tuple(kernel or ()),
            declare=tuple(declare or ()),
            depth=0 if kernel and not path and depth is None else depth,
            sweep=bool(kernel) if sweep is None else sweep,
            selftest=selftest,
            exposures=exposures,
            timing=timing,
            device=device,
        )
    config = replace(config, isolation=isolation, limit_s=limit_s)
    if without_effect:
        raise typer.Exit(_refuse(f"{why}, so that {without_effect[0]} has no effect: leave one out"))
    raise typer.Exit(guarded(lambda: _run(config, output_format, output, strict)))


def _refuse(sentence: str) -> int:
    def usage() -> int:
        raise UsageError(sentence)

    return guarded(usage)


def _run(config: Config, output_format: str, output: Path | None, strict: bool) -> int:
    if output_format not in ("terminal", "json"):
        raise UsageError(f"--format {output_format!r} is not known: choose terminal or json")
    if config.isolation not in ("none", "shared", "each"):
        raise UsageError(f"--isolation {config.isolation!r} is not known: choose shared, each or none")
    for item in config.declare:
        if "=" not in item:
            raise UsageError(f"--declare {item!r}: write KEY=VALUE, such as hidden_as=mxfp8")
    if config.preset and config.checkpoint:
        raise UsageError("--preset and --checkpoint exclude each other: a checkpoint has its own dimensions")
    require_torch()
    if output:
        _make_folder(output)  # before the run, whose result it would lose
    if config.isolation != "none" and not config.selftest:
        start_server()  # before torch is imported here, which takes as long there
    from conformance.precision.view.terminal import render

    report = run_with_progress(config)
    if output:
        try:
            _write(report, output)
        except OSError as error:  # the terminal, or standard output, still has everything
            print(f"--output {output}: not all was written ({error.strerror})", file=sys.stderr)
    if output_format == "json":
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        render(report, new_console(markup=False), strict)
    return report.exit_code(strict)


def _write(report: PrecisionReport, folder: Path) -> None:
    from conformance.precision.view.plots import write_plots

    own, shared = (folder / name for name in FILES)
    report.write(own)
    common = json.dumps(report.to_common(), ensure_ascii=False, indent=1)
    shared.write_text(common + "\n", encoding="utf-8")
    if find_spec("matplotlib") is None:
        if report.depth or report.histograms:
            print("no plots: matplotlib is not installed", file=sys.stderr)
    else:
        write_plots(report, folder)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: no folder can be made there ({error.strerror})") from None
    for name in FILES:
        if (folder / name).is_dir():
            raise UsageError(f"--output {folder}: {name} is a folder there; remove it, or choose another")


def run_with_progress(config: Config) -> PrecisionReport:
    """Run with a progress line on standard error, which stays out of pipes."""
    from conformance.precision.run.run import run

    with _progress() as report_progress:
        return run(config, report_progress)


@contextmanager
def _progress() -> Iterator[Report]:
    console = new_console(stderr=True)
    columns = (SpinnerColumn(), BarColumn(20), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="a folder of safetensors, or a .gguf file")],
    b: Annotated[Path, typer.Argument(help="the other one")],
    output_format: Annotated[str, typer.Option("--format", help="terminal or json")] = "terminal",
) -> None:
    """Tell whether two checkpoints are the same numbers after dequantisation, tensor by tensor."""
    raise typer.Exit(guarded(lambda: _compare(a, b, output_format)))


@app.command()
def attention(
    preset: Annotated[str | None, typer.Option(help="gpt-oss or tiny")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**40)] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="repeat every kind of input with this many seeds")] = 1,
    tokens: Annotated[int | None, typer.Option(min=1, help="default: three windows")] = None,
    selftest: Annotated[bool, typer.Option("--selftest", help="plant faults: are they caught?")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit 1 also for what the formats imply")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N")] = None,
    output_format: Annotated[str, typer.Option("--format", help="terminal or json")] = "terminal",
    output: Annotated[Path | None, typer.Option(help="folder for precision.json")] = None,
) -> None:
    """Judge attention (norm, YaRN, sinks, window, grouped heads) against a float64 reference."""

    def work() -> int:
        if output_format not in ("terminal", "json"):
            raise UsageError(f"--format {output_format!r} is not known: choose terminal or json")
        require_torch()
        if output:
            _make_folder(output)
        from conformance.precision.attention.run import run_attention
        from conformance.precision.attention.view import render_attention

        with _progress() as report_progress:
            report = run_attention(preset, device, seed, seeds, tokens, selftest, report_progress)
        report.command = _attention_command(preset, seed, seeds, tokens, selftest, device)
        if output:
            report.write(output / FILES[0])
        if output_format == "json":
            print(json.dumps(report.to_dict(), ensure_ascii=False))
        else:
            render_attention(report, new_console(markup=False), strict)
        return report.exit_code(strict)

    raise typer.Exit(guarded(work))


def _attention_command(
    preset: str | None, seed: int, seeds: int, tokens: int | None, selftest: bool, device: str | None
) -> str:
    given = {"--preset": preset, "--seed": seed or None, "--seeds": seeds if seeds > 1 else None, "--tokens": tokens,
             "--device": device}  # fmt: skip
    words = ["conformance", "precision", "attention"]
    words += [str(w) for name, value in given.items() if value is not None for w in (name, value)]
    return " ".join(words + ["--selftest"] * selftest)


@app.command()
def explain(
    word: Annotated[
        str, typer.Argument(help="a verdict, a regime, a stage, a term; or verdicts, regimes, …")
    ],
) -> None:
    """Say what a word of the report means."""

    def work() -> int:
        require_torch()
        from conformance.precision.view.words import explain as explained

        for name, text in explained(word):
            new_console(markup=False).print(f"{name}: {text}")
        return 0

    raise typer.Exit(guarded(work))


def _compare(a: Path, b: Path, output_format: str) -> int:
    if output_format not in ("terminal", "json"):
        raise UsageError(f"--format {output_format!r} is not known: choose terminal or json")
    require_torch()
    from conformance.precision.checkpoints.compare import compare as compare_checkpoints
    from conformance.precision.view.compare_view import render_comparison

    with _progress() as report_progress:
        found = compare_checkpoints(a, b, report_progress)
    if output_format == "json":
        print(json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False))
    else:
        render_comparison(found, new_console(markup=False))
    return found.exit_code()


def main() -> None:
    """Run the command line on its own: `python -m conformance.precision`."""
    sys.exit(guarded(lambda: app(prog_name="conformance precision", standalone_mode=False)))
