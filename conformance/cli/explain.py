"""`conformance explain`: rules in full, and the words that reports use for kinds of conversations."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from conformance.cli import completion
from conformance.cli.console import new_console
from conformance.cli.streams import write_bytes
from conformance.errors import EXIT_CONFORMS, UsageError
from conformance.gate.selectors import rules_named
from conformance.generate.features import FEATURES
from conformance.report.explain import explain_all, explain_rule
from conformance.report.terminal import TerminalWriter
from conformance.rules import Rule, catalogue
from conformance.rules.base import loss_of


def explain(
    slug: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completion.rules,
            help="A rule's slug or code, the beginning of a code or a family, or a feature of conversations that a "
            "report names, such as tools-none.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="terminal, or json for programs."),
    ] = "terminal",
) -> int:
    """Explain a rule, or list several or all."""
    if format not in ("terminal", "json"):
        raise UsageError(f"explain has no format {format!r}; choose terminal or json.")
    feature = next((feature for feature in FEATURES if feature.name == slug), None)
    if feature is not None:
        TerminalWriter(new_console()).print(Text(f"{feature.name}  {feature.meaning}"))
        return EXIT_CONFORMS
    wanted = None if slug is None else rules_named(slug)
    chosen = [each for each in catalogue() if wanted is None or each.slug in wanted]
    alone = len(chosen) == 1
    if format == "json":
        described = [_described(each) for each in chosen]
        data = described[0] if alone else described
        write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")
        return EXIT_CONFORMS
    console = new_console()
    shown = explain_rule(chosen[0], console) if alone else explain_all(chosen, console)
    TerminalWriter(console).print(shown)
    return EXIT_CONFORMS


def _described(known: Rule) -> dict[str, Any]:
    """Return a rule for programs; `impact` and `impact_reason` are what the model loses, and why that is said."""
    loss = loss_of(known.slug)
    return {
        "code": known.code,
        "slug": known.slug,
        "family": known.family,
        "severity": known.severity,
        "what": known.what,
        "why": known.why,
        "citation": known.citation,
        "fix": known.fix,
        "impact": loss.impact,
        "impact_reason": loss.reason,
        "good": known.good,
        "bad": known.bad,
        "setting": known.setting,
    }
