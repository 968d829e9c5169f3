"""`conformance explain`: the rules in full."""

from __future__ import annotations

from typing import Annotated

import typer

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.errors import EXIT_CONFORMS
from conformance.report.explain import explain_all, explain_rule
from conformance.report.terminal import TerminalWriter
from conformance.rules import catalogue, rule


def explain(
    slug: Annotated[
        str | None,
        typer.Argument(metavar="[SLUG]", autocompletion=completion.rules, help="A rule's slug or code."),
    ] = None,
) -> int:
    """Explain a rule, or list them all."""
    console = new_console()
    shown = explain_all(catalogue(), console) if slug is None else explain_rule(rule(slug), console)
    TerminalWriter(console).print(shown)
    return EXIT_CONFORMS
