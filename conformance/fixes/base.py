"""What a fix is, and how fixes are registered by the rules that they remove."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, TypeVar

from conformance.rules import rule
from conformance.template.parts import Source

# An expression fix changes single tags; a section fix replaces a whole part by that of the reference template.
Size: TypeAlias = Literal["expression", "section"]


class SkippedError(Exception):
    """A fix does not apply to a template; the message says why in one sentence."""


class Fix(Protocol):
    """Removes some rules from a template; `what` says in a few words what it changes."""

    name: str
    size: Size
    what: str

    def apply(self, source: Source) -> str:
        """Return the changed source.

        Raises SkippedError when its place is not found, is found twice, or holds what the oracle cannot judge.
        """


_FixClass = TypeVar("_FixClass", bound=type[Fix])
_fixes: list[tuple[Fix, tuple[str, ...]]] = []


class register:  # noqa: N801
    """Adds a fix class under the rules that it can remove; a name that is taken is a programming error."""

    def __init__(self, *rules: str) -> None:
        # A misspelt one ends in UsageError when the module is imported.
        self._rules = tuple(rule(slug).slug for slug in rules)

    def __call__(self, fix: _FixClass) -> _FixClass:
        """Register a class."""
        if any(known.name == fix.name for known, _ in _fixes):
            raise ValueError(f"the fix {fix.name} is registered twice")
        _fixes.append((fix(), self._rules))
        return fix


def fixes() -> list[tuple[Fix, tuple[str, ...]]]:
    """Return every fix with the rules that it can remove: those that change least first."""
    return sorted(_fixes, key=lambda entry: entry[0].size == "section")
