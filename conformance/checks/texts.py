"""Every text that was sent is in the prompt once and in order: unique words say which is not."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from conformance.checks.base import Finding, eased, register
from conformance.checks.bench import RESULT_ROLES, Bench
from conformance.checks.probe import Probe
from conformance.checks.words import TOOL_KINDS, Word, places, words
from conformance.conversation import Assistant, Message, ToolResult, User
from conformance.rules.calls import ARGUMENTS_DOUBLE_ENCODED
from conformance.rules.properties import TEXT_LOST, TEXT_REORDERED, TEXT_REPEATED, UNSUPPORTED_INPUT

# Thinking of earlier turns may be dropped, and a template of a model that does not think has no place for it.
_MAY_BE_LOST = frozenset({"thinking"})
# Some formats put the instructions before the last user message: they may move.
_MAY_MOVE = TOOL_KINDS | {"instructions"}


@register("texts")
def texts(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield texts that are lost, repeated or out of order; only what the manner causes where it is not plain."""
    text = bench.text(probe)
    if text is None:
        return
    sent = _sent(probe)
    known = _wrong(bench, probe.plain) if probe.manner is not None else frozenset()
    unsupported: set[str] = set()
    for word in sent:
        found = places(text, word.text)
        if found and (len(found) == 1 or word.kind in TOOL_KINDS):
            continue
        if (word, bool(found)) in known:
            continue
        if found:
            yield Finding(
                TEXT_REPEATED.slug,
                probe,
                word.kind,
                expected=_whole(probe, word),
                actual=text,
                actual_offset=found[1],
                message=word.message,
                severity=eased(probe),
            )
        elif word.kind not in _MAY_BE_LOST:
            missing = _unsupported(bench, probe, word)
            if missing is None:
                yield Finding(
                    TEXT_LOST.slug,
                    probe,
                    _called(word, probe),
                    expected=_whole(probe, word),
                    actual=text,
                    message=word.message,
                    severity=eased(probe),
                )
            elif missing not in unsupported and probe.how in ("plain", "developer"):
                unsupported.add(missing)
                yield Finding(
                    UNSUPPORTED_INPUT.slug,
                    probe,
                    missing,
                    expected=_whole(probe, word),
                    actual=text,
                    message=word.message,
                )
    if probe.manner is None:
        yield from _out_of_order(probe, text, sent)
    if probe.how == "string-arguments":
        yield from _encoded_twice(bench, probe, text)


def _sent(probe: Probe) -> list[Word]:
    """Return the words that are in what the template receives: a manner may have left some out."""
    request = probe.request(generation=True)
    payload = msgspec.json.encode([request.messages, request.tools]).decode()
    return [word for word in words(probe.case.conversation) if word.text in payload]


def _wrong(bench: Bench, probe: Probe) -> frozenset[tuple[Word, bool]]:
    """Return the words that are lost (False) or repeated (True) in the plain manner."""
    text = bench.text(probe)
    if text is None:
        return frozenset()
    counts = {word: len(places(text, word.text)) for word in _sent(probe)}
    return frozenset((word, count > 1) for word, count in counts.items() if count != 1)


def _unsupported(bench: Bench, probe: Probe, word: Word) -> str | None:
    """Say which thing that the template never looks at explains the loss of a word."""
    if word.kind in TOOL_KINDS and "tools" not in bench.mentions:
        return "tools"
    if word.kind in ("argument", "preamble") and "tool_calls" not in bench.mentions:
        return "tool calls"
    if word.kind == "result" and not bench.mentions & RESULT_ROLES:
        return "tool results"
    if word.kind == "instructions" and probe.how == "developer":
        return bench.unsupported(probe)
    return None


def _called(word: Word, probe: Probe) -> str:
    """Name a lost text so that causes are told apart: later instructions, the second of two calls."""
    messages = probe.messages
    if word.kind == "instructions" and word.message:
        return "later instructions"
    if word.kind == "instructions" and probe.case.conversation.tools:
        return "instructions beside tools"
    said = messages[word.message] if word.message is not None else None
    if isinstance(said, Assistant) and len(said.calls) > 1:
        return f"{word.kind} of parallel calls"
    if isinstance(said, ToolResult) and _among_several(messages, said):
        return "result of parallel calls"
    if isinstance(said, User) and probe.name == "two-users":
        return "one of two user messages"
    return word.kind


def _among_several(messages: tuple[Message, ...], result: ToolResult) -> bool:
    made = 0
    for message in messages:
        if isinstance(message, Assistant):
            if result.call is not None and made <= result.call < made + len(message.calls):
                return len(message.calls) > 1
            made += len(message.calls)
    return False


def _out_of_order(probe: Probe, text: str, sent: list[Word]) -> Iterator[Finding]:
    last: tuple[int, Word] | None = None
    for word in sent:
        if word.kind in _MAY_MOVE or word.message is None:
            continue
        found = places(text, word.text)
        if len(found) != 1:
            continue
        if last is not None and found[0] < last[0]:
            same = word.message == last[1].message
            # Within a step only thinking has a fixed place: text and calls are written in either order.
            if not same or last[1].kind == "thinking":
                yield Finding(
                    TEXT_REORDERED.slug,
                    probe,
                    f"{word.kind} before {last[1].kind}",
                    expected=f"{last[1].text} … {word.text}",
                    actual=text,
                    actual_offset=found[0],
                    message=word.message,
                )
                return
        else:
            last = found[0], word


def _encoded_twice(bench: Bench, probe: Probe, text: str) -> Iterator[Finding]:
    plain = bench.text(probe.plain) or ""
    name = '\\"paramname1'
    if name in text and name not in plain:
        yield Finding(
            ARGUMENTS_DOUBLE_ENCODED.slug,
            probe,
            "arguments",
            expected=plain,
            actual=text,
            offset=plain.find("paramname1", plain.find("Userword1")),
            actual_offset=text.find(name),
            severity="warning",
        )


def _whole(probe: Probe, word: Word) -> str:
    return f"{word.text} ({word.kind}) once"
