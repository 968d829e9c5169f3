"""Ends: the token that ends a message, what stands behind it, and the generation prompt; all named here."""

from __future__ import annotations

from conformance.compare.align import Pair
from conformance.compare.base import Difference
from conformance.rules.base import Rule
from conformance.rules.calls import CALL_TERMINATOR
from conformance.rules.messages import EXTRA_NEWLINE, GENERATION_PROMPT, RETURN_OR_END


def name_end(found: Difference) -> Rule:
    """Name the difference between two ends of a message."""
    assert found.block is not None
    shown, end = found.actual, found.expected
    if shown.strip() == end or (shown.startswith(end) and not shown[len(end) :].strip()):
        return EXTRA_NEWLINE
    return CALL_TERMINATOR if found.block.kind == "call" else RETURN_OR_END


def compare_prompt(pair: Pair) -> tuple[Rule, Difference]:
    """Name what differs in the generation prompt."""
    block, actual, start, actual_start = pair.both
    rule = EXTRA_NEWLINE if actual.split() == block.text.split() else GENERATION_PROMPT
    return rule, Difference(block, "prompt", "", block.text, actual, start, actual_start)
