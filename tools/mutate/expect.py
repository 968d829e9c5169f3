"""How a changed text should be called, derived from where in Harmony's text it changed; the suite is not asked.

Two texts of one conversation are cut into messages and aligned, and inside a message by words. Each change is carried
over to Harmony's text, whose regions the oracle knows; the region, and whether text was lost, added or altered there,
say which rules may name it. This is written apart from `conformance.compare`, so that it can judge it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from conformance.conversation import Assistant, Case
from conformance.oracles.base import BELOW, WITHIN, Rendering

_WORDS = re.compile(r"<\|[a-z]+\|>|\w+|[^\S\n]+|\n|.", re.DOTALL)
_HEADER = re.compile(r"<\|start\|>(.*?)(?:<\|message\|>|$)", re.DOTALL)
# Above this many pairs of words lines are compared instead.
_LARGE = 1_500_000
# So many words are compared at most to know a message again, and such a share of them has to be the same.
_FEW, _ALIKE = 200, 0.6


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch that another text has otherwise: from `start` up to `end`, what it was, and what stands there."""

    start: int
    end: int
    lost: str
    added: str


def changes(one: str, other: str) -> list[Change]:
    """Return what differs, message by message and there word by word; positions are those of the first text."""
    ours, theirs = _messages(one), _messages(other)
    found: list[Change] = []
    starts = _starts(ours)
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            found += _within(ours[a:b], theirs[c:d], starts[a])
    return [change for change in found if change.lost or change.added]


def _messages(text: str) -> list[str]:
    return re.split(r"(?=<\|start\|>)", text)


def _starts(parts: list[str]) -> list[int]:
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return starts


def _within(ours: list[str], theirs: list[str], start: int) -> Iterator[Change]:
    """Pair the messages of a stretch by their headers, and compare the pairs; the others were lost or added."""
    headers = [_header(each) for each in ours], [_header(each) for each in theirs]
    pairs = _paired(*headers) if len(ours) != len(theirs) else [(i, i) for i in range(len(ours))]
    partner = dict(pairs)
    starts = _starts(ours)
    done = 0
    for number, text in enumerate(ours):
        at = start + starts[number]
        if number not in partner:
            yield Change(at, at + len(text), text, "")
            continue
        for extra in theirs[done : partner[number]]:
            yield Change(at, at, "", extra)
        done = partner[number] + 1
        other = theirs[partner[number]]
        if _counterparts(text, other):
            yield from _by_words(text, other, at)
        else:
            yield Change(at, at + len(text), text, "")
            yield Change(at + len(text), at + len(text), "", other)
    for extra in theirs[done:]:
        yield Change(start + starts[-1], start + starts[-1], "", extra)


def _counterparts(one: str, other: str) -> bool:
    """Say whether two messages are one that was changed: not so when their headers and most of their words differ."""
    if _header(one) == _header(other):
        return True
    ours, theirs = (text.removeprefix(f"<|start|>{_header(text)}<|message|>") for text in (one, other))
    words = SequenceMatcher(None, _WORDS.findall(ours)[:_FEW], _WORDS.findall(theirs)[:_FEW], autojunk=False)
    return words.ratio() > _ALIKE


def _header(message: str) -> str:
    found = _HEADER.match(message)
    return found[1] if found else message


def _paired(ours: list[str], theirs: list[str]) -> list[tuple[int, int]]:
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    return [(block.a + i, block.b + i) for block in matcher.get_matching_blocks() for i in range(block.size)]


def _by_words(one: str, other: str, offset: int) -> Iterator[Change]:
    if one == other:
        return
    ours, theirs = _WORDS.findall(one), _WORDS.findall(other)
    head = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    most = min(len(ours), len(theirs)) - head
    tail = next((i for i in range(most) if ours[-1 - i] != theirs[-1 - i]), most)
    a, b = ours[head : len(ours) - tail], theirs[head : len(theirs) - tail]
    if len(a) * len(b) > _LARGE:
        a, b = "".join(a).splitlines(keepends=True), "".join(b).splitlines(keepends=True)
    starts = _starts(a)
    offset += sum(map(len, ours[:head]))
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            yield _trimmed(offset + starts[i], "".join(a[i:j]), "".join(b[k:m]))


def _trimmed(start: int, lost: str, added: str) -> Change:
    """Return a change without what both texts have at its ends: a word may be lengthened."""
    head = _shared(lost, added)
    tail = _shared(lost[head:][::-1], added[head:][::-1])
    lost, added = lost[head : len(lost) - tail], added[head : len(added) - tail]
    return Change(start + head, start + head + len(lost), lost, added)


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts share at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


@dataclass(frozen=True, slots=True)
class _Region:
    kind: str
    region: str
    path: str
    start: int
    end: int
    message: int


class Expectation:
    """What may name the changes between an original's and a mutant's text of one conversation."""

    def __init__(self, case: Case, expected: Rendering) -> None:
        self._case = case
        self._text = expected.text
        said = (m for m in case.conversation.messages if isinstance(m, Assistant))
        self._preambles = {message.preamble for message in said if message.preamble}
        self._regions: list[_Region] = []
        self._blocks: list[tuple[int, int, str]] = []
        offset = 0
        for number, block in enumerate(expected.blocks):
            begin = offset
            for region, path, text in block.pieces:
                self._regions.append(_Region(block.kind, region, path, offset, offset + len(text), number))
                offset += len(text)
            self._blocks.append((begin, offset, block.kind))

    def rules(self, original: str, mutant: str) -> set[str]:
        """Return the rules that may name what the mutant writes otherwise than the original."""
        found: set[str] = set()
        to_oracle = _positions(original, self._text)
        for change in changes(original, mutant):
            start, end = to_oracle(change.start), to_oracle(change.end)
            found |= self._whole_messages(start, end, change)
            touched = self._touched(start, end)
            if not change.lost:
                # What is put in and repeats what follows may as well stand behind that.
                later = to_oracle(change.start + _slide(original, change))
                touched += self._touched(later, later) if later != start else []
                if change.added.strip() and any(stop in (start, later) for _, stop, _ in self._blocks):
                    found.add("message-added")
            blank = not (change.lost + change.added).strip()
            for region in touched:
                found |= self._named(region, change)
                if blank and (region.region in _EDGES or region.kind == "prompt"):
                    found.add("extra-newline")
            found |= _moved(touched)
        return found | _reordered(original, mutant)

    def _touched(self, start: int, end: int) -> list[_Region]:
        """Return the regions that a stretch overlaps; those on both sides of a place where text was put in."""
        touched = [each for each in self._regions if each.start < end and start < each.end]
        if start == end or not touched:
            # Where the original is wrong already, what it lost may have no length in Harmony's text.
            touched += [each for each in self._regions if each.start <= start <= each.end]
        return touched

    def _whole_messages(self, start: int, end: int, change: Change) -> set[str]:
        found: set[str] = set()
        for begin, stop, kind in self._blocks:
            # Most of a message counts as all of it: what is left stands in another's place.
            covered = min(end, stop) - max(begin, start)
            if covered > 0.8 * (stop - begin):
                found |= _LOST.get(kind, set()) | {"message-dropped"}
        if "<|start|>" in change.added:
            found |= {"message-added", "section-order"}
            if "<|channel|>analysis" in change.added:
                # Where the original had lost it, the mutant mends that.
                found |= {"thinking-retention", "thinking-channel", "thinking-dropped"}
            if any(f"<|message|>{text}<|" in change.added for text in self._preambles):
                # What stands beside a call was lost, and is there now in one channel or another.
                found |= {"preamble-channel"}
            if "<|channel|>final<|message|><|" in change.added:
                found.add("empty-final")
            if "developer" in change.added:
                found.add("empty-instructions")
            if change.added.strip() == "<|start|>assistant":
                found.add("generation-prompt")
        return found

    def _named(self, region: _Region, change: Change) -> set[str]:
        if region.kind == "system":
            return _SYSTEM.get(region.region, {"system-text"}) | _added_to_system(change)
        if region.kind == "developer":
            return self._developer(region, change)
        return _MESSAGE.get((region.kind, region.region)) or _MESSAGE.get(("", region.region), set())

    def _developer(self, region: _Region, change: Change) -> set[str]:
        rules = set(_DEVELOPER.get(region.region, {"tool-layout"}))
        if region.region in _TYPES:
            # The variants of a oneOf and the elements of an array are named by what holds them as well.
            rules |= {"one-of-layout"} if f"{BELOW}|" in region.path else set()
            rules |= {"array-items"} if f"{BELOW}[]" in region.path else set()
            if region.path.count(WITHIN) > 1 or BELOW in region.path:
                rules.add("nested-object")
            if " | null" in change.lost or " | null" in change.added:
                rules.add("nullable-ignored")
        if region.region in ("tool-description", "description", "object-description"):
            covered = self._text[region.start : region.end]
            rules |= {"multiline-description"} if covered.count("\n") > 1 else set()
        if "//" in change.added and not change.added.strip("/ \n"):
            rules.add("missing-description")
        if "?" in change.lost + change.added:
            rules.add("required-mark")
        if "default:" in change.lost + change.added:
            rules |= {"default-literal", "default-comment-placement"}
        if not (change.lost + change.added).strip() and region.region not in _SECTIONS:
            # Blanks alone are the layout of the tools, wherever among them they stand.
            rules.add("tool-layout")
        if "," in change.lost + change.added:
            rules |= (
                {"property-comma"} if region.region in ("comma", "line-end", "one-of", "default") else set()
            )
        if "\n" in change.lost + change.added and "type " in change.lost + change.added:
            rules.add("tool-dropped")
        if not self._case.conversation.tools or region.region in _SECTIONS:
            rules |= {"empty-instructions"} if "Instructions" in change.added else set()
        tool = next(
            (t for t in self._case.conversation.tools if t.name == region.path.split(WITHIN)[0]), None
        )
        if tool is not None and not (tool.parameters or {}).get("properties"):
            rules.add("empty-parameters")
        return rules


def _positions(one: str, other: str) -> Callable[[int], int]:
    """Return what carries a position of one text over to another."""
    if one == other:
        return lambda position: position
    marks = [(0, 0)]
    shift = 0
    for change in changes(one, other):
        marks.append((change.start, change.start + shift))
        shift += len(change.added) - len(change.lost)
        marks.append((change.end, change.end + shift))
    keys = [mark[0] for mark in marks]

    def position_in_other(position: int) -> int:
        start, there = marks[bisect_right(keys, position) - 1]
        return there + position - start

    return position_in_other


def _slide(original: str, change: Change) -> int:
    """Return by how many characters an insertion can be read as one further on."""
    shift = 0
    while (
        original[change.start + shift : change.start + shift + 1] == change.added[shift % len(change.added)]
    ):
        shift += 1
    return shift


def _reordered(original: str, mutant: str) -> set[str]:
    """Messages that both texts have, in another order, have moved."""
    ours, theirs = _messages(original), _messages(mutant)
    both = set(ours) & set(theirs)
    orders = [list(dict.fromkeys(text for text in texts if text in both)) for texts in (ours, theirs)]
    return {"message-moved"} if orders[0] != orders[1] else set()


def _moved(touched: list[_Region]) -> set[str]:
    """Whole properties and tools that went elsewhere are lost here."""
    names = sum(each.region in ("name", "one-of-name") for each in touched)
    tools = sum(each.region == "tool" for each in touched)
    return (
        {"tool-dropped", "tool-layout"}
        if names and tools
        else ({"tool-dropped"} if names or tools > 1 else set())
    )


def _added_to_system(change: Change) -> set[str]:
    rules = set()
    # What is only put in may begin anywhere in itself, where its end repeats what stood before it.
    added = change.added if change.lost else change.added * 2
    if "Calls to these tools" in added:
        rules.add("functions-note")
    if "# Tools" in added or "namespace" in added:
        rules.add("builtin-tools")
    return rules


_EDGES = frozenset({"end", "instructions-heading", "tools-heading", "header", "author"})
_SECTIONS = frozenset({"instructions-heading", "instructions", "tools-heading", "header", "end"})
_TYPES = frozenset(
    {"type", "type-union", "enum", "array", "array-any", "object", "object-description", "one-of", "one-of-comment",
     "nullable", "name", "comma", "default", "line-end", "title", "description", "examples", "one-of-default",
     "one-of-name"}
)  # fmt: skip
_SYSTEM = {
    "header": {"system-text", "role-header"},
    "current-date": {"current-date"},
    "reasoning-effort": {"reasoning-effort"},
    "builtin-tools": {"builtin-tools"},
    "functions-note": {"functions-note"},
    "end": {"system-text", "return-or-end", "functions-note"},
}
_COMMENTS = {"schema-comments-dropped", "missing-description"}
_DEVELOPER = {
    "header": {"role-header", "section-order"},
    "instructions-heading": {"section-order", "empty-instructions"},
    "instructions": {"instructions-altered", "instructions-trailing-newlines"},
    "tools-heading": {"section-order", "instructions-trailing-newlines"},
    "end": {"return-or-end", "tool-layout"},
    "namespace": {"tool-layout"},
    "tool": {"tool-layout"},
    "tool-description": _COMMENTS | {"tool-layout"},
    "no-parameters": {"empty-parameters", "tool-layout"},
    "title": _COMMENTS,
    "description": _COMMENTS,
    "examples": _COMMENTS,
    "object-description": _COMMENTS,
    "name": {"tool-layout"},
    "type": {"type-name"},
    "type-union": {"type-union", "type-name"},
    "enum": {"enum-values", "type-name"},
    "array": {"array-items"},
    "array-any": {"array-without-items"},
    "object": {"nested-object", "tool-layout", "empty-parameters"},
    "one-of": {"one-of-layout"},
    "one-of-comment": {"one-of-layout", *_COMMENTS, "default-literal"},
    "one-of-default": {"default-literal", "one-of-layout", "default-comment-placement"},
    "one-of-name": {"one-of-layout", "required-mark", "tool-layout"},
    "nullable": {"nullable-ignored"},
    "comma": {"property-comma", "tool-layout"},
    "default": {"default-literal", "default-comment-placement"},
    "line-end": {"tool-layout"},
}
_LOST = {
    "thinking": {"thinking-dropped", "thinking-retention"},
    "call": {"parallel-calls-dropped"},
    "developer": {"section-order", "instructions-altered", "tool-dropped"},
    "system": {"system-text"},
    "prompt": {"generation-prompt"},
}
_TEXT = {"text-altered", "text-trimmed"}
_MESSAGE = {
    ("", "author"): {"role-header"},
    ("", "header"): {"role-header"},
    ("", "recipient"): {"recipient-placement"},
    ("", "channel"): {"role-header"},
    ("", "content"): _TEXT,
    ("", "end"): {"return-or-end"},
    ("", "prompt"): {"generation-prompt", "role-header"},
    ("result", "author"): {"result-author"},
    ("result", "recipient"): {"result-author"},
    ("result", "channel"): {"result-author", "role-header"},
    ("result", "content"): _TEXT | {"result-json-encoded"},
    ("final", "channel"): {"final-channel-missing", "role-header"},
    ("thinking", "channel"): {"thinking-channel", "role-header"},
    ("preamble", "channel"): {"preamble-channel", "role-header"},
    ("call", "channel"): {"role-header", "recipient-placement"},
    ("call", "author"): {"role-header", "recipient-placement"},
    ("call", "content-type"): {"content-type-marker"},
    ("call", "header"): {"role-header", "content-type-marker"},
    ("call", "content"): {"arguments-altered", "arguments-formatting", "arguments-double-encoded"},
    ("call", "end"): {"call-terminator", "return-or-end"},
}
