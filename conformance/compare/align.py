"""Align the messages of a template's text with the oracle's blocks.

Most of a text is equal, so equal blocks are matched from both ends first. What is left in the middle is
cut at `<|start|>` and aligned by cost; text of the conversation that itself holds `<|start|>` is masked,
so that a hostile message is not cut in two.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring

from conformance.oracles.base import Block, Kind, Rendering

START = "<|start|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
# A message whose text stands before its header.
_TURNED = re.compile(
    r"(?!<\|start\|>)(.+?)(<\|start\|>[^<]+(?:<\|channel\|>[^<]*)?(?:<\|constrain\|>[^<]*)?<\|message\|>)"
    r"(<\|(?:end|call|return)\|>)",
    re.DOTALL,
)
# How a message ends that has no text.
_EMPTY = tuple(f"<|message|>{end}" for end in ENDS)
_END_TAILS = tuple(end[-6:] for end in ENDS)
_MASK = "\ue000|start|\ue000"
_HEAD = re.compile(r"<\|start\|>(.*?)<\|message\|>", re.DOTALL)
_HEADER = re.compile(
    r"<\|start\|>(?:system|developer|user|assistant|tool|functions\.[\w.-]+)(?: to=[\w.-]+)?"
    r"(?:<\|channel\|>\w+)?(?: to=[\w.-]+)?(?: ?(?:<\|constrain\|>)? ?json)?<\|message\|>"
)
# What it costs to pair two messages, or to leave one without a partner. A pair is better than two that are left
# alone as long as it costs less than twice `_SKIP`; thinking that the oracle dropped is seldom there and costs nothing.
_EQUAL, _NEARER, _NEAR, _SAME_BODY, _SAME_HEAD, _SAME_KIND, _OTHER_ROLE, _NEVER = (
    0.0, 0.2, 0.3, 0.5, 0.9, 1.8, 2.2, 9.0,
)  # fmt: skip
_SKIP, _SKIP_DROPPED = 1.25, 0.02
_MOST_PARTS = 600
# Shorter texts turn up inside others by chance.
_TELLING = 4
# Of so many messages at most what they were taken apart to is kept, if they are no longer.
_KEPT_VIEWS, _KEPT_CHARS = 256, 4_000
_BLANK = re.compile(r'"?(?:\s|\\[nrt])*"?')
_ROLE_END = re.compile(r"[ <:.]")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)")
# A header whose `<|message|>` is missing, so that the text follows at once.
_OPEN_HEAD = re.compile(
    r"<\|start\|>((?:system|developer|user|assistant|tool|functions\.[\w-]+(?= to=))(?: to=[\w.-]+)?"
    r"(?:<\|channel\|>(?:analysis|commentary|final))?(?: to=[\w.-]+)?(?: (?:<\|constrain\|>)? ?json)?)"
)


@dataclass(slots=True)
class Pair:
    """A block of the oracle and the stretch of the actual text that stands for it; either may be missing.

    `dropped` marks a thinking block that the profile leaves out but the template wrote.
    """

    block: Block | None
    actual: str | None
    offset: int
    actual_offset: int
    dropped: bool = False

    @property
    def expected(self) -> str | None:
        """The text that the oracle wrote here; None where it wrote none."""
        return None if self.block is None or self.dropped else self.block.text

    @property
    def equal(self) -> bool:
        """Whether both texts are the same, character by character."""
        return self.expected == self.actual

    @property
    def kind(self) -> Kind | None:
        """The kind of the oracle's block; None where there is none."""
        return None if self.block is None else self.block.kind

    @property
    def both(self) -> tuple[Block, str, int, int]:
        """Block, actual text and their offsets, of a pair that has both."""
        assert self.block is not None
        assert self.actual is not None
        return self.block, self.actual, self.offset, self.actual_offset


def mask(text: str, blocks: Iterable[Block]) -> str:
    """Replace `<|start|>` by something of equal length wherever it stands inside a message of the oracle's."""
    for block in blocks:
        hostile = block.text
        at = hostile.find(START, 1)
        while at >= 0:
            left, right = hostile[max(0, at - 6) : at], hostile[at + len(START) : at + len(START) + 30]
            own = right.split("<|end|>")[0].split("\n")[0]
            # Long enough contexts only, or the true beginnings of messages would be masked with it.
            for before, after, least in (
                (left, right, 0),
                (left, own, 8 if left.endswith(_END_TAILS) else 0),
                (_quoted(left)[-6:], _quoted(own), 0),
                ("", right, 20),
                ("", _quoted(own), 20),
            ):
                context = before + START + after
                if len(after) < least or context not in text:
                    continue
                if before:
                    text = text.replace(context, before + _MASK + after)
                else:
                    # Where a message has ended another begins, though it should read like the hostile text.
                    text = re.sub(rf"(?<!\|>){re.escape(START)}(?={re.escape(after)})", _MASK, text)
                break
            at = hostile.find(START, at + 1)
    return text


def _quoted(text: str) -> str:
    return encode_basestring(text)[1:-1]


def align(expected: Rendering, actual: str) -> list[Pair]:
    """Pair the oracle's blocks with stretches of the actual text; equal pairs are left out.

    A thinking block that the profile drops is paired where the template wrote it all the same.
    """
    sequence = _with_dropped(expected)
    position = first = 0
    pairs: list[Pair] = []
    while first < len(sequence):
        block, offset, dropped = sequence[first]
        if actual.startswith(block.text, position) and _whole(block, position, actual):
            if dropped:
                pairs.append(Pair(block, block.text, offset, position, dropped=True))
            position += len(block.text)
        elif not dropped:
            break
        first += 1
    end, last = len(actual), len(sequence)
    while last > first:
        block, _, dropped = sequence[last - 1]
        if end - len(block.text) >= position and actual.endswith(block.text, position, end):
            if dropped:
                break
            end -= len(block.text)
        elif not dropped:
            break
        last -= 1
    if first == last and position == end:
        return pairs
    middle = sequence[first:last]
    masked = mask(actual, [block for block, _, _ in middle])
    # What is only added stands before the blocks that are alike again.
    behind = sequence[last][1] if last < len(sequence) else len(expected.text)
    pairs.extend(_align_middle(middle, _cut(masked, actual, position, end), behind, end))
    return pairs


def side_by_side(expected: Rendering, pairs: Sequence[Pair]) -> list[Pair]:
    """Return all messages in order: the pairs that differ (see `align`), and between them the equal ones."""
    blocks = zip(expected.blocks, expected.block_starts, strict=True)
    differing = {id(pair.block) for pair in pairs if pair.expected is not None}
    equal = [(block, start) for block, start in blocks if id(block) not in differing][::-1]
    found: list[Pair] = []
    position = 0
    for pair in pairs:
        while equal and position < pair.actual_offset:
            block, start = equal.pop()
            found.append(Pair(block, block.text, start, position))
            position += len(block.text)
        found.append(pair)
        position = pair.actual_offset + len(pair.actual or "")
    while equal:
        block, start = equal.pop()
        found.append(Pair(block, block.text, start, position))
        position += len(block.text)
    return found


_Entry = tuple[Block, int, bool]


def _whole(block: Block, position: int, actual: str) -> bool:
    # The prompt is how every message of the assistant begins; it is one only at the end of the text.
    return block.kind != "prompt" or position + len(block.text) == len(actual)


def _with_dropped(expected: Rendering) -> list[_Entry]:
    starts = expected.block_starts
    entries: list[_Entry] = [
        (block, start, False) for block, start in zip(expected.blocks, starts, strict=True)
    ]
    for position, block in reversed(expected.dropped):
        start = starts[position] if position < len(starts) else len(expected.text)
        entries.insert(position, (block, start, True))
    return entries


def _cut(masked: str, actual: str, position: int, end: int) -> list[tuple[str, int]]:
    """Cut a stretch of the actual text before each `<|start|>`; return the parts with their offsets."""
    cuts = [position]
    at = masked.find(START, position + 1, end)
    while at >= 0:
        # Text that only mentions the marker follows no end of a message and has no header behind it.
        if _HEADER.match(masked, at) or (
            masked.endswith("|>", 0, at) and masked[at + len(START) : at + len(START) + 1].isalpha()
        ):
            cuts.append(at)
        # Of a prompt with a hundred times the messages of any conversation the rest is one addition.
        at = masked.find(START, at + 1, end) if len(cuts) < _MOST_PARTS else -1
    cuts.append(end)
    return [(actual[a:b], a) for a, b in itertools.pairwise(cuts) if b > a]


def put_back(text: str) -> str:
    """Return a message whose text stands before its header with the text in its place; any other as it is."""
    found = _TURNED.fullmatch(text)
    return f"{found[2]}{found[1]}{found[3]}" if found else text


def _with_text_before(middle: list[_Entry], parts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Put text that stands before an empty message together with it, if it is the text of one."""
    said = {content for block, _, _ in middle if (content := _said(block))}
    for number in range(len(parts) - 1, -1, -1):
        text, offset = parts[number]
        if (
            number + 1 == len(parts)
            or not parts[number + 1][0].endswith(_EMPTY)
            or not _TURNED.fullmatch(f"x{parts[number + 1][0]}")
        ):
            continue
        for content in said:
            rest = text.removesuffix(content)
            if rest != text and (not rest or rest.endswith(ENDS)):
                whole = content + parts[number + 1][0]
                kept = [(rest, offset)] if rest else []
                parts[number : number + 2] = [*kept, (whole, offset + len(rest))]
                break
    return parts


def _said(block: Block) -> str:
    return "".join([text for region, _, text in block.pieces if region == "content"])


class _View:
    """A message's text taken apart once, for it is compared with many others."""

    __slots__ = ("content", "core", "head", "kind", "quoted", "role", "text", "value")

    def __init__(self, text: str) -> None:
        found = _HEAD.match(text) or _OPEN_HEAD.match(text)
        self.text = text
        self.head = found[1] if found else ""
        self.content = _content(text[found.end() :] if found else text)
        self.core = self.content[:24]
        quoted = _quoted(self.core)
        self.quoted = None if quoted == self.core else quoted
        self.role = _ROLE_END.split(self.head, maxsplit=1)[0]
        self.kind = _kind(self.role, self.head)
        self.value = _value(self.content) if self.kind == "call" else None

    def alike(self, other: _View) -> bool:
        """Say whether the other's content is this one's but for its edges or its encoding as JSON."""
        shown = other.content
        if self.value is not None and self.value == other.value:
            return True
        if not self.content:
            return _BLANK.fullmatch(shown) is not None
        if len(self.core) < _TELLING:
            return shown == self.core or shown.strip('" ') in (self.core, self.quoted)
        return self.core in shown or (self.quoted is not None and self.quoted in shown)


_seen = lru_cache(maxsize=_KEPT_VIEWS)(_View)


def _view(text: str) -> _View:
    """Return a message taken apart, once while readings are tried that have most messages in common."""
    return _seen(text) if len(text) < _KEPT_CHARS else _View(text)


def _kind(role: str, head: str) -> str:
    """Return what tells a message from others by its header: of an assistant its channel, or that it is a call."""
    if role != "assistant":
        return role
    if " to=" in head:
        return "call"
    channel = _CHANNEL.search(head)
    return channel[1] if channel else role


def _value(content: str) -> str | None:
    """Return the value of a call's arguments in one form, None where they are no JSON."""
    try:
        return json.dumps(json.loads(content), sort_keys=True)
    except (ValueError, RecursionError):
        return None


def _content(body: str) -> str:
    body = body.strip()
    for end in ENDS:
        if body.endswith(end):
            return body[: -len(end)].strip()
    return body


def _cost(block: Block, dropped: bool, expected: _View, actual: _View) -> float:
    if expected.text == actual.text:
        return _EQUAL
    if block.kind == "prompt":
        # Whatever opens a message of the assistant without ending it stands for the prompt.
        opens = actual.text.startswith(block.text) and not actual.text.rstrip().endswith(ENDS)
        return _NEAR if opens else _NEVER
    if expected.head == actual.head:
        if expected.content == actual.content:
            return _NEARER
        if expected.alike(actual):
            return _NEAR
        # What the assistant said is not lost into an empty message: that one is an addition.
        said = expected.role == "assistant" and expected.kind != "call"
        emptied = said and expected.content and not actual.content
        return _NEVER if dropped or emptied else _SAME_HEAD
    if dropped:
        return _NEVER
    if expected.role != actual.role:
        # The same text under another role is a wrong header only when nothing better stands beside it.
        named = expected.role and actual.role
        return _OTHER_ROLE if named and expected.alike(actual) else _NEVER
    if expected.content and expected.alike(actual):
        return _SAME_BODY
    # Two messages that differ in kind and in text are not each other's counterpart.
    return _SAME_KIND if expected.kind == actual.kind else _NEVER


def _align_middle(middle: list[_Entry], parts: list[tuple[str, int]], length: int, end: int) -> list[Pair]:
    """Align by least cost (Needleman-Wunsch); sizes are those of the differing middle only.

    `length` is where the expected text's differing middle ends, `end` where the actual text's does.
    """
    parts = _with_text_before(middle, parts)
    rows, columns = len(middle), len(parts)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    views = [_view(put_back(text)) for text, _ in parts]
    costs = []
    ours, theirs = {block.text for block, _, _ in middle}, {text for text, _ in parts}
    for block, _, dropped in middle:
        view = _view(block.text)
        row = [_cost(block, dropped, view, other) for other in views]
        if _EQUAL in row:
            # The same text in another place of the message is near, and no more.
            row = [
                cost or _NEARER * (other.text != part)
                for cost, other, (part, _) in zip(row, views, parts, strict=True)
            ]
        if block.text in theirs:
            # Two messages that both sides have, in other places, moved and are not each other's.
            row = [
                _NEVER if other.text in ours and other.text != view.text else cost
                for other, cost in zip(views, row, strict=True)
            ]
        costs.append(row)
    skips = [_SKIP_DROPPED if dropped else _SKIP for _, _, dropped in middle]
    for i in range(rows - 1, -1, -1):
        best[i][columns] = best[i + 1][columns] + skips[i]
    for j in range(columns - 1, -1, -1):
        best[rows][j] = best[rows][j + 1] + _SKIP
    for i in range(rows - 1, -1, -1):
        row, below, cost, skip = best[i], best[i + 1], costs[i], skips[i]
        for j in range(columns - 1, -1, -1):
            row[j] = min(below[j + 1] + cost[j], below[j] + skip, row[j + 1] + _SKIP)
    pairs: list[Pair] = []
    i = j = 0
    while i < rows or j < columns:
        here = best[i][j]
        offset = middle[i][1] if i < rows else length
        actual_offset = parts[j][1] if j < columns else end
        if i < rows and j < columns and here == best[i + 1][j + 1] + costs[i][j]:
            block, _, dropped = middle[i]
            if dropped or costs[i][j] != _EQUAL:
                pairs.append(Pair(block, parts[j][0], offset, actual_offset, dropped))
            i, j = i + 1, j + 1
        elif j < columns and here == best[i][j + 1] + _SKIP:
            # Additions before losses, so that of several equal blocks the first one is found.
            pairs.append(Pair(None, parts[j][0], offset, actual_offset))
            j += 1
        else:
            if not middle[i][2]:
                pairs.append(Pair(middle[i][0], None, offset, actual_offset))
            i += 1
    return pairs
