"""What the profiles share of one case: each message is written once for all that read it alike.

Here are the two messages that a conversation opens with, the system's and the developer's. Tools are most of the work
of a text, and profiles read them alike or in one of a few ways.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
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
)
from conformance.oracles.base import Block, Piece
from conformance.oracles.load import tokenizer
from conformance.oracles.profile import Profile
from conformance.oracles.schema_layout import write_namespace

IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
CUTOFF = "2024-06"
CHANNELS = ("analysis", "commentary", "final")
FUNCTIONS_NOTE = "\nCalls to these tools must go to the commentary channel: 'functions'."
END: Piece = ("end", "", "<|end|>")
# Between the texts of several instructions that are merged into one.
_BETWEEN = "\n\n"
_EFFORT = {"low": "Low", "medium": "Medium", "high": "High"}

Raw = dict[str, Any]


# A message as a JSON value and as a block.
Written = tuple[Raw, Block]


class Shared:
    """The messages of one case as JSON values and as blocks; what two profiles read alike is one object.

    `messages` holds those after the first two, by their number in the conversation and by what a profile reads in them.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._system: Written | None = None
        self._developers: dict[tuple[object, ...], Written | None] = {}
        self.messages: dict[tuple[int, object], Sequence[Written]] = {}

    @cached_property
    def calls(self) -> list[ToolCall]:
        """All calls of the conversation, in order."""
        return [
            call
            for message in self._case.conversation.messages
            if isinstance(message, Assistant)
            for call in message.calls
        ]

    def system(self) -> Written:
        """Return the system message, which all profiles read alike."""
        if self._system is None:
            self._system = _system(self._case.options, bool(self._case.conversation.tools))
        return self._system

    def developer(self, profile: Profile, plus: str = "") -> Written | None:
        """Return the developer message, None where nothing is in it; `plus` is the sign of exponents above 0."""
        key = (
            profile.response_formats,
            profile.no_arguments,
            profile.later_instructions == "merged",
            profile.empty_instructions,
            plus,
        )
        if key not in self._developers:
            self._developers[key] = _developer(self._case.conversation, profile, plus)
        return self._developers[key]


@lru_cache(maxsize=2)
def builtin_namespace(name: str) -> Raw:
    """Return a built-in tool namespace as all Harmony libraries define it."""
    return tokenizer().namespace(name)


def _system(options: Options, tools: bool) -> Written:
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
    pieces.append(END)
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


def _developer(conversation: Conversation, profile: Profile, plus: str = "") -> Written | None:
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
    pieces.append(END)
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


def takes_nothing(tool: Tool) -> bool:
    """Say whether a tool has a schema for its arguments in which there are none."""
    schema = tool.parameters
    plain = schema is not None and schema.get("type", "object") == "object" and "oneOf" not in schema
    return plain and not (schema or {}).get("properties")
