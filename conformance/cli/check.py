"""`conformance check`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from conformance.cli.gate_options import BaselineFile, Gate, Ignore, Select, Severities, WriteBaseline
from conformance.cli.options import (
    DEFAULT_ENGINES,
    AtLeast,
    Authority,
    Cards,
    Concurrency,
    Engines,
    Examples,
    FailOnOption,
    Formats,
    Jobs,
    KeepRuns,
    KeyVariable,
    Model,
    Offline,
    OptionalTargets,
    Output,
    Profile,
    Quiet,
    Renderer,
    Seconds,
    Seed,
    Server,
    Shapes,
    Timeout,
    WorkloadName,
)
from conformance.cli.runs import KEPT_RUNS
from conformance.engines.base import GENERATED_LIMITS, engine_names
from conformance.engines.sandbox import prepare
from conformance.errors import UsageError
from conformance.gate.policy import FailOn
from conformance.oracles.authorities import DEFAULT
from conformance.servers import KEY_VARIABLE
from conformance.targets.base import is_address, is_known


def check(
    context: typer.Context,
    targets: OptionalTargets = None,
    command: Renderer = None,
    engine: Engines = None,
    shape: Shapes = None,
    profile: Profile = "harmony",
    authority: Authority = DEFAULT,
    examples: Examples = 2000,
    seconds: Seconds = None,
    at_least: AtLeast = None,
    seed: Seed = 0,
    workload: WorkloadName = None,
    jobs: Jobs = 1,
    cards: Cards = 5,
    format: Formats = None,
    output: Output = None,
    fail_on: FailOnOption = FailOn.error,
    select: Select = None,
    ignore: Ignore = None,
    severity: Severities = None,
    baseline: BaselineFile = None,
    write_baseline: WriteBaseline = False,
    any_family: Annotated[
        bool,
        typer.Option("--any", help="Any family of template: try what must hold for any template."),
    ] = False,
    offline: Offline = False,
    server: Server = None,
    model: Model = None,
    timeout: Timeout = 30.0,
    concurrency: Concurrency = 4,
    api_key_variable: KeyVariable = KEY_VARIABLE,
    quiet: Quiet = False,
    keep_runs: KeepRuns = KEPT_RUNS,
) -> int:
    """Judge templates, running servers or programs: compare with Harmony, show what differs."""
    if not targets and command is None:
        raise UsageError("Name a target, or a program with --command; see `conformance check --help`.")
    gate = Gate(select, ignore, severity, baseline, fail_on, write=write_baseline)
    if any_family:
        from conformance.cli.check_any import run_check_any  # what it reads is needed only here

        sources = {name: context.get_parameter_source(name) for name in context.params}
        # A settings file is for all runs; only what was typed can be wrong for this one.
        given = {
            name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"
        }
        return run_check_any(
            targets or (),
            engines=engine or DEFAULT_ENGINES,
            seed=seed,
            examples=examples if "examples" in given else None,
            unused=sorted(
                given & {"authority", "shape", "profile", "seconds", "at_least", "jobs", "workload"}
            ),
            formats=format or (),
            output=output,
            cards=cards,
            gate=gate,
            offline=offline,
            quiet=quiet,
            keep_runs=keep_runs,
        )
    chosen = engine or DEFAULT_ENGINES
    templates = bool(targets) and not any(is_address(each) or is_known(each) for each in targets or ())
    if templates and len(chosen) == 1 and chosen[0] in engine_names():
        prepare(chosen[0], GENERATED_LIMITS)
    # The engine loads while this process imports what judges.
    from conformance.campaign.settings import Settings
    from conformance.cli.groups import ServerOptions
    from conformance.cli.judging import judge_targets, validate, with_workload
    from conformance.cli.publish import Publisher
    from conformance.cli.targets import all_engines
    from conformance.targets.renderer import open_renderer

    engines, no_engine = all_engines(chosen)
    settings = Settings(
        seed=seed,
        cases=examples,
        profile=profile,
        authority=authority,
        shapes=tuple(shape or ()),
        engines=engines,
        seconds=seconds,
        at_least=at_least,
        jobs=jobs,
    )
    validate(settings)
    settings, weighed = with_workload(settings, workload, offline=offline)
    publisher = Publisher(format or (), output, cards, quiet=quiet, keep_runs=keep_runs)
    servers = ServerOptions(server, model, timeout, concurrency, api_key_variable, profile)
    program = None if command is None else open_renderer(command, limit_s=timeout, readings=profile)
    judged = judge_targets(
        targets or (),
        settings,
        gate,
        publisher,
        servers=servers,
        program=program,
        offline=offline,
        no_engine=no_engine,
        workload=weighed,
    )
    publisher.publish(judged.report, judged.folder)
    return judged.code
