"""What the tests of the checks share: engines in this process, and one examination of a template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from conformance.checks.examine import Examination, Seen, examine
from conformance.checks.family import probes
from conformance.checks.probe import Probe
from conformance.engines.base import Engine
from conformance.engines.in_process import InProcessHost
from conformance.sources import Provenance, make_template
from conformance.template.mask_engine import MaskEngine


@lru_cache
def host(engine: str | type[Engine]) -> InProcessHost:
    """Return an engine in this process: the templates of these tests are our own."""
    return InProcessHost(engine)


@lru_cache
def some_probes() -> tuple[Probe, ...]:
    return tuple(probes(0, 5))


def examined(text: str, engine: str = "transformers", tried: Sequence[Probe] | None = None) -> Examination:
    template = make_template("own", text.encode(), Provenance("file", "own.jinja"), where="own.jinja")
    return examine(
        template,
        {engine: host(engine)},
        tried or some_probes(),
        mask_host=host(MaskEngine),
    )


def found(text: str, engine: str = "transformers") -> set[tuple[str, str, str]]:
    """Return rule, what and severity of everything found on a template."""
    return {told(seen) for seen in examined(text, engine).seen}


def told(seen: Seen) -> tuple[str, str, str]:
    return seen.finding.rule, seen.finding.what, seen.severity
