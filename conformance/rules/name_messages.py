"""Name what differs in messages outside the system and developer messages: headers, contents, ends, losses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product

from msgspec.structs import replace

from conformance.compare.align import Pair
from conformance.compare.base import Difference
from conformance.conversation import Assistant, Case, Instructions, Mode
from conformance.oracles.base import Block
from conformance.oracles.plan import plan
from conformance.oracles.profile import Profile

Named = tuple[str, Difference]
FRAME = frozenset({"header", "instructions-heading", "instructions", "tools-heading", "namespace", "end"})
_HEAD = re.compile(r"(<\|start\|>)?(.*?)<\|message\|>", re.DOTALL)
_ENDS = ("<|end|>", "<|call|>", "<|return|>")


def name_thinking(case: Case, pairs: list[Pair], profile: Profile) -> Named:
    """Name kept or lost thinking: retention when another retention setting explains all of it."""
    pair = pairs[0]
    block = pair.block
    assert block is not None
    expected, actual = ("", pair.actual or "") if pair.dropped else (block.text, "")
    found = Difference(block, "thinking", "", expected, actual, pair.offset, pair.actual_offset)
    lost = [pair for pair in pairs if not pair.dropped]
    # A template may also hold to the rule of the other mode: that of prompts in a text to train on.
    modes: tuple[Mode, ...] = ("generation", "training")
    settings = product(modes, ("harmony", "documented", "keep-all"))
    written = _written(case, pairs, profile)
    if not lost or any(_kept(case, profile, value, mode) == written for mode, value in settings):
        return "thinking-retention", found
    strictest = _kept(case, profile, "documented")
    # Thinking that even the strictest setting keeps was not dropped by any retention policy.
    gone = [p for p in lost if p.block is not None and p.block.index in strictest]
    chosen = gone[0] if gone else lost[0]
    assert chosen.block is not None
    found = Difference(
        chosen.block, "thinking", "", chosen.block.text, "", chosen.offset, chosen.actual_offset
    )
    return ("thinking-dropped" if gone else "thinking-retention"), found


def _kept(case: Case, profile: Profile, retention: str, mode: Mode | None = None) -> set[int]:
    """Return the messages whose thinking a retention setting keeps."""
    other = profile.with_setting(thinking_inference=retention, thinking_training=retention)
    # Tools do not matter here and are most of the work of a plan.
    bare = replace(case.conversation, tools=())
    case = replace(case, conversation=bare, options=replace(case.options, mode=mode or case.options.mode))
    return {block.index for block in plan(case, other).kept if block.kind == "thinking"}


def _written(case: Case, pairs: list[Pair], profile: Profile) -> set[int]:
    """Return the messages whose thinking the template wrote."""
    own = profile.thinking_inference if case.options.mode == "generation" else profile.thinking_training
    lost = {pair.block.index for pair in pairs if pair.block is not None and not pair.dropped}
    added = {pair.block.index for pair in pairs if pair.block is not None and pair.dropped}
    return (_kept(case, profile, own) - lost) | added


def retention_agrees(case: Case, pairs: list[Pair], profile: Profile, other: Profile) -> bool:
    """Say whether another profile keeps exactly the thinking that the template wrote."""
    thinking = [
        p for p in pairs if p.dropped or (p.actual is None and p.block and p.block.kind == "thinking")
    ]
    inference = case.options.mode == "generation"
    retention = other.thinking_inference if inference else other.thinking_training
    return _kept(case, profile, retention) == _written(case, thinking, profile)


def name_extra(case: Case, pair: Pair) -> Named:
    """Name text that belongs to no expected message."""
    actual = pair.actual or ""
    found = Difference(None, "message", "", "", actual, pair.offset, pair.actual_offset)
    head, body, end = _parts(actual)
    if not actual.strip():
        return "extra-newline", found
    if head.startswith("developer") and ("# Instructions" in body or not body.strip()):
        return "empty-instructions", found
    if head.startswith("assistant") and not body.strip():
        if end:
            return ("message-added" if "analysis" in head else "empty-final"), found
        return "generation-prompt", found
    if actual.startswith("<|start|>assistant") and "<|message|>" not in actual:
        return "generation-prompt", found
    texts = [m.thinking for m in case.conversation.messages if isinstance(m, Assistant) and m.thinking]
    if body in texts:
        return "thinking-retention", found
    return "message-added", found


def name_missing(case: Case, pair: Pair, pairs: list[Pair]) -> Named:
    """Name a message that the template did not write."""
    block = pair.block
    assert block is not None
    found = Difference(block, "message", "", block.text, "", pair.offset, pair.actual_offset)
    if block.kind == "prompt":
        return "generation-prompt", found
    if block.kind == "call":
        step = case.conversation.messages[block.index]
        if isinstance(step, Assistant) and len(step.calls) > 1:
            missing = sum(1 for p in pairs if p.actual is None and p.block and p.block.kind == "call"
                          and p.block.index == block.index)  # fmt: skip
            if missing < len(step.calls):
                return "parallel-calls-dropped", found
    if block.kind == "preamble":
        return "preamble-channel" if _as_analysis_gone(case, block) else "message-dropped", found
    if block.kind == "developer" and not isinstance(case.conversation.messages[:1] or None, Instructions):
        return "message-dropped", found
    return "message-dropped", found


def _as_analysis_gone(case: Case, block: Block) -> bool:
    """Say whether the preamble, had it been analysis, would have been dropped as earlier thinking."""
    later = case.conversation.messages[block.index + 1 :]
    return any(isinstance(m, Assistant) and not m.calls for m in later)


def _parts(text: str) -> tuple[str, str, str]:
    """Split a message into header, body and end; missing parts are empty."""
    found = _HEAD.match(text)
    head, rest = (found[2], text[found.end() :]) if found else ("", text)
    cut = max((rest.rfind(end) for end in _ENDS), default=-1)
    return (head, rest[:cut], rest[cut:]) if cut >= 0 else (head, rest, "")


def name_pair(case: Case, pair: Pair) -> Iterator[Named]:
    """Name the differences between one expected message and what the template wrote for it."""
    block, actual = pair.block, pair.actual
    assert block is not None
    assert actual is not None
    if block.kind == "prompt" or not block.pieces[0][2].startswith("<|start|>"):
        slug = "extra-newline" if actual.split() == block.text.split() else "generation-prompt"
        yield slug, Difference(block, "prompt", "", block.text, actual, pair.offset, pair.actual_offset)
        return
    head, _, _ = _parts(block.text)
    content = "".join([text for region, _, text in block.pieces if region == "content"])
    end = block.pieces[-1][2]
    shown_head, shown, shown_end = _parts_like(actual, content, end)
    before = len(block.text) - len(content) - len(end)
    if shown_head != head:
        yield from _name_head(block, head, shown_head, pair)
    if shown != content:
        at, actual_at = (
            pair.offset + before,
            pair.actual_offset + actual.find("<|message|>") + len("<|message|>"),
        )
        found = Difference(block, "content", "", content, shown, at, actual_at)
        yield _name_content(case, block, content, shown), found
    if shown_end != end:
        at = pair.offset + len(block.text) - len(end)
        found = Difference(
            block, "end", "", end, shown_end, at, pair.actual_offset + len(actual) - len(shown_end)
        )
        yield _name_end(block, end, shown_end), found


def _parts_like(actual: str, content: str, end: str) -> tuple[str, str, str]:
    """Split as `_parts`, but trust the expected content where it is there: it may hold end markers itself."""
    head, shown, shown_end = _parts(actual)
    found = _HEAD.match(actual)
    if found and actual.startswith(content, found.end()):
        rest = actual[found.end() + len(content) :]
        if rest.startswith(_ENDS) or not rest.strip():
            return head, content, rest
    return head, shown, shown_end


_FIELDS = re.compile(r"^(?P<author>[^\s<]*)(?P<to>\s+to=[^\s<]+)?(?:<\|channel\|>(?P<channel>[a-z]*)(?P<late> +to=[^\s<]+)?)?(?P<type>.*)$", re.DOTALL)  # fmt: skip


def _name_head(block: Block, head: str, shown: str, pair: Pair) -> Iterator[Named]:
    """Name the differing fields of a header."""
    want, got = _FIELDS.match(head), _FIELDS.match(shown)
    base = Difference(block, "header", "", head, shown, pair.offset + 9, pair.actual_offset + 9)
    if want is None or got is None or not shown:
        yield "role-header", base
        return
    named = False
    if want["author"] != got["author"]:
        named = True
        yield ("result-author" if block.kind == "result" else "role-header"), base
    recipient = (want["to"], None) != (got["to"], got["late"])
    if recipient and not (block.kind == "result" and named):
        named = True
        if block.kind == "result":
            yield "result-author", base
        else:
            yield ("recipient-placement" if block.kind == "call" else "role-header"), base
    if want["channel"] != got["channel"]:
        named = True
        yield _name_channel(block, got["channel"]), base
    if want["type"] != got["type"]:
        named = True
        if block.kind == "call":
            found = Difference(block, "content-type", "", want["type"], got["type"],
                               pair.offset + 9 + want.start("type"), pair.actual_offset + 9 + got.start("type"))  # fmt: skip
            yield "content-type-marker", found
        else:
            yield "role-header", base
    if not named:
        yield "role-header", base


def _name_channel(block: Block, shown: str | None) -> str:
    if block.kind == "final":
        return "final-channel-missing"
    if block.kind == "thinking":
        return "thinking-channel"
    if block.kind == "preamble":
        return "preamble-channel"
    return "result-author" if block.kind == "result" else "role-header"


def _name_content(case: Case, block: Block, content: str, shown: str) -> str:
    if block.kind == "call":
        return _name_arguments(case, block, content, shown)
    if block.kind == "result" and _encodes(shown, content):
        return "result-json-encoded"
    if shown == content.strip() or shown in (content.lstrip(), content.rstrip(), content.strip("\n")):
        return "text-trimmed"
    if shown.strip() == content.strip():
        trimmed = len(shown) < len(content)
        return "text-trimmed" if trimmed else "extra-newline"
    return "text-altered"


def _encodes(shown: str, content: str) -> bool:
    """Say whether `shown` is JSON for the text `content`, or for the value that `content` is JSON of."""
    try:
        value = json.loads(shown)
    except ValueError:
        return False
    if value == content:
        return True
    try:
        return bool(value == json.loads(content)) and not isinstance(value, str)
    except ValueError:
        return False


def _name_arguments(case: Case, block: Block, content: str, shown: str) -> str:
    try:
        value = json.loads(shown)
    except ValueError:
        return "text-trimmed" if shown == content.strip() else "arguments-altered"
    if isinstance(value, str) and value == content:
        return "arguments-double-encoded"
    try:
        same = json.dumps(value) == json.dumps(json.loads(content))
    except ValueError:
        same = False
    return "arguments-formatting" if same else "arguments-altered"


def _name_end(block: Block, end: str, shown: str) -> str:
    mark = shown.strip()
    if mark == end:
        return "extra-newline"
    if shown.startswith(end) and not shown[len(end) :].strip():
        return "extra-newline"
    return "call-terminator" if block.kind == "call" else "return-or-end"
