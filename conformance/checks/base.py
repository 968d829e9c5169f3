"""What a check is, what it finds, and how checks are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.registry import Registry
from conformance.rules.base import Severity, Slug


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a template breaks on one probe.

    `expected` is the text that should be there and `actual` the one that is, both whole prompts where two
    prompts are compared; `offset` and `actual_offset` are the places where they part, None where there is
    only a statement to show (`expected` then says what should hold). `what` names in a few words the text
    or message concerned. `severity` is lower than the rule's own where the occurrence is less grave.
    """

    rule: Slug
    probe: Probe
    what: str
    expected: str = ""
    actual: str | None = None
    offset: int | None = None
    actual_offset: int | None = None
    message: int | None = None
    line: int | None = None
    failure: str | None = None
    severity: Severity | None = None


class Check(Protocol):
    """Tries one property on one probe; `bench` renders."""

    def __call__(self, bench: Bench, probe: Probe, /) -> Iterator[Finding]:
        """Yield what breaks the property; nothing where the template refuses the probe."""


_MODULES = (
    "accepts", "texts", "python-repr", "prefix", "generation-prompt", "continuation", "dates", "assistant-mask",
)  # fmt: skip
CHECKS: Registry[Check] = Registry(
    "check",
    "conformance.checks",
    {name: f"conformance.checks.{name.replace('-', '_')}" for name in _MODULES},
)
register = CHECKS.named


def checks() -> dict[str, Check]:
    """Return all checks by name: built in, registered and from installed plug-ins, in this order.

    Raises UsageError when a plug-in cannot be loaded.
    """
    return dict(CHECKS.items())


def eased(probe: Probe) -> Severity | None:
    """Return the severity of a fault that common servers cure before the template sees the probe."""
    return "warning" if probe.manner is not None and probe.manner.cure is not None else None
