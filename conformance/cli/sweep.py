"""`conformance sweep`: many targets on many engines, kept as they come and resumed after a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.lazy import help_without_command
from conformance.cli.options import DEFAULT_ENGINES, Engines, Jobs, Offline, Seed
from conformance.cli.say import say
from conformance.cli.streams import complain, write_bytes
from conformance.cli.targets import all_engines, check_engines, load_templates
from conformance.errors import EXIT_CONFORMS, UnjudgedError, UsageError
from conformance.oracles.profile import profile as profile_named
from conformance.processes import Processes
from conformance.report.files import read_file
from conformance.sources import Template
from conformance.sweep.report import lines, page
from conformance.sweep.run import pieces
from conformance.sweep.run import run as run_sweep
from conformance.sweep.store import Store
from conformance.sweep.unit import Record

app = typer.Typer(callback=help_without_command, invoke_without_command=True)

Kept = Annotated[Path, typer.Option("--output", metavar="FILE", help="The SQLite file with the records.")]
_FILE = Path("sweep.sqlite")


@app.command("run")
def run_(
    listed: Annotated[
        Path, typer.Argument(metavar="LIST", help="A file with one target a line; # begins a remark.")
    ],
    engine: Engines = None,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", help="Conversations for each target.")
    ] = 500,
    seed: Seed = 0,
    profile: Annotated[str, typer.Option(metavar="NAME", autocompletion=completion.profiles)] = "harmony",
    jobs: Jobs = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="A Dask scheduler, whose workers judge instead of this machine."
        ),
    ] = None,
    output: Kept = _FILE,
    offline: Offline = False,
) -> int:
    """Judge every target of a list on every engine; what the file holds already is not judged again."""
    if examples < 1 or jobs < 1:
        raise UsageError("--examples and --jobs are at least 1.")
    profile_named(profile)
    engines, _ = all_engines(engine or DEFAULT_ENGINES)
    check_engines(engines)
    templates = _templates(listed, offline=offline)
    settings = {"seed": str(seed), "examples": str(examples), "profile": profile}
    with Store(output, settings) as store:
        done = store.done()
        todo = [
            (each, name)
            for name in engines
            for each in templates
            if (each.name, name, each.sha256) not in done
        ]
        say(new_console(), f"{len(templates):,} templates on {len(engines)} engines: {len(todo):,} to judge")
        begin, count = time.monotonic(), 0

        def told(records: Sequence[Record]) -> None:
            nonlocal count
            count += len(records)
            say(new_console(stderr=True), f"{count:,} of {len(todo):,}")

        waiting = pieces(templates, engines, done, seed=seed, cases=examples, profile=profile)
        with _executor(jobs, scheduler) as (executor, workers):
            run_sweep(waiting, store, executor, workers, told)
        took = time.monotonic() - begin
        rate = f", {count / took:.2f} a second" if count else ""
        say(
            new_console(),
            f"{count:,} judged in {took:.0f} s{rate}: `conformance sweep report --output {output}`",
        )
    return EXIT_CONFORMS


@app.command("report")
def report(
    output: Kept = _FILE,
    json: Annotated[bool, typer.Option("--json", help="All records as lines of JSON.")] = False,
) -> int:
    """Summarise what a sweep found so far: the same records give the same bytes."""
    with Store(output) as store:
        found = list(store.records())
        written = lines(found) if json else page(found, store.settings).encode()
    write_bytes(written)
    return EXIT_CONFORMS


def _templates(listed: Path, *, offline: bool) -> list[Template]:
    """Return the templates of a list, each text once; what cannot be read is said and left out.

    Raises UsageError when none can be read.
    """
    try:
        asked = read_file(listed).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{listed} is no UTF-8 text: {error}.") from None
    targets = [
        line.strip() for line in asked.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    if not targets:
        raise UsageError(f"{listed} names no target; write one a line.")
    templates, left_out = load_templates(targets, offline=offline)
    for left in left_out:
        complain(f"{left.name} was left out: {left.reason}")
    seen: dict[tuple[str, str], Template] = {}
    for template in templates:
        seen.setdefault((template.name, template.sha256), template)
    return sorted(seen.values(), key=lambda each: (each.name, each.sha256))


@contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """Yield what judges, and how many pieces at once: processes here, or the workers of a Dask scheduler."""
    if scheduler is None:
        processes = Processes(jobs)
        try:
            yield processes, jobs
            processes.shutdown()
        finally:
            processes.kill()
        return
    try:
        from distributed import Client
    except ImportError:
        raise UnjudgedError(
            "A scheduler needs Dask; run `python -m pip install 'chat-template-conformance[dask]'`."
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise UnjudgedError(f"No Dask scheduler answers at {scheduler}: {error}.") from None
    with client:
        workers = len(client.scheduler_info()["workers"])
        yield client.get_executor(pure=False, retries=3), max(workers, 1)
