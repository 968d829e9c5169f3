"""Which form of content and arguments a template takes, found out before anything else is tried."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.checks.base import Finding
from conformance.checks.bench import Bench
from conformance.checks.manners import PARTS, STRINGS
from conformance.checks.probe import Probe
from conformance.checks.words import Kind, words
from conformance.engines.base import Crashed
from conformance.rules.behaviour import TEMPLATE_CRASHED
from conformance.rules.properties import TEXT_LOST

# The smallest conversations: a template that shows the user's text in none of them has no place for it.
_FIRST = ("user", "system-user", "tool-user")
_CALL = "tool-loop"


def fitting(bench: Bench, probes: Sequence[Probe]) -> tuple[list[Probe], list[Finding]]:
    """Return the probes in the form that the template takes, and what there is to say about it.

    Templates of models that see or hear often take content as a list of parts only; others take arguments
    as a string only, as OpenAI sends them and not as transformers documents. Servers bring requests into the
    form that a template takes, so that all else is tried in that form, and this alone is a warning. A template that
    shows a user's text in no form gets the smallest probe only: whatever else it loses tells nothing.
    """
    found: list[Finding] = []
    fit = list(probes)
    first = [probe for name in _FIRST for probe in fit if probe.name == name]
    if not any(_shows(bench, probe, "user") for probe in first):
        if not any(_shows(bench, probe.in_form(PARTS), "user") for probe in first):
            return first[:1], []
        found.append(_warning(bench, first[0], "content that is a string"))
        fit = [probe.in_form(PARTS) for probe in fit if not probe.how.endswith("-parts")]
    call = next((probe for probe in fit if probe.name == _CALL), None)
    if call is None or _shows(bench, call, "argument"):
        return fit, found
    if _shows(bench, call.in_form(STRINGS), "argument"):
        found.append(_warning(bench, call, "arguments that are an object"))
        fit = [probe.in_form(STRINGS) for probe in fit if probe.how != "string-arguments"]
    return fit, found


def _shows(bench: Bench, probe: Probe, kind: Kind) -> bool:
    """Say whether the prompt has the first word of a kind."""
    text = bench.text(probe)
    return text is not None and _first(probe, kind) in text


def _first(probe: Probe, kind: Kind) -> str:
    return next(word.text for word in words(probe.case.conversation) if word.kind == kind)


def _warning(bench: Bench, probe: Probe, what: str) -> Finding:
    outcome = bench.outcome(probe.request(generation=probe.asks))
    if isinstance(outcome, Crashed):
        failure = f"{outcome.kind}: {outcome.message}"
        return Finding(
            TEMPLATE_CRASHED.slug, probe, what, line=outcome.line, failure=failure, severity="warning"
        )
    return Finding(
        TEXT_LOST.slug,
        probe,
        what,
        expected=f"{what} in the prompt",
        actual=bench.text(probe),
        severity="warning",
    )
