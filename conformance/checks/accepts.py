"""No crash on what OpenAI's schema allows; refusals and what a template never looks at are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from conformance.checks.base import Finding, eased, register
from conformance.checks.bench import Bench
from conformance.checks.family import TOOL
from conformance.checks.probe import Probe
from conformance.engines.base import Crashed, LimitExceeded, Rejected, Rendered
from conformance.rules.base import Severity
from conformance.rules.behaviour import RESOURCE_LIMIT, TEMPLATE_CRASHED, TEMPLATE_REJECTED
from conformance.rules.properties import UNSUPPORTED_INPUT


@register("accepts")
def accepts(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding when the template does not render the probe.

    A refusal by `raise_exception` is legal, and a note: of tools, of system messages, of turns that do not take
    turns. It is an error on a plain conversation of user and assistant, and a warning where only the manner
    of writing is refused. A crash on tools or roles that the template's code never mentions is a note too.
    What fails in the plain manner already is not reported for another one again.
    """
    outcome = bench.outcome(probe.request(generation=probe.asks))
    if isinstance(outcome, Rendered):
        return
    if probe.manner is not None and bench.text(probe.plain) is None:
        return
    missing = bench.unsupported(probe) or _only_with_tools(bench, probe)
    match outcome:
        case Rejected(message=message, line=line):
            yield Finding(
                TEMPLATE_REJECTED.slug,
                probe,
                probe.name,
                line=line,
                failure=f"refuses: {message}",
                severity=_of_refusal(probe, unsupported=missing is not None),
            )
        case Crashed(kind=kind, message=message, line=line):
            failure = f"{kind}: {message}"
            if missing is not None:
                if probe.how in ("plain", "developer"):
                    yield Finding(UNSUPPORTED_INPUT.slug, probe, missing, line=line, failure=failure)
            else:
                yield Finding(
                    TEMPLATE_CRASHED.slug,
                    probe,
                    probe.name,
                    line=line,
                    failure=failure,
                    severity=eased(probe),
                )
        case LimitExceeded(message=message):
            yield Finding(RESOURCE_LIMIT.slug, probe, probe.name, failure=message)


def _only_with_tools(bench: Bench, probe: Probe) -> str | None:
    """Say so when a template renders the same with a tool on offer: some are used for requests with tools only."""
    conversation = probe.case.conversation
    if probe.manner is not None or conversation.tools or "tools" not in bench.mentions:
        return None
    offered = replace(
        probe, case=structs.replace(probe.case, conversation=structs.replace(conversation, tools=(TOOL,)))
    )
    return "requests without tools" if bench.text(offered) is not None else None


def _of_refusal(probe: Probe, *, unsupported: bool) -> Severity | None:
    if probe.manner is not None:
        return "note" if unsupported or eased(probe) else "warning"
    return None if probe.basic else "note"
