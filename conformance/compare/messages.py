"""All messages but the system and developer ones: find what differs in header and content, what is lost or added."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from conformance.compare.align import ENDS, Pair, put_back
from conformance.compare.base import Difference, Named
from conformance.compare.ends import compare_prompt, name_end
from conformance.conversation import Assistant, Case, Instructions
from conformance.oracles.base import Block, Kind
from conformance.rules import calls, messages
from conformance.rules.base import Rule
from conformance.rules.system import EMPTY_INSTRUCTIONS, INSTRUCTIONS_ALTERED, RESPONSE_FORMATS

_START, _MESSAGE = "<|start|>", "<|message|>"
_HEAD = re.compile(r"(<\|start\|>)?(.*?)<\|message\|>", re.DOTALL)
# Blanks between the fields are not part of any.
_FIELDS = re.compile(
    r"^\s*(?P<author>[^\s<]*)(?P<to>\s+to=[^\s<]+)?"
    r"(?:\s*<\|channel\|>\s*(?P<channel>[a-z]*)(?:\s+(?P<late>to=[^\s<]+))?)?(?P<type>.*)$",
    re.DOTALL,
)
_PROMPT = re.compile(r"<\|start\|>assistant(?:<\|channel\|>\w*)?\s*")
_INSTRUCTIONS = "# Instructions"
# What a message is called when its channel is another; any other kind's is a matter of its header.
_CHANNELS: dict[Kind, Rule] = {
    "final": messages.FINAL_CHANNEL_MISSING,
    "thinking": messages.THINKING_CHANNEL,
    "preamble": calls.PREAMBLE_CHANNEL,
    "result": calls.RESULT_AUTHOR,
}


def name_added(case: Case, pair: Pair) -> Named:
    """Name text that belongs to no expected message."""
    actual = pair.actual or ""
    found = Difference(None, "message", "", "", actual, pair.offset, pair.actual_offset)
    return _added_rule(case, actual), found


def _added_rule(case: Case, actual: str) -> Rule:
    head, body, end = _parts(actual)
    if not actual.strip():
        return messages.EXTRA_NEWLINE
    if head.startswith("developer") and (_INSTRUCTIONS in body or not body.strip()):
        given = case.conversation.messages[:1]
        if not body.replace(_INSTRUCTIONS, "", 1).strip():
            return EMPTY_INSTRUCTIONS
        # Where the developer gave some, they are in another message; here they are invented.
        known = given and isinstance(given[0], Instructions) and given[0].text
        return messages.MESSAGE_ADDED if known else INSTRUCTIONS_ALTERED
    if head.startswith("assistant") and not body.strip():
        if end:
            other = "analysis" in head or "commentary" in head or " to=" in head
            return messages.MESSAGE_ADDED if other else messages.EMPTY_FINAL
        return messages.GENERATION_PROMPT
    if _PROMPT.fullmatch(actual):
        return messages.GENERATION_PROMPT
    texts = [m.thinking for m in case.conversation.messages if isinstance(m, Assistant) and m.thinking]
    return messages.THINKING_RETENTION if body in texts else messages.MESSAGE_ADDED


def name_moved(pair: Pair) -> Named:
    """Name a message that stands in another place, where it is missing."""
    assert pair.block is not None
    found = Difference(pair.block, "message", "", pair.block.text, "", pair.offset, pair.actual_offset)
    return messages.MESSAGE_MOVED, found


def name_dropped(case: Case, pair: Pair, pairs: list[Pair]) -> Named:
    """Name a message that the template did not write; `pairs` are all that differ."""
    block = pair.block
    assert block is not None
    found = Difference(block, "message", "", block.text, "", pair.offset, pair.actual_offset)
    return _dropped_rule(case, block, pairs), found


def _dropped_rule(case: Case, block: Block, pairs: list[Pair]) -> Rule:
    if block.kind == "prompt":
        return messages.GENERATION_PROMPT
    if block.kind == "developer" and block.pieces[1][0] == "response-formats":
        return RESPONSE_FORMATS
    if block.kind == "call":
        step = case.conversation.messages[block.index]
        count = len(step.calls) if isinstance(step, Assistant) else 0
        lost = [p for p in pairs if p.actual is None and p.block is not None and p.kind == "call"]
        if sum(pair.block is not None and pair.block.index == block.index for pair in lost) < count > 1:
            return calls.PARALLEL_CALLS_DROPPED
    if block.kind == "preamble" and _as_analysis_gone(case, block):
        return calls.PREAMBLE_CHANNEL
    return messages.MESSAGE_DROPPED


def _as_analysis_gone(case: Case, block: Block) -> bool:
    """Say whether the preamble, had it been analysis, would have been dropped as earlier thinking."""
    later = case.conversation.messages[block.index + 1 :]
    return any(isinstance(message, Assistant) and not message.calls for message in later)


def compare_message(pair: Pair) -> Iterator[Named]:
    """Yield the differences between one expected message and what the template wrote for it."""
    block, actual, start, actual_start = pair.both
    if block.kind == "prompt" or not block.pieces[0][2].startswith(_START):
        yield compare_prompt(pair)
        return
    if (whole := put_back(actual)) != actual:
        yield messages.TEXT_ALTERED, Difference(block, "message", "", block.text, actual, start, actual_start)
        actual = whole
        if actual == block.text:
            return
    head, _, _ = _parts(block.text)
    content = "".join([text for region, _, text in block.pieces if region == "content"])
    # A message that is to be continued has none.
    end = block.pieces[-1][2] if block.pieces[-1][0] == "end" else ""
    shown_head, shown, shown_end = _parts_like(actual, content)
    body_at = actual.find(_MESSAGE) + len(_MESSAGE)
    if _MESSAGE not in actual:
        body_at = len(actual) - len(shown) - len(shown_end)
        header = block.text[: len(block.text) - len(content) - len(end)]
        found = Difference(block, "header", "", header, actual[:body_at], start, actual_start)
        yield messages.ROLE_HEADER, found
    elif shown_head != head:
        yield from _compare_header(block, head, shown_head, pair)
    if shown != content:
        at = start + len(block.text) - len(content) - len(end)
        found = Difference(block, "content", "", content, shown, at, actual_start + body_at)
        yield _name_content(found), found
    if shown_end != end:
        at, actual_at = start + len(block.text) - len(end), actual_start + len(actual) - len(shown_end)
        found = Difference(block, "end", "", end, shown_end, at, actual_at)
        yield name_end(found), found


def _parts(text: str) -> tuple[str, str, str]:
    """Split a message into header, body and end; missing parts are empty."""
    found = _HEAD.match(text)
    head, rest = (found[2], text[found.end() :]) if found else ("", text)
    cut = max((rest.rfind(end) for end in ENDS), default=-1)
    return (head, rest[:cut], rest[cut:]) if cut >= 0 else (head, rest, "")


def _parts_like(actual: str, content: str) -> tuple[str, str, str]:
    """Split as `_parts`, but trust the expected content where it is there: it may hold end markers itself."""
    head, shown, shown_end = _parts(actual)
    found = _HEAD.match(actual)
    if found is None and shown.endswith(content):
        # Without `<|message|>` the text follows its header at once.
        return shown[: len(shown) - len(content)], content, shown_end
    if found and actual.startswith(content, found.end()):
        rest = actual[found.end() + len(content) :]
        if rest.startswith(ENDS) or not rest.strip():
            return head, content, rest
    return head, shown, shown_end


def _compare_header(block: Block, head: str, shown: str, pair: Pair) -> Iterator[Named]:
    """Name the differing fields of a header."""
    want, got = _FIELDS.match(head), _FIELDS.match(shown)
    start, actual_start = pair.offset + len(_START), pair.actual_offset + len(_START)
    base = Difference(block, "header", "", head, shown, start, actual_start)
    if want is None or got is None or not shown:
        yield messages.ROLE_HEADER, base
        return
    result, call = block.kind == "result", block.kind == "call"
    named: list[Named] = []
    if want["author"] != got["author"]:
        named.append((calls.RESULT_AUTHOR if result else messages.ROLE_HEADER, base))
    # A result's author and recipient are one matter.
    if (want["to"], want["late"]) != (got["to"], got["late"]) and not (result and named):
        other = calls.RECIPIENT_PLACEMENT if call else messages.ROLE_HEADER
        named.append((calls.RESULT_AUTHOR if result else other, base))
    if want["channel"] != got["channel"]:
        named.append((_CHANNELS.get(block.kind, messages.ROLE_HEADER), base))
    if want["type"] != got["type"]:
        skips = want.start("type"), got.start("type")
        marker = base.part("content-type", "", want["type"], got["type"], *skips)
        named.append((calls.CONTENT_TYPE_MARKER, marker) if call else (messages.ROLE_HEADER, base))
    yield from named or [(messages.ROLE_HEADER, base)]


def _name_content(found: Difference) -> Rule:
    assert found.block is not None
    content, shown = found.expected, found.actual
    if found.block.kind == "call":
        return _name_arguments(content, shown)
    if found.block.kind == "result" and _encodes(shown, content):
        return calls.RESULT_JSON_ENCODED
    if shown in (content.strip(), content.lstrip(), content.rstrip(), content.strip("\n")):
        return messages.TEXT_TRIMMED
    if shown.strip() == content.strip():
        return messages.TEXT_TRIMMED if len(shown) < len(content) else messages.EXTRA_NEWLINE
    return messages.TEXT_ALTERED


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


def _name_arguments(content: str, shown: str) -> Rule:
    try:
        value = json.loads(shown)
    except ValueError:
        return messages.TEXT_TRIMMED if shown == content.strip() else calls.ARGUMENTS_ALTERED
    if isinstance(value, str) and value == content:
        return calls.ARGUMENTS_DOUBLE_ENCODED
    try:
        same = json.dumps(value) == json.dumps(json.loads(content))
    except ValueError:
        same = False
    return calls.ARGUMENTS_FORMATTING if same else calls.ARGUMENTS_ALTERED
