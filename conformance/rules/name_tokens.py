"""Name what goes wrong between a text and its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.compare.align import Pair
from conformance.compare.tokens import Ordinary, first_mismatch, injected, server_tokens
from conformance.oracles.base import Rendering
from conformance.rules.classify import Found

INJECTED, MISMATCH = "injected-special-token", "token-mismatch"


def name_injected(
    expected: Rendering, actual: str, pairs: Sequence[Pair], said: str, ordinary: Ordinary
) -> list[Found]:
    """Name text that becomes control tokens: a note where Harmony writes it too, an error where it does not.

    See `conformance.compare.tokens.injected` for the arguments.
    """
    found = injected(expected, actual, pairs, said, ordinary)
    named = [] if found.kept is None else [Found(INJECTED, found.kept)]
    return named if found.added is None else [*named, Found(INJECTED, found.added, severity="error")]


def name_told(expected: Rendering, tokens: Sequence[int]) -> list[Found]:
    """Name equal characters that the target itself says it makes other tokens of."""
    difference = first_mismatch(expected, tokens)
    return [] if difference is None else [Found(MISMATCH, difference)]


def name_mismatch(expected: Rendering, ordinary: Ordinary) -> list[Found]:
    """Name equal characters with other tokens, a note where the server itself takes text apart (`ordinary`)."""
    difference = first_mismatch(expected, server_tokens(expected.text, ordinary))
    if difference is None:
        return []
    return [Found(MISMATCH, difference, severity="note" if ordinary else None)]
