"""`conformance audit`: where a template's output hangs on more than structure, and what testing saw of it."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from rich.text import Text

from conformance.campaign.audit import audit as run_audit
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.cli.console import new_console
from conformance.cli.options import Offline, Seed, Targets
from conformance.cli.targets import load_templates
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UsageError
from conformance.report.model import Decision
from conformance.report.terminal import TerminalWriter
from conformance.report.visible import inert


class Engine(enum.StrEnum):
    """The engines whose template is followed node by node while it runs."""

    TRANSFORMERS = "transformers"
    JINJA2 = "jinja2"


def audit(
    targets: Targets,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", help="Of how many conversations a sample is run.")
    ] = 2_000,
    seed: Seed = 0,
    engine: Annotated[Engine, typer.Option("--engine", help="Engine to render with.")] = Engine.TRANSFORMERS,
    every: Annotated[bool, typer.Option("--every", help="List also what was seen to go either way.")] = False,
    offline: Offline = False,
) -> int:
    """List where output hangs on a text, the time, chance, a helper or a count, and what testing saw of it."""
    if examples < 1:
        raise UsageError(f"--examples is {examples}; give at least 1.")
    templates, left_out = load_templates(targets, offline=offline)
    out = TerminalWriter(new_console())
    for left in left_out:
        out.print(Text(f"left out: {inert(left.name)}: {inert(left.reason)}", "yellow"))
    settings = Settings(cases=examples, seed=seed, engines=(engine.value,))
    code = EXIT_CONFORMS
    with Runner(settings) as runner:
        for template in templates:
            found = run_audit(runner, template, settings)
            hidden = [decision for decision in found.audit if decision.hidden]
            out.print(
                Text.assemble(
                    (inert(template.name), "bold"),
                    f"  {len(found.audit)} decisions on more than structure, {len(hidden)} seen one way only in "
                    f"{found.cases:,} conversations; {len(found.never_run)} branches never ran",
                )
            )
            for decision in found.audit if every else hidden:
                out.print(_line(decision))
            for branch in found.never_run:
                out.print(Text(f"  line {branch.line} never ran: {inert(branch.what, 80)}", "yellow"))
            if hidden:
                code = EXIT_DIVERGES
    return code


def _line(decision: Decision) -> Text:
    if decision.hidden:
        seen = f"always {inert(decision.seen[0], 40)}" if decision.seen else "never asked"
    else:
        seen = "only refuses" if decision.refuses and len(decision.seen) < 2 else "both ways seen"
    hangs = ", ".join(decision.hangs_on)
    style = "yellow" if decision.hidden else ""
    return Text(f"  line {decision.line} hangs on {hangs}: {inert(decision.what, 80)}  ({seen})", style)
