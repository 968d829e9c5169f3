"""Where a difference lies, in words that are the same for all conversations: what tells one rule's causes apart."""

from __future__ import annotations

from conformance.compare.base import Compared, Difference
from conformance.oracles.base import BELOW, WITHIN, Kind

MESSAGES: dict[Kind, str] = {
    "system": "system message",
    "developer": "developer message",
    "instructions": "later instructions",
    "user": "user message",
    "thinking": "thinking",
    "preamble": "preamble",
    "call": "tool call",
    "result": "tool result",
    "final": "final message",
    "prompt": "generation prompt",
}
# Regions that more than one region is compared as, or that people call otherwise.
_PARTS: dict[Compared, str] = {
    "one-of": "oneOf",
    "body": "type and what follows",
    "default": "default",
    "nullable": "null",
    "tool-description": "description",
    "object-description": "description",
    "parameters": "parameters",
    "namespace-close": "closing line",
    "tools-heading": "heading of the tools",
    "instructions-heading": "heading of the instructions",
    "tools-section": "tools",
}
# Whole messages, and what says no more than the message does.
_WHOLE: frozenset[Compared] = frozenset({"message", "content", "thinking", "gap", "property", "tool"})


def place(difference: Difference) -> str:
    """Return where a difference lies: kind of message, part of it, and of a property how it is nested."""
    if difference.block is None:
        return "between messages"
    message = MESSAGES[difference.block.kind]
    words = [] if difference.path else [message]
    if difference.path:
        words.append(_nesting(difference.path))
    if difference.region not in _WHOLE:
        words.append(_PARTS.get(difference.region, difference.region))
    return ", ".join(words)


def _nesting(path: str) -> str:
    """Return what a path leads to: a tool, a property, or one inside of objects, arrays and oneOf."""
    tool, *names = path.split(WITHIN)
    if not names:
        return "tool" if BELOW not in tool else "parameters"
    inside = []
    if f"{BELOW}|" in path:
        inside.append("oneOf")
    if f"{BELOW}[]" in path:
        inside.append("an array")
    if len(names) > 1:
        inside.append("an object")
    return f"property in {' in '.join(inside)}" if inside else "property"
