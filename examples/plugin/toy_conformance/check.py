"""A check without an oracle, and the rule that it finds broken."""

from collections.abc import Iterator

from conformance.checks.base import Finding
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.engines.base import Rendered
from conformance.rules.base import Rule, Slug, register

SHOUTS = register(
    Rule(
        code="TOY01",
        slug=Slug("toy-shouts"),
        family="properties",
        severity="warning",
        what="the prompt says something in capitals only",
        why="the model answers in the same tone",
        citation="an example, cited nowhere",
        fix="write it in small letters",
        good="listen",
        bad="LISTEN",
    )
)


def no_shouting(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield a finding where a prompt shouts."""
    outcome = bench.outcome(probe.request(generation=probe.asks))
    if isinstance(outcome, Rendered) and "LISTEN" in outcome.text:
        at = outcome.text.index("LISTEN")
        yield Finding(
            SHOUTS.slug,
            probe,
            "the word LISTEN",
            expected="",
            actual=outcome.text,
            offset=at,
            actual_offset=at,
        )
