"""What a fix is, and where all of them are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from conformance.registry import Registry
from conformance.rules import rule
from conformance.template.parts import Source

# An edit changes one thing in one tag, an expression fix single tags; a section fix replaces a whole part by that of
# the reference template.
Size: TypeAlias = Literal["edit", "expression", "section"]


class SkippedError(Exception):
    """A fix does not apply to a template; the message says why in one sentence."""


class Fix(Protocol):
    """Removes some rules from a template; `what` says in a few words what it changes, `rules` what it can remove."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def size(self) -> Size:
        """How much it changes."""

    @property
    def what(self) -> str:
        """What it changes, in a few words."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Which rules it can remove."""

    def apply(self, source: Source) -> str:
        """Return the changed source.

        Raises SkippedError when its place is not found, is found twice, or holds what Harmony cannot judge.
        """


def _check(name: str, fix: Any) -> None:
    for slug in fix.rules:
        rule(slug)  # a misspelt one ends in UsageError when the module is imported


FIXES: Registry[type[Fix]] = Registry(
    "fix",
    "conformance.fixes",
    {
        "plain-results": "conformance.fixes.expressions",
        "plain-arguments": "conformance.fixes.expressions",
        "newlines-between-sections": "conformance.fixes.expressions",
        "final-channel": "conformance.fixes.expressions",
        "thinking-channel": "conformance.fixes.expressions",
        "preamble-channel": "conformance.fixes.expressions",
        "content-type": "conformance.fixes.expressions",
        "later-instructions": "conformance.fixes.expressions",
        "generation-prompt": "conformance.fixes.expressions",
        "byte-order-mark": "conformance.fixes.expressions",
        "whitespace-between-tags": "conformance.fixes.expressions",
        "empty-calls": "conformance.fixes.as_sent",
        "content-parts": "conformance.fixes.as_sent",
        "tool-definitions": "conformance.fixes.sections",
        "assistant-and-results": "conformance.fixes.sections",
        "developer-message": "conformance.fixes.sections",
        "system-message": "conformance.fixes.sections",
    },
    check=_check,
)
register = FIXES.register


@lru_cache
def _made(fix: type[Fix]) -> Fix:
    return fix()


def fixes() -> list[Fix]:
    """Return every fix: those that change least first."""
    return sorted((_made(fix) for _, fix in FIXES.items()), key=lambda fix: fix.size == "section")
