"""The canonical mapping: a case becomes Harmony messages under a profile.

The plan is made twice over: as the JSON that the Harmony library renders, and as blocks of labelled
pieces whose text is asserted equal to what the library returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from conformance.conversation import (
    Assistant,
    Case,
    Instructions,
    Message,
    ToolCall,
    ToolResult,
    User,
)
from conformance.oracles.base import Block, Kind, Piece
from conformance.oracles.departures import departs, has_exponent, recipient_after_channel
from conformance.oracles.opening import END, Raw, Shared, Written
from conformance.oracles.profile import Profile

_CONTENT_TYPE = {
    "json": "json",
    "constrain": "<|constrain|>json",
    "constrain-spaced": "<|constrain|> json",
    "none": None,
}
_BUILTIN_CONTENT_TYPE = {"code": "code", "constrain": "<|constrain|>code"}


@dataclass(slots=True)
class Plan:
    """Harmony messages as JSON values and, in step with them, the blocks they should become.

    `auto_drop` asks the library to drop analysis itself; `kept` says which blocks should then be left,
    and `dropped` which are gone, each with its would-be position among them. `written` are the kept blocks as the
    profile reads them: the same objects, but for those in which it departs from what the library writes.
    """

    messages: list[Raw]
    blocks: list[Block]
    kept: list[Block]
    dropped: list[tuple[int, Block]]
    auto_drop: bool
    written: list[Block]
    open: int = 0


def arguments_text(call: ToolCall, form: str = "python") -> str:
    """Return a call's arguments as text: raw strings as they are, objects as JSON in the given form."""
    if isinstance(call.arguments, str):
        return call.arguments
    separators = (",", ":") if form == "compact" else (", ", ": ")
    return json.dumps(call.arguments, ensure_ascii=False, separators=separators)


def plan(case: Case, profile: Profile, shared: Shared | None = None) -> Plan:
    """Map a case to Harmony messages under a profile; `shared` is the case's own, where several profiles are asked."""
    conversation, options = case.conversation, case.options
    shared = shared or Shared(case)
    training, continued = options.mode == "training", options.mode == "continue"
    opened = [shared.system(), shared.developer(profile)]
    written = [one for one in opened if one is not None]
    called = 0
    for index, message in enumerate(conversation.messages[:-1] if continued else conversation.messages):
        if index or not isinstance(message, Instructions):
            written += _message(shared, index, message, called, profile)
        if isinstance(message, Assistant):
            called += len(message.calls)
    messages, blocks = [raw for raw, _ in written], [block for _, block in written]
    if training and blocks[-1].kind == "final":
        blocks[-1] = _ending(blocks[-1], "<|return|>")
    retention = profile.thinking_training if training else profile.thinking_inference
    kept = retained(messages, blocks, retention, training=training)
    dropped = _dropped(blocks, kept)
    if retention != "harmony" and len(kept) != len(blocks):
        chosen = {id(block) for block in kept}
        messages = [raw for raw, block in zip(messages, blocks, strict=True) if id(block) in chosen]
        blocks = kept
    open_ = 0
    if continued:
        step = conversation.messages[-1]
        assert isinstance(step, Assistant)
        begun = _message(shared, len(conversation.messages) - 1, step, called, profile)
        messages = [*messages, *[raw for raw, _ in begun]]
        still = [block for _, block in begun]
        still[-1] = _ending(still[-1])
        blocks, kept, open_ = [*blocks, *still], [*kept, *still], len(still)
    elif not training:
        kept = [*kept, Block("prompt", -1, [("prompt", "", "<|start|>assistant")])]
    return Plan(
        messages, blocks, kept, dropped, retention == "harmony", _as_read(kept, shared, profile), open_
    )


def _ending(block: Block, end: str = "") -> Block:
    """Return a message with another end, or with none."""
    pieces: list[Piece] = [*block.pieces[:-1], ("end", "", end)] if end else block.pieces[:-1]
    return Block(block.kind, block.index, pieces, block.call)


def _as_read(kept: list[Block], shared: Shared, profile: Profile) -> list[Block]:
    """Return blocks as the profile reads them, where it departs from what the library writes."""
    written = kept
    if "channel" in (profile.recipient, profile.result_recipient):
        written = [recipient_after_channel(block) if departs(block, profile) else block for block in kept]
    if profile.exponents != "1e20":
        written = list(written)
        for number, block in enumerate(written[:2]):
            if block.kind == "developer" and has_exponent(block):
                made = shared.developer(profile, plus="+")
                assert made is not None
                written[number] = made[1]
    return written


def _dropped(blocks: list[Block], kept: list[Block]) -> list[tuple[int, Block]]:
    if len(kept) == len(blocks):
        return []
    out, position = [], 0
    for block in blocks:
        if position < len(kept) and kept[position] is block:
            position += 1
        else:
            out.append((position, block))
    return out


def retained(messages: list[Raw], blocks: list[Block], retention: str, *, training: bool) -> list[Block]:
    """Return the blocks that stay under a retention setting; only analysis is ever dropped."""
    finals = [i for i, block in enumerate(blocks) if block.kind == "final"]
    if retention == "keep-all" or not finals:
        return blocks
    analysis = {i for i, raw in enumerate(messages) if raw.get("channel") == "analysis"}
    if retention == "harmony":
        last_assistant = max(i for i, raw in enumerate(messages) if raw["role"] == "assistant")
        dropped = {i for i in analysis if i < finals[0]} if last_assistant in finals else set()
    else:
        dropped = {i for i in analysis if i < finals[-1]}
        if training and finals[-1] == len(blocks) - 1:
            # The answer being trained on keeps its own thinking; earlier answers had lost theirs when
            # this one was sampled.
            i = finals[-1] - 1
            while i in dropped:
                dropped.discard(i)
                i -= 1
    return [block for i, block in enumerate(blocks) if i not in dropped] if dropped else blocks


# What of a profile decides how a message is written.
_READ_IN = {
    User: attrgetter("user_name"),
    Assistant: attrgetter(
        "preamble_place", "preamble_channel", "arguments_json", "content_type", "builtin_content_type"
    ),
    Instructions: attrgetter("later_instructions", "empty_instructions"),
}


def _message(
    shared: Shared, index: int, message: Message, called: int, profile: Profile
) -> Sequence[Written]:
    """Return what one message becomes, once for each reading; `called` is how many calls were made before it."""
    read = _READ_IN.get(type(message))
    key = index, read and read(profile)
    made = shared.messages.get(key)
    if made is None:
        if isinstance(message, User):
            name = message.name if profile.user_name == "written" else None
            author = "user" if name is None else f"user:{name}"
            made = [_plain("user", index, author, message.text, role="user", name=name)]
        elif isinstance(message, Assistant):
            made = list(_assistant(index, message, called, profile))
        elif isinstance(message, ToolResult):
            made = [_result(index, message, shared.calls)]
        else:
            made = list(_later_instructions(index, message, profile))
        shared.messages[key] = made
    return made


def _result(index: int, result: ToolResult, calls: Sequence[ToolCall]) -> Written:
    name, builtin = result.name or "", result.builtin
    if result.call is not None:
        name, builtin = calls[result.call].name, calls[result.call].builtin
    author = name if builtin else f"functions.{name}"
    return _plain(
        "result", index, author, result.content,
        role="tool", name=author, recipient="assistant", channel="analysis" if builtin else "commentary",
        call=-1 if result.call is None else result.call,
    )  # fmt: skip


def _later_instructions(index: int, message: Instructions, profile: Profile) -> Iterator[Written]:
    """Yield instructions that are not the first message, as the profile reads them."""
    reading = profile.later_instructions
    if reading == "merged" or not (
        message.text or (reading == "heading" and profile.empty_instructions == "section")
    ):
        return
    if reading == "heading":
        pieces: list[Piece] = [
            ("author", "", "<|start|>developer"),
            ("header", "", "<|message|>"),
            ("content", "", f"# Instructions\n\n{message.text}"),
            END,
        ]
        content = {"type": "developer_content", "instructions": message.text}
        yield {"role": "developer", "content": [content]}, Block("instructions", index, pieces)
    else:
        role = message.role if reading == "system" else "developer"
        yield _plain("instructions", index, role, message.text)


def _assistant(index: int, step: Assistant, called: int, profile: Profile) -> Iterator[Written]:
    preamble_first = profile.preamble_place == "before-thinking"
    for preamble in (True, False) if preamble_first else (False, True):
        if preamble and step.preamble:
            channel = profile.preamble_channel
            yield _plain("preamble", index, "assistant", step.preamble, channel=channel)
        elif not preamble and step.thinking:
            yield _plain("thinking", index, "assistant", step.thinking, channel="analysis")
    for number, call in enumerate(step.calls, called):
        text = arguments_text(call, profile.arguments_json)
        kind: str | None
        if call.builtin:
            recipient, channel, kind = (
                call.name,
                "analysis",
                _BUILTIN_CONTENT_TYPE[profile.builtin_content_type],
            )
        else:
            recipient, channel, kind = (
                f"functions.{call.name}",
                "commentary",
                _CONTENT_TYPE[profile.content_type],
            )
        yield _plain(
            "call", index, "assistant", text,
            recipient=recipient, channel=channel, content_type=kind, call=number,
        )  # fmt: skip
    if step.final:
        yield _plain("final", index, "assistant", step.final, channel="final")


def _plain(
    kind: Kind,
    index: int,
    author: str,
    text: str,
    *,
    role: str | None = None,
    name: str | None = None,
    recipient: str | None = None,
    channel: str | None = None,
    content_type: str | None = None,
    call: int = -1,
) -> Written:
    """Return one message of plain text in both forms."""
    raw: Raw = {"role": role or author, "content": [{"type": "text", "text": text}]}
    pieces: list[Piece] = [("author", "", f"<|start|>{author}")]
    if name is not None:
        raw["name"] = name
    if recipient is not None:
        raw["recipient"] = recipient
        pieces.append(("recipient", "", f" to={recipient}"))
    if channel is not None:
        raw["channel"] = channel
        pieces.append(("channel", "", f"<|channel|>{channel}"))
    if content_type is not None:
        raw["content_type"] = content_type
        pieces.append(("content-type", "", f" {content_type}"))
    pieces.append(("header", "", "<|message|>"))
    pieces.append(("content", "", text))
    pieces.append(("end", "", "<|call|>") if kind == "call" else END)
    return raw, Block(kind, index, pieces, call)
