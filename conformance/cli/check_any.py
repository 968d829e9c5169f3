"""`conformance check --any`: the properties that need no oracle, on templates of any family."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from conformance.campaign import assemble
from conformance.checks.examine import examine, target
from conformance.checks.family import probes
from conformance.checks.hosts import open_hosts
from conformance.checks.probe import Probe
from conformance.cli.gate_options import Gate
from conformance.cli.publish import Publisher
from conformance.cli.streams import complain
from conformance.cli.targets import all_engines, check_engines, load_templates
from conformance.engines.base import CASE_LIMITS
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.gate.exits import exit_code
from conformance.report.model import Report, Run, Target
from conformance.report.terminal import TerminalWriter
from conformance.sources import Template

DEFAULT_GENERATED = 40
# The profile's place in a report that no oracle took part in.
NO_PROFILE = "any"


def run_check_any(
    targets: Sequence[str],
    *,
    engines: Sequence[str],
    seed: int,
    examples: int | None,
    unused: Sequence[str],
    formats: Sequence[str],
    output: Path | None,
    cards: int,
    gate: Gate,
    offline: bool,
    quiet: bool,
    keep_runs: int,
) -> int:
    """Try all properties on the targets, write the reports asked for, and return the exit code.

    `examples` is how many generated conversations are tried beside the hand-built ones; `unused` are
    options that were given and that only the comparison with the oracle has.
    """
    engines, no_engine = all_engines(engines)
    _validate(engines, seed, examples, unused)
    tried = probes(seed, DEFAULT_GENERATED if examples is None else examples)
    publisher = Publisher(formats, output, cards, quiet=quiet, keep_runs=keep_runs)
    templates, left_out = load_templates(targets, offline=offline)
    for left in left_out:
        complain(left.reason)
    begin = time.monotonic()
    found = _examine(templates, tried, engines, publisher.console, shown=publisher.shows)
    report = Report(
        tool=assemble.tool_info(),
        environment=assemble.environment(),
        run=Run(
            seed=seed,
            profile=NO_PROFILE,
            elapsed_s=round(time.monotonic() - begin, 3),
            cases=max((one.cases.total for one in found), default=0),
            complete=True,
            directory=os.getcwd(),
        ),
        targets=found,
        left_out=[*left_out, *no_engine],
    )
    report = gate.apply(report)
    publisher.publish(report, publisher.folder(templates[0].name))
    # Unknown is not pass: who asked for all engines did not get all.
    unknown = EXIT_UNJUDGED if no_engine else EXIT_CONFORMS
    return max(exit_code(report), gate.exit_code(report), EXIT_USAGE if left_out else EXIT_CONFORMS, unknown)


def _validate(engines: Sequence[str], seed: int, examples: int | None, unused: Sequence[str]) -> None:
    if unused:
        raise UsageError(
            f"--{unused[0].replace('_', '-')} is for the comparison with Harmony; leave it out, or leave out --any."
        )
    if examples is not None and examples < 0:
        raise UsageError(f"--examples is {examples}; give 0 or more.")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give 0 or more.")
    check_engines(engines)


def _examine(
    templates: Sequence[Template],
    tried: Sequence[Probe],
    engines: Sequence[str],
    console: Console,
    *,
    shown: bool,
) -> list[Target]:
    """Examine each text once; templates with the same text are aliases of the first."""
    unique: dict[str, list[Template]] = {}
    for template in templates:
        unique.setdefault(template.sha256, []).append(template)
    found: list[Target] = []
    with ExitStack() as stack:
        hosts, mask_host = stack.enter_context(open_hosts(engines, CASE_LIMITS))
        bars = TerminalWriter(console if shown else Console(quiet=True))
        advance = stack.enter_context(bars.progress())
        for first, *others in unique.values():
            name, total = first.name, len(tried) * len(hosts)
            examined = examine(
                first,
                hosts,
                tried,
                mask_host=mask_host,
                on_probe=lambda done, name=name, total=total: advance(name, done, total),  # type: ignore[misc]
            )
            if len(unique) == 1 and not examined.compiles:
                engine, problem = next(iter(examined.problems.items()))
                where = f"line {problem.line}" if problem.line else "an unknown line"
                raise UsageError(
                    f"{name} is not a Jinja template: {problem.message} ({engine}, {where}); correct it there."
                )
            found.append(target(examined, hosts, [other.name for other in others]))
    return found
