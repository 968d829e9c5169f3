"""Which rules a vector exercises: plant each rule's typical faults in the right text and see what they are called.

A rule is exercised when a text with its fault is named by it. Nothing is claimed that was not tried.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace

from conformance.compare.classify import classify
from conformance.conversation import Assistant, Case, Instructions, User
from conformance.oracles.base import Block, Rendering
from conformance.oracles.plan import FUNCTIONS_NOTE, plan
from conformance.oracles.profile import Profile
from conformance.vectors.tool_faults import TOOL_FAULTS

# A fault changes the texts of one block's pieces, given the place of one of them, and says whether it could.
Fault = Callable[[list[str], int, Block, Case], bool]
_TRIES = 3


def _put(make: Callable[[str], str | None]) -> Fault:
    """Return the fault that puts another text in place of a piece, where `make` finds one."""

    def fault(texts: list[str], at: int, block: Block, case: Case) -> bool:
        made = make(texts[at])
        if made is None or made == texts[at]:
            return False
        texts[at] = made
        return True

    return fault


def _swap(old: str, new: str) -> Fault:
    return _put(lambda text: text.replace(old, new))


def _recoded(text: str) -> str | None:
    """Change text as careless code does: entities, normal forms, line ends, lost marks, escapes."""
    changed = (
        text.replace("&", "&amp;").replace("<", "&lt;"),
        unicodedata.normalize("NFC", text),
        text.replace("\r", ""),
        text.replace("\x00", ""),
        text.replace("\\n", "\n"),
        text.encode("ascii", "ignore").decode(),
        " ".join(text.split(" ")) if "  " not in text else " ".join(text.split()),
    )
    return next((other for other in changed if other != text and other.strip() != text.strip()), None)


def _newline_end(text: str) -> str:
    return text.rstrip("\n") if text.endswith("\n") else f"{text}\n"


def _reformatted(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    forms = (
        json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        json.dumps(value, ensure_ascii=False),
        json.dumps(value),
    )
    return next((form for form in forms if form != text), None)


def _other_arguments(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return "{}"
    ordered = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if not isinstance(value, dict):
        return json.dumps({"value": value})
    return ordered if list(value) != sorted(value) else None


def _recipient_last(texts: list[str], at: int, block: Block, case: Case) -> bool:
    recipient, texts[at] = texts[at], ""
    texts[at + 1] += recipient
    return block.kind == "call"


def _other_author(texts: list[str], at: int, block: Block, case: Case) -> bool:
    calls = case.conversation.calls()
    other = next((c.name for c in reversed(calls) if f"functions.{c.name}" not in texts[at]), None)
    texts[at] = f"<|start|>functions.{other}" if other else "<|start|>tool"
    return True


def _note_without_tools(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] += FUNCTIONS_NOTE
    return not case.conversation.tools


def _empty_heading(texts: list[str], at: int, block: Block, case: Case) -> bool:
    first = case.conversation.messages[:1]
    texts[at] = "# Instructions\n\n\n\n" + texts[at]
    return bool(first) and isinstance(first[0], Instructions) and not first[0].text


# (rule, kind of block or "" for any, region, fault)
_PIECES: tuple[tuple[str, str, str, Fault], ...] = (
    ("system-text", "system", "identity", _put(lambda _: "You are a helpful assistant.\n")),
    ("current-date", "system", "current-date", _put(lambda _: "Current date: 1970-01-01\n\n")),
    ("reasoning-effort", "system", "reasoning-effort", _put(lambda _: "Reasoning: unset\n\n")),
    ("builtin-tools", "system", "builtin-tools", _put(lambda _: "")),
    ("functions-note", "system", "functions-note", _put(lambda _: "")),
    ("functions-note", "system", "channels", _note_without_tools),
    ("instructions-trailing-newlines", "developer", "instructions", _put(_newline_end)),
    ("instructions-altered", "developer", "instructions", _put(_recoded)),
    ("section-order", "developer", "instructions-heading", _put(lambda _: "")),
    ("empty-instructions", "developer", "tools-heading", _empty_heading),
    ("arguments-double-encoded", "call", "content", _put(json.dumps)),
    ("arguments-formatting", "call", "content", _put(_reformatted)),
    ("arguments-altered", "call", "content", _put(_other_arguments)),
    ("content-type-marker", "call", "content-type", _put(lambda _: "")),
    ("recipient-placement", "call", "recipient", _recipient_last),
    ("call-terminator", "call", "end", _put(lambda _: "<|end|>")),
    ("preamble-channel", "preamble", "channel", _swap("commentary", "analysis")),
    ("preamble-channel", "preamble", "channel", _swap("analysis", "commentary")),
    ("result-json-encoded", "result", "content", _put(json.dumps)),
    ("result-author", "result", "author", _other_author),
    ("final-channel-missing", "final", "channel", _put(lambda _: "")),
    ("thinking-channel", "thinking", "channel", _swap("analysis", "commentary")),
    ("text-trimmed", "", "content", _put(str.strip)),
    ("text-altered", "", "content", _put(_recoded)),
    ("role-header", "instructions", "author", _swap("developer", "system")),
    ("role-header", "developer", "header", _swap("developer", "system")),
    ("return-or-end", "final", "end", _put(lambda end: "<|end|>" if end == "<|return|>" else "<|return|>")),
    ("return-or-end", "user", "end", _put(lambda _: "<|return|>")),
    ("extra-newline", "", "end", _put(lambda end: f"{end}\n")),
    *((slug, "developer", region, fault) for slug, region, fault in TOOL_FAULTS),
)


def faulty_texts(case: Case, rendering: Rendering, profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield texts with one planted fault each, and the rule that the fault should be named by."""
    for slug, kind, region, fault in _PIECES:
        hits = 0
        for position, block in enumerate(rendering.blocks):
            if kind and block.kind != kind:
                continue
            for at, piece in enumerate(block.pieces):
                if piece[0] != region or hits >= _TRIES:
                    continue
                texts = [text for _, _, text in block.pieces]
                if fault(texts, at, block, case):
                    hits += 1
                    yield slug, _joined(rendering.blocks, position, "".join(texts))
    yield from _lost(case, rendering)
    yield from _added(case, rendering)
    for value in ("harmony", "documented", "keep-all"):
        other = replace(profile, thinking_inference=value, thinking_training=value)
        text = "".join(block.text for block in plan(case, other).kept)
        if text != rendering.text:
            yield "thinking-retention", text


def _joined(blocks: list[Block], position: int, text: str) -> str:
    return "".join(text if i == position else block.text for i, block in enumerate(blocks))


def _lost(case: Case, rendering: Rendering) -> Iterator[tuple[str, str]]:
    """Leave out one message that careless renderers leave out."""
    blocks = rendering.blocks
    for position, block in enumerate(blocks):
        without = _joined(blocks, position, "")
        message = case.conversation.messages[block.index] if block.index >= 0 else None
        if block.kind == "thinking":
            yield "thinking-dropped", without
        elif block.kind == "call" and isinstance(message, Assistant) and len(message.calls) > 1:
            yield "parallel-calls-dropped", without
        elif block.kind == "prompt":
            yield "generation-prompt", without
        elif block.kind in ("instructions", "preamble", "result", "call", "final") or (
            isinstance(message, User) and not message.text
        ):
            yield "message-dropped", without


def _added(case: Case, rendering: Rendering) -> Iterator[tuple[str, str]]:
    """Add one message that careless renderers add."""
    blocks, messages = rendering.blocks, case.conversation.messages
    if case.options.mode == "training":
        yield "generation-prompt", f"{rendering.text}<|start|>assistant"
    first = messages[0] if messages else None
    if isinstance(first, Instructions) and not first.text and not any(b.kind == "developer" for b in blocks):
        yield (
            "empty-instructions",
            _joined(blocks, 0, f"{blocks[0].text}<|start|>developer<|message|># Instructions\n\n<|end|>"),
        )
    spoken = next((m for m in messages if not isinstance(m, Instructions)), None)
    for position, block in enumerate(blocks):
        message = messages[block.index] if block.index >= 0 else None
        if isinstance(message, Assistant) and message is spoken and block.kind != "developer":
            before = f"<|start|>user<|message|>Hello<|end|>{block.text}"
            yield "message-added", _joined(blocks, position, before)
        if isinstance(message, Assistant) and not message.calls and not message.final:
            after = f"{block.text}<|start|>assistant<|channel|>final<|message|><|end|>"
            yield "empty-final", _joined(blocks, position, after)
    for index, message in enumerate(messages):
        if isinstance(message, Assistant) and message.final == "" and not message.thinking:
            later = next((i for i, b in enumerate(blocks) if b.index > index or b.kind == "prompt"), None)
            if later is not None:
                empty = "<|start|>assistant<|channel|>final<|message|><|end|>"
                yield "empty-final", _joined(blocks, later, empty + blocks[later].text)


def exercised(case: Case, rendering: Rendering, profile: Profile) -> set[str]:
    """Return the rules of the text that this case would show when they are broken."""
    found: set[str] = set()
    for slug, text in faulty_texts(case, rendering, profile):
        if slug not in found:
            named = {item.rule for item in classify(case, rendering, text, profile)}
            if slug in named:
                found.add(slug)
    return found
