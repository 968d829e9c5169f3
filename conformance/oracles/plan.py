"""The canonical mapping: a case becomes Harmony messages under a profile.

The plan is made twice over: as the JSON that the Harmony library renders, and as blocks of labelled
pieces whose text is asserted equal to what the library returns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Options,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.oracles.base import Block, Kind, Piece
from conformance.oracles.departures import departs, has_exponent, recipient_after_channel
from conformance.oracles.load import tokenizer
from conformance.oracles.profile import Profile
from conformance.oracles.schema_layout import write_namespace

IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
CUTOFF = "2024-06"
CHANNELS = ("analysis", "commentary", "final")
FUNCTIONS_NOTE = "\nCalls to these tools must go to the commentary channel: 'functions'."
_CONTENT_TYPE = {
    "json": "json",
    "constrain": "<|constrain|>json",
    "constrain-spaced": "<|constrain|> json",
    "none": None,
}
_BUILTIN_CONTENT_TYPE = {"code": "code", "constrain": "<|constrain|>code"}
# Between the texts of several instructions that are merged into one.
_BETWEEN = "\n\n"
_END: Piece = ("end", "", "<|end|>")
_EFFORT = {"low": "Low", "medium": "Medium", "high": "High"}

Raw = dict[str, Any]


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


@lru_cache(maxsize=2)
def builtin_namespace(name: str) -> Raw:
    """Return a built-in tool namespace as all Harmony libraries define it."""
    return tokenizer().namespace(name)


def arguments_text(call: ToolCall, form: str = "python") -> str:
    """Return a call's arguments as text: raw strings as they are, objects as JSON in the given form."""
    if isinstance(call.arguments, str):
        return call.arguments
    separators = (",", ":") if form == "compact" else (", ", ": ")
    return json.dumps(call.arguments, ensure_ascii=False, separators=separators)


def plan(case: Case, profile: Profile) -> Plan:
    """Map a case to Harmony messages under a profile."""
    conversation, options = case.conversation, case.options
    messages: list[Raw] = []
    blocks: list[Block] = []
    system, block = _system(options, bool(conversation.tools))
    messages.append(system)
    blocks.append(block)
    made = _developer(conversation, profile)
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
        messages, blocks, kept, dropped, retention == "harmony", _written(kept, conversation, profile), open_
    )


def _written(kept: list[Block], conversation: Conversation, profile: Profile) -> list[Block]:
    """Return blocks as the profile reads them, where it departs from what the library writes."""
    written = [recipient_after_channel(block) if departs(block, profile) else block for block in kept]
    if profile.exponents != "1e20":
        for number, block in enumerate(written[:2]):
            if block.kind == "developer" and has_exponent(block):
                made = _developer(conversation, profile, plus="+")
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


def _system(options: Options, tools: bool) -> tuple[Raw, Block]:
    identity = IDENTITY if options.model_identity is None else options.model_identity
    effort = options.reasoning_effort or "medium"
    pieces: list[Piece] = [
        ("header", "", "<|start|>system<|message|>"),
        ("identity", "", f"{identity}\n"),
        ("cutoff", "", f"Knowledge cutoff: {CUTOFF}\n"),
        ("current-date", "", f"Current date: {options.date}\n\n"),
        ("reasoning-effort", "", f"Reasoning: {effort}\n\n"),
    ]
    content: Raw = {
        "type": "system_content",
        "model_identity": identity,
        "reasoning_effort": _EFFORT[effort],
        "conversation_start_date": options.date,
        "knowledge_cutoff": CUTOFF,
        "channel_config": {"valid_channels": CHANNELS, "channel_required": True},
    }
    if options.builtin_tools:
        namespaces = {name: builtin_namespace(name) for name in sorted(options.builtin_tools)}
        content["tools"] = namespaces
        built: list[Piece] = []
        for space in namespaces.values():
            start = len(built)
            write_namespace(space["name"], space.get("description"), space["tools"], built)
            built[start:] = [
                ("builtin-tools", space["name"], "".join([piece[2] for piece in built[start:]]) + "\n\n")
            ]
        pieces.append(("builtin-tools", "", "# Tools\n\n"))
        pieces.extend(built)
    channels = ", ".join(CHANNELS)
    pieces.append(
        ("channels", "", f"# Valid channels: {channels}. Channel must be included for every message.")
    )
    if tools:
        pieces.append(("functions-note", "", FUNCTIONS_NOTE))
    pieces.append(_END)
    return {"role": "system", "content": [content]}, Block("system", -1, pieces)


def _instructions(conversation: Conversation, profile: Profile) -> tuple[str | None, int]:
    """Return the text of the developer message's instructions and the message it comes from, -1 for none.

    None is no section at all; an empty text has its heading.
    """
    messages = conversation.messages
    first = messages[0] if messages else None
    text = first.text if isinstance(first, Instructions) else ""
    sent_empty = isinstance(first, Instructions) and not text
    index = 0 if text else -1
    if profile.later_instructions == "merged":
        texts = [message.text for message in messages if isinstance(message, Instructions) and message.text]
        text = _BETWEEN.join(texts)
    if not text and sent_empty and conversation.tools and profile.empty_instructions == "section":
        return "", 0
    return text or None, index


def _developer(conversation: Conversation, profile: Profile, plus: str = "") -> tuple[Raw, Block] | None:
    """Return the developer message, None where nothing is in it; `plus` is the sign of exponents above 0."""
    instructions, index = _instructions(conversation, profile)
    tools = conversation.tools
    formats = conversation.response_formats if profile.response_formats == "section" else ()
    if instructions is None and not tools and not formats:
        return None
    pieces: list[Piece] = [("header", "", "<|start|>developer<|message|>")]
    content: Raw = {"type": "developer_content"}
    if instructions is not None:
        content["instructions"] = instructions
        pieces.append(("instructions-heading", "", "# Instructions\n\n"))
        pieces.append(("instructions", "", instructions))
    if tools:
        bare = profile.no_arguments == "none"
        described = [
            {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": None if bare and takes_nothing(tool) else tool.parameters,
            }
            for tool in tools
        ]
        content["tools"] = {"functions": {"name": "functions", "description": None, "tools": described}}
        heading = "# Tools\n\n" if instructions is None else "\n\n# Tools\n\n"
        pieces.append(("tools-heading", "", heading))
        write_namespace("functions", None, described, pieces, plus)
    contents = [content] if len(pieces) > 1 else []
    if formats:
        # The library has no field for them: it is given their text, as what else the message says.
        text = ("\n\n" if contents else "") + _response_formats(formats)
        contents.append({"type": "text", "text": text})
        pieces.append(("response-formats", "", text))
    pieces.append(_END)
    return {"role": "developer", "content": contents}, Block("developer", index, pieces)


def _response_formats(formats: tuple[ResponseFormat, ...]) -> str:
    """Return the section as docs/format.md, "Structured output", has it; the schema is compact as in its example."""
    parts = ["# Response Formats"]
    for form in formats:
        comment = "".join(
            [f"// {line}\n" for line in (form.description or "").split("\n") if form.description]
        )
        schema = json.dumps(form.schema, ensure_ascii=False, separators=(",", ":"))
        parts += [f"## {form.name}", comment + schema]
    return "\n\n".join(parts)


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


def takes_nothing(tool: Tool) -> bool:
    """Say whether a tool has a schema for its arguments in which there are none."""
    schema = tool.parameters
    plain = schema is not None and schema.get("type", "object") == "object" and "oneOf" not in schema
    return plain and not (schema or {}).get("properties")


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
            _END,
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
    pieces.append(("end", "", "<|call|>") if kind == "call" else _END)
    messages.append(raw)
    blocks.append(Block(kind, index, pieces, call))
