"""The canonical mapping: a case becomes Harmony messages under a profile.

The plan is made twice over: as the JSON that the Harmony library renders, and as blocks of labelled
pieces whose text is asserted equal to what the library returns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from conformance.conversation import (
    Assistant,
    Case,
    Instructions,
    ToolCall,
    ToolResult,
    User,
)
from conformance.oracles.base import Block, Kind, Piece
from conformance.oracles.departures import departs, has_exponent, recipient_after_channel
from conformance.oracles.opening import END, Opening, Raw
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


def plan(case: Case, profile: Profile, opening: Opening | None = None) -> Plan:
    """Map a case to Harmony messages under a profile; `opening` is the case's own, where several profiles are asked."""
    conversation, options = case.conversation, case.options
    opening = opening or Opening(case)
    messages: list[Raw] = []
    blocks: list[Block] = []
    system, block = opening.system()
    messages.append(system)
    blocks.append(block)
    made = opening.developer(profile)
    if made is not None:
        developer, block = made
        messages.append(developer)
        blocks.append(block)
    calls: list[ToolCall] = []
    training, continued = options.mode == "training", options.mode == "continue"
    for index, message in enumerate(conversation.messages[:-1] if continued else conversation.messages):
        if isinstance(message, User):
            name = message.name if profile.user_name == "written" else None
            author = "user" if name is None else f"user:{name}"
            _add(messages, blocks, "user", index, author, message.text, role="user", name=name)
        elif isinstance(message, Assistant):
            _assistant(messages, blocks, index, message, calls, profile)
        elif isinstance(message, ToolResult):
            _result(messages, blocks, index, message, calls)
        elif index:
            _later_instructions(messages, blocks, index, message, profile)
    retention = profile.thinking_training if training else profile.thinking_inference
    kept = retained(messages, blocks, retention, training=training)
    dropped = _dropped(blocks, kept)
    if retention != "harmony" and len(kept) != len(blocks):
        chosen = {id(block) for block in kept}
        messages = [raw for raw, block in zip(messages, blocks, strict=True) if id(block) in chosen]
        blocks = kept
    if training and blocks[-1].kind == "final":
        last = blocks[-1]
        last.pieces[-1] = ("end", "", "<|return|>")
        last.text = last.text[: -len("<|end|>")] + "<|return|>"
    open_ = 0
    if continued:
        step = conversation.messages[-1]
        assert isinstance(step, Assistant)
        written: list[Block] = []
        _assistant(messages, written, len(conversation.messages) - 1, step, calls, profile)
        last = written[-1]
        written[-1] = Block(last.kind, last.index, last.pieces[:-1])
        blocks, kept, open_ = [*blocks, *written], [*kept, *written], len(written)
    elif not training:
        kept = [*kept, Block("prompt", -1, [("prompt", "", "<|start|>assistant")])]
    return Plan(
        messages, blocks, kept, dropped, retention == "harmony", _written(kept, opening, profile), open_
    )


def _written(kept: list[Block], opening: Opening, profile: Profile) -> list[Block]:
    """Return blocks as the profile reads them, where it departs from what the library writes."""
    written = [recipient_after_channel(block) if departs(block, profile) else block for block in kept]
    if profile.exponents != "1e20":
        for number, block in enumerate(written[:2]):
            if block.kind == "developer" and has_exponent(block):
                made = opening.developer(profile, plus="+")
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


def _result(
    messages: list[Raw], blocks: list[Block], index: int, result: ToolResult, calls: list[ToolCall]
) -> None:
    name, builtin = result.name or "", result.builtin
    if result.call is not None:
        name, builtin = calls[result.call].name, calls[result.call].builtin
    author = name if builtin else f"functions.{name}"
    _add(
        messages, blocks, "result", index, author, result.content,
        role="tool", name=author, recipient="assistant", channel="analysis" if builtin else "commentary",
        call=-1 if result.call is None else result.call,
    )  # fmt: skip


def _later_instructions(
    messages: list[Raw], blocks: list[Block], index: int, message: Instructions, profile: Profile
) -> None:
    """Add instructions that are not the first message, as the profile reads them."""
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
        messages.append({"role": "developer", "content": [content]})
        blocks.append(Block("instructions", index, pieces))
    else:
        role = message.role if reading == "system" else "developer"
        _add(messages, blocks, "instructions", index, role, message.text)


def _assistant(
    messages: list[Raw],
    blocks: list[Block],
    index: int,
    step: Assistant,
    calls: list[ToolCall],
    profile: Profile,
) -> None:
    preamble_first = profile.preamble_place == "before-thinking"
    for preamble in (True, False) if preamble_first else (False, True):
        if preamble and step.preamble:
            channel = profile.preamble_channel
            _add(messages, blocks, "preamble", index, "assistant", step.preamble, channel=channel)
        elif not preamble and step.thinking:
            _add(messages, blocks, "thinking", index, "assistant", step.thinking, channel="analysis")
    for call in step.calls:
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
        _add(
            messages, blocks, "call", index, "assistant", text,
            recipient=recipient, channel=channel, content_type=kind, call=len(calls),
        )  # fmt: skip
        calls.append(call)
    if step.final:
        _add(messages, blocks, "final", index, "assistant", step.final, channel="final")


def _add(
    messages: list[Raw],
    blocks: list[Block],
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
) -> None:
    """Append one message of plain text in both forms."""
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
    messages.append(raw)
    blocks.append(Block(kind, index, pieces, call))
