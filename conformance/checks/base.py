"""What a check is, what it finds, and how checks are found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.errors import UsageError
from conformance.rules.base import Severity, Slug

ENTRY_POINT_GROUP = "conformance.checks"

_BUILT_IN = (
    "conformance.checks.accepts",
    "conformance.checks.texts",
    "conformance.checks.python_repr",
    "conformance.checks.prefix",
    "conformance.checks.generation_prompt",
    "conformance.checks.continuation",
    "conformance.checks.dates",
    "conformance.checks.assistant_mask",
)


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


_CheckT = TypeVar("_CheckT", bound=Callable[[Bench, Probe], Iterator[Finding]])
_checks: dict[str, Check] = {}


def register(name: str) -> Callable[[_CheckT], _CheckT]:
    """Return a decorator that adds a check under `name`; a taken name is a programming error."""

    def add(check: _CheckT) -> _CheckT:
        known = _checks.get(name)
        if known is not None and getattr(known, "__module__", None) != check.__module__:
            raise ValueError(f"two checks are called {name!r}")
        _checks[name] = check
        return check

    return add


def checks() -> dict[str, Check]:
    """Return all checks by name: built in, registered and from installed plug-ins, in this order.

    Raises UsageError when a plug-in cannot be loaded.
    """
    for module in _BUILT_IN:
        importlib.import_module(module)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in _checks:
            continue
        try:
            register(point.name)(point.load())
        except Exception as error:  # a stranger's module may fail in any way
            raise UsageError(
                f"The check {point.name!r} ({point.value}) cannot be loaded: {error}; "
                "update or uninstall the package that offers it."
            ) from error
    return dict(_checks)


def eased(probe: Probe) -> Severity | None:
    """Return the severity of a fault that common servers cure before the template sees the probe."""
    return "warning" if probe.manner is not None and probe.manner.cure is not None else None
