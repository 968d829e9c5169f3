"""The unique words that probes consist of, and where a prompt has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from conformance.conversation import (
    Assistant,
    Conversation,
    Instructions,
    Message,
    Tool,
    ToolCall,
    ToolResult,
    User,
)

Kind: TypeAlias = Literal[
    "instructions",
    "user",
    "thinking",
    "preamble",
    "call",
    "argument",
    "result",
    "final",
    "tool name",
    "tool description",
    "parameter name",
    "parameter description",
    "enum value",
]

TOOL_KINDS: frozenset[Kind] = frozenset(
    {"tool name", "tool description", "parameter name", "parameter description", "enum value"}
)
ASSISTANT_KINDS: frozenset[Kind] = frozenset({"thinking", "preamble", "call", "argument", "final"})


@dataclass(frozen=True, slots=True)
class Word:
    """A word that only one text of a probe has; `message` is the index of its message, None for tools."""

    text: str
    kind: Kind
    message: int | None = None


def words(conversation: Conversation) -> list[Word]:
    """Return the words of a probe in the order in which they were said, those of the tools first."""
    found: list[Word] = []
    for tool in conversation.tools:
        found += _of_tool(tool)
    for index, message in enumerate(conversation.messages):
        found += _of_message(message, index)
    return found


def word_of(text: str) -> str:
    """Return the word that stands for a text: its first one."""
    return text.partition(" ")[0]


def _of_tool(tool: Tool) -> Iterator[Word]:
    yield Word(tool.name, "tool name")
    if tool.description:
        yield Word(word_of(tool.description), "tool description")
    if tool.parameters:
        yield from _of_properties(tool.parameters)


def _of_properties(schema: dict[str, Any]) -> Iterator[Word]:
    for name, own in schema.get("properties", {}).items():
        yield Word(name, "parameter name")
        if own.get("description"):
            yield Word(word_of(own["description"]), "parameter description")
        for value in own.get("enum", ()):
            yield Word(value, "enum value")


def _of_message(message: Message, index: int) -> Iterator[Word]:
    match message:
        case Instructions(text=text):
            yield Word(word_of(text), "instructions", index)
        case User(text=text):
            yield Word(word_of(text), "user", index)
        case ToolResult(content=content):
            yield Word(word_of(content), "result", index)
        case Assistant(thinking=thinking, preamble=preamble, calls=calls, final=final):
            if thinking:
                yield Word(word_of(thinking), "thinking", index)
            if preamble:
                yield Word(word_of(preamble), "preamble", index)
            for call in calls:
                yield from _of_call(call, index)
            if final:
                yield Word(word_of(final), "final", index)


def _of_call(call: ToolCall, index: int) -> Iterator[Word]:
    # A called tool that is offered too has its name in the prompt anyway.
    if isinstance(call.arguments, dict):
        for value in call.arguments.values():
            if isinstance(value, str):
                yield Word(value, "argument", index)


def places(text: str, word: str) -> list[int]:
    """Return where a word stands in a prompt."""
    found, at = [], text.find(word)
    while at >= 0:
        found.append(at)
        at = text.find(word, at + len(word))
    return found


def text_end(text: str, conversation: Conversation) -> int:
    """Return where the last word of a conversation's messages ends in a prompt, 0 where it has none."""
    ends = [
        found[-1] + len(word.text)
        for word in words(conversation)
        if word.message is not None and (found := places(text, word.text))
    ]
    return max(ends, default=0)
