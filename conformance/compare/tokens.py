"""Compare tokens: what a server makes of a template's text, against the tokens that Harmony writes.

A server encodes the finished text and recognises special tokens wherever they stand; Harmony encodes message text
apart, so that no text becomes a control token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from conformance.compare.align import ENDS, Pair
from conformance.compare.base import Compared, Difference, Found
from conformance.oracles.base import Block, Rendering
from conformance.oracles.load import tokenizer
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN, TOKEN_MISMATCH

# Stretches of a text, as start and stop, that a server encodes as ordinary text; empty ones only part the text.
Ordinary = Sequence[tuple[int, int]]

START, MESSAGE = "<|start|>", "<|message|>"
_MARKER = re.compile(r"<\|[a-z]+(?:_[0-9]+)?\|>")
# One case in so many is encoded whole though nothing in it can give other tokens: a check on that very claim.
_SAMPLED = 32


class _Injected(NamedTuple):
    """Where text of a conversation becomes control tokens; None where it does not.

    `kept` is text that Harmony writes too, as ordinary tokens: only the server can prevent it. `added` is what the
    template alone writes there, over and above.
    """

    kept: Difference | None
    added: Difference | None


_AHEAD = 400  # characters that are tokenized behind a place to show


@lru_cache(maxsize=1)
def special_ids() -> dict[str, int]:
    """Return the special tokens of the vocabulary, from text to id."""
    return tokenizer().special_tokens()


def server_tokens(text: str, ordinary: Ordinary = ()) -> list[int]:
    """Encode a text as a server's tokenizer does: special tokens are recognised outside of `ordinary` stretches."""
    harmony = tokenizer()
    tokens: list[int] = []
    at = 0
    for start, stop in ordinary:
        tokens += harmony.encode(text[at:start])
        tokens += harmony.encode(text[start:stop], special=False)
        at = stop
    tokens += harmony.encode(text[at:])
    return tokens


def tokens_around(text: str, at: int, ordinary: Ordinary = ()) -> list[tuple[int, str]]:
    """Return the tokens near a character as id and text: six before it, and fourteen from there on."""
    start = max(text.rfind("<|start|>", 0, at + 1), 0)
    stop = min(len(text), at + _AHEAD)
    inside = tuple(
        (first - start, last - start) for first, last in ordinary if start <= first and last <= stop
    )
    harmony = tokenizer()
    shown = [(token, harmony.decode([token])) for token in server_tokens(text[start:stop], inside)]
    reached, here = start, 0
    for here, (_, written) in enumerate(shown):  # noqa: B007 (the number of the token there is what is wanted)
        if reached + len(written) > at:
            break
        reached += len(written)
    return shown[max(0, here - 6) : here + 14]


def ordinary_of(text: str, tokens: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the markers of a text that its tokens spell out instead of being control tokens, as start and stop.

    Empty where the tokens are not those of the text.
    """
    found = [(match.start(), match.end()) for match in _MARKER.finditer(text) if match[0] in special_ids()]
    ids = set(special_ids().values())
    control = sum(token in ids for token in tokens)
    if control == len(found):
        return ()
    # Where fewer tokens than markers are special, the stretches between them say which.
    ordinary, at = [], 0
    for start, stop in _plain_stretches(tokens, ids):
        ordinary += [(a, b) for a, b in found if start <= a and b <= stop]
        at = stop
    return tuple(ordinary) if at <= len(text) else ()


def _plain_stretches(tokens: Sequence[int], special: set[int]) -> Iterator[tuple[int, int]]:
    """Yield where runs of tokens that are not special begin and stop in their text."""
    harmony = tokenizer()
    at = 0
    run: list[int] = []
    for token in [*tokens, -1]:
        if token >= 0 and token not in special:
            run.append(token)
            continue
        if run:
            length = len(harmony.decode(run))
            yield at, at + length
            at += length
            run = []
        if token >= 0:
            at += len(harmony.decode([token]))


def control_tokens(
    text: str, start: int = 0, stop: int | None = None, ordinary: Ordinary = ()
) -> list[tuple[int, str]]:
    """Return the special tokens that a server finds in a stretch of text, each with its offset in `text`.

    The stretch is cut where ordinary text begins and ends, as the server does before it looks for tokens.
    """
    special = special_ids()
    found = []
    for match in _MARKER.finditer(text, start, len(text) if stop is None else stop):
        if match[0] in special and not any(
            match.start() < last and first < match.end()
            if first < last
            else match.start() < first < match.end()
            for first, last in ordinary
        ):
            found.append((match.start(), match[0]))
    return found


def could_inject(said: bytes | str) -> bool:
    """Say whether a conversation, as JSON, holds half a marker at least; without one nothing can be injected.

    A marker cut in three (`<`, `|end|`, `>`) and joined by a template is not looked for.
    """
    return (b"<|" in said or b"|>" in said) if isinstance(said, bytes) else ("<|" in said or "|>" in said)


def body(message: str) -> tuple[int, int]:
    """Return where a message's text begins and stops: after its header and before the token that ends it."""
    header = message.find(MESSAGE)
    if header < 0:
        return len(message), len(message)
    start, stop = header + len(MESSAGE), len(message.rstrip())
    end = next((end for end in ENDS if message.endswith(end, 0, stop)), "")
    return start, max(start, stop - len(end))


def compare_control_tokens(
    expected: Rendering, actual: str, pairs: Sequence[Pair], said: str, ordinary: Ordinary = ()
) -> list[Found]:
    """Name text that becomes control tokens: a note where Harmony writes it too, an error where it does not.

    `pairs` are the messages that differ (see `align`), none where the texts are equal; `said` is the conversation
    as JSON.
    """
    found = _injected(expected, actual, pairs, said, ordinary)
    named = [] if found.kept is None else [Found(INJECTED_SPECIAL_TOKEN.slug, found.kept)]
    return (
        named
        if found.added is None
        else [*named, Found(INJECTED_SPECIAL_TOKEN.slug, found.added, severity="error")]
    )


def compare_tokens(expected: Rendering, ordinary: Ordinary) -> list[Found]:
    """Name equal characters with other tokens, a note where the server itself takes text apart (`ordinary`)."""
    difference = first_mismatch(expected, server_tokens(expected.text, ordinary))
    if difference is None:
        return []
    return [Found(TOKEN_MISMATCH.slug, difference, severity="note" if ordinary else None)]


def compare_told_tokens(expected: Rendering, tokens: Sequence[int]) -> list[Found]:
    """Name equal characters that the target itself says it makes other tokens of."""
    difference = first_mismatch(expected, tokens)
    return [] if difference is None else [Found(TOKEN_MISMATCH.slug, difference)]


def _injected(
    expected: Rendering, actual: str, pairs: Sequence[Pair], said: str, ordinary: Ordinary = ()
) -> _Injected:
    """Find text that a server would read as control tokens in a template's text.

    What a message's header holds and the token that ends it are the template's own; the rest counts. More
    is `added` only when it is more over all messages, so that text which moved from one to another is not.
    """
    kept = added = None
    balance = -sum(_count(block) for _, block in expected.dropped if _unpaired(block, pairs))
    for block, at, start in _equal_blocks(expected, actual, pairs):
        for offset, token in control_tokens(
            actual, at + body(block.text)[0], at + body(block.text)[1], ordinary
        ):
            kept = kept or _difference(block, offset - at, token, start + offset - at, offset)
    for pair in pairs:
        harmony = 0 if pair.block is None else _count(pair.block)
        found = [] if pair.actual is None else _in_pair(pair, pairs, actual, said, ordinary)
        balance += len(found) - harmony
        if not found:
            continue
        offset, token = found[0]
        difference = Difference(pair.block, *_region(pair.block, token), "", token, pair.offset, offset)
        kept = kept or difference
        if len(found) > harmony:
            added = added or difference
    return _Injected(kept, added if balance > 0 else None)


def _equal_blocks(
    expected: Rendering, actual: str, pairs: Sequence[Pair]
) -> Iterator[tuple[Block, int, int]]:
    """Yield the blocks that the template wrote as Harmony does, with their offsets in its text and in Harmony's."""
    differing = {id(pair.block) for pair in pairs}
    position = 0
    for block, start in zip(expected.blocks, expected.block_starts, strict=True):
        if id(block) in differing:
            continue
        at = actual.find(block.text, position) if pairs else start
        if at >= 0:
            position = at + len(block.text)
            yield block, at, start


def _unpaired(block: Block, pairs: Sequence[Pair]) -> bool:
    return all(pair.block is not block for pair in pairs)


def _count(block: Block) -> int:
    return len(control_tokens(block.text, *body(block.text)))


def _in_pair(
    pair: Pair, pairs: Sequence[Pair], actual: str, said: str, ordinary: Ordinary
) -> list[tuple[int, str]]:
    assert pair.actual is not None
    start, stop = body(pair.actual)
    found = control_tokens(actual, pair.actual_offset + start, pair.actual_offset + stop, ordinary)
    if pair.block is None and _broke_out(pair.actual, pairs):
        # All of it was said, and what ends it here ended the message that it broke out of.
        return control_tokens(actual, pair.actual_offset, pair.actual_offset + len(pair.actual), ordinary)
    # Markers of its own that a template writes into a message are not the conversation's.
    if pair.block is None or pair.block.kind == "developer":
        return [(offset, token) for offset, token in found if token in said]
    return found if could_inject(_text(pair.block)) else []


def _broke_out(message: str, pairs: Sequence[Pair]) -> bool:
    """Say whether the header of a message that Harmony did not write is lost from the text of one that it did."""
    header = message[: body(message)[0]]
    return START in header and any(
        pair.block is not None
        and pair.actual is not None
        and header in _text(pair.block)
        and header not in pair.actual
        for pair in pairs
    )


def _text(block: Block) -> str:
    return block.text[slice(*body(block.text))]


def _difference(block: Block, inside: int, token: str, start: int, actual_start: int) -> Difference:
    return Difference(block, *_place(block, inside), "", token, start, actual_start)


def _place(block: Block, inside: int) -> tuple[Compared, str]:
    """Return the region and path of a character of a block."""
    stop = 0
    for region, path, text in block.pieces:
        stop += len(text)
        if inside < stop:
            return region, path
    return "message", ""


def _region(block: Block | None, token: str) -> tuple[Compared, str]:
    """Return the region and path of the piece that holds a token, where one does."""
    start = 0 if block is None else body(block.text)[0]
    at = 0
    for region, path, text in block.pieces if block is not None else ():
        if at >= start and token in text:
            return region, path
        at += len(text)
    return "message", ""


_alike: dict[tuple[int, ...], bool] = {}


def encodes_alike(expected: Rendering) -> bool:
    """Say whether a server makes Harmony's tokens of Harmony's text, no message of which holds a special token.

    Only headers are written in several pieces that could merge (author, recipient, channel, content type); they are
    few and remembered. Everything else is one piece between two special tokens, which the server encodes alike; that
    claim is tried on the whole text of one case in 32, chosen by its length.
    """
    if len(expected.text) % _SAMPLED == 0:
        return server_tokens(expected.text) == expected.tokens
    special = special_ids()
    start, message = special[START], special[MESSAGE]
    tokens = expected.tokens
    at = stop = 0
    for block in expected.blocks:
        at = tokens.index(start, stop)
        stop = len(tokens) if block.kind == "prompt" else tokens.index(message, at)
        header = tuple(tokens[at:stop])
        if header not in _alike:
            _alike[header] = tuple(server_tokens(tokenizer().decode(list(header)))) == header
        if not _alike[header]:
            return False
    return True


def first_mismatch(expected: Rendering, actual: Sequence[int]) -> Difference | None:
    """Return the first place where equal texts have other tokens, or None; regions as in the oracle's blocks."""
    want = expected.tokens
    at = next(
        (i for i, (a, b) in enumerate(zip(want, actual, strict=False)) if a != b), min(len(want), len(actual))
    )
    if at == len(want) == len(actual):
        return None
    harmony = tokenizer()
    offset = len(harmony.decode(want[:at]))
    place = expected.block_starts
    number = max((i for i, start in enumerate(place) if start <= offset), default=0)
    got = harmony.decode(list(actual[at : at + 1]))
    found = _difference(expected.blocks[number], offset - place[number], got, offset, offset)
    found.expected = harmony.decode(want[at : at + 1])
    return found
