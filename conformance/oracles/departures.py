"""Readings that no input makes the library render: named transformations of Harmony's own messages.

Each takes a message as Harmony wrote it, piece by piece, and returns it as another authority writes it. The text it
begins from has been compared with Harmony's; tokens are Harmony's own, moved, or made anew where characters changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from conformance.oracles.base import Block
from conformance.oracles.profile import Profile

_EXPONENT = re.compile(r"\de\+?\d")

# A header as the library writes it: author, recipient, channel.
_HEADER = re.compile(r"(<\|start\|>[^\s<]+)( to=[^\s<]+)(<\|channel\|>[a-z]+)")

Encode = Callable[[str], list[int]]


def recipient_after_channel(block: Block) -> Block:
    """Move the recipient of a header behind its channel: `<|channel|>commentary to=functions.f`."""
    found = _HEADER.match(block.text)
    if found is None:
        return block
    pieces = list(block.pieces)
    regions = [region for region, _, _ in pieces]
    if "recipient" in regions:
        moved = pieces.pop(regions.index("recipient"))
        pieces.insert(regions.index("channel"), moved)
    else:
        # Where the layout does not hold, a message is one piece.
        pieces = [("message", "", f"{found[1]}{found[3]}{found[2]}{block.text[found.end() :]}")]
    return Block(block.kind, block.index, pieces, block.call)


def has_exponent(block: Block) -> bool:
    """Say whether a message may hold a number with an exponent above 0, of which alone the sign matters."""
    return _EXPONENT.search(block.text) is not None


def departs(block: Block, profile: Profile) -> bool:
    """Say whether a profile reads the header of a message otherwise than the library writes it.

    These readings are of function calls; those of built-in tools, in the analysis channel, all libraries write alike.
    """
    if "<|channel|>commentary" not in {text for region, _, text in block.pieces[:3] if region == "channel"}:
        return False
    if block.kind == "call":
        return profile.recipient == "channel"
    return block.kind == "result" and profile.result_recipient == "channel"


def moved_tokens(tokens: Sequence[int], block: Block, encode: Encode) -> list[int]:
    """Return Harmony's tokens of a message after `recipient_after_channel`.

    Harmony encodes recipient and channel each by itself, so that their tokens move as they are. Raises ValueError
    when they do not stand where they should.
    """
    header = _HEADER.match(block.text)
    if header is None:
        return list(tokens)
    recipient, channel = encode(header[2]), encode(header[3])
    channel_at = _find(tokens, channel)
    here = channel_at - len(recipient)
    if here < 0 or list(tokens[here:channel_at]) != recipient:
        raise ValueError("Harmony's tokens of a recipient do not stand before its channel")
    return [*tokens[:here], *channel, *recipient, *tokens[channel_at + len(channel) :]]


def _find(tokens: Sequence[int], wanted: Sequence[int]) -> int:
    for at in range(len(tokens) - len(wanted) + 1):
        if list(tokens[at : at + len(wanted)]) == list(wanted):
            return at
    return -1
