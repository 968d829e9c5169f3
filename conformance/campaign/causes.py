"""What tells the failures of one template apart: line and error; and what to do about each kind."""

from __future__ import annotations

import re

from conformance.engines.base import Crashed, LimitExceeded, Rejected, SyntaxProblem

_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")
_CAUSE_CHARS = 120

# Engines word their errors in their own ways; these words are common to them.
_ADVICE = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (
            r"recursion|stack overflow",
            "Bound the depth: a schema may be nested deeper than an engine's stack, so print `any` from some depth on.",
        ),
        (
            r"security|unsafe|sandbox",
            "Use nothing that the sandbox forbids: no attributes with underscores, no methods that change a value.",
        ),
        (
            r"no (filter|test) named|unknown (filter|test|function|method)|not callable|not a function",
            "Use filters, tests and functions that every engine has, or ask first: `is filter`, `is defined`.",
        ),
        (
            r"concatenate|unsupported operand|cannot add|must be str|cannot convert|expected a string",
            "Join with `~`, which makes text of both sides, and ask `is string` before treating a value as text.",
        ),
        (
            r"undefined|has no (attribute|element)|not subscriptable|NoneType|null",
            "Ask `is defined` and `is not none` before using what may be absent or null; see the line of the error.",
        ),
        (
            r"not iterable|has no length|has no len|cannot iterate",
            "Ask `is iterable` or `is mapping` before looping over what may be null, a text or a number.",
        ),
    )
)


def plain(message: str) -> str:
    """Return what an error says apart from one request: without what it quotes, and numbers as N."""
    words = " ".join(re.sub(r"\d+", "N", _QUOTED.sub("…", message)).split())
    return words if len(words) <= _CAUSE_CHARS else words[: _CAUSE_CHARS - 1] + "…"


def cause_of(outcome: Crashed | Rejected | LimitExceeded | SyntaxProblem) -> str:
    """Return what tells this failure from others of its rule: line and error; nothing for limits and syntax."""
    if isinstance(outcome, Crashed):
        # The names that an error quotes are the template's own where it says what is missing.
        said = outcome.message if len(outcome.message) <= _CAUSE_CHARS else plain(outcome.message)
        words = f"{outcome.kind}: {said if 'no attribute' in said or 'undefined' in said else plain(said)}"
    elif isinstance(outcome, Rejected):
        # One raise_exception is one cause, whatever its message quotes.
        words = "" if outcome.line is not None else plain(outcome.message)
    else:
        return ""
    where = "" if outcome.line is None else f"line {outcome.line}"
    return ", ".join(part for part in (where, words) if part)


def advice(outcome: Crashed | Rejected | LimitExceeded | SyntaxProblem) -> str:
    """Return what to do about a crash, by its kind; nothing where only the rule's own advice is known."""
    if not isinstance(outcome, Crashed):
        return ""
    said = f"{outcome.kind}: {outcome.message}"
    return next((advice for pattern, advice in _ADVICE if pattern.search(said)), "")
