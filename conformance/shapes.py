"""Shapes: the ways a server hands one conversation to a template, as messages, tools and keyword arguments.

A family such as `hf` has members that differ in what servers really vary: an assistant message without
text has its `content` absent, null or empty; tool calls carry ids or not; results carry names or not. A
member is named by its family and what it changes, `hf+null-content+ids`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Literal, TypeAlias

from conformance.conversation import Assistant, Case, Conversation, Instructions, Tool, ToolCall, ToolResult
from conformance.engines.base import Request
from conformance.errors import UsageError
from conformance.oracles.plan import arguments_text

Raw: TypeAlias = dict[str, Any]
EmptyContent: TypeAlias = Literal["absent", "null", "empty"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way of writing a conversation down; `loses` says which cases it cannot carry."""

    name: str
    family: str
    arguments: Literal["object", "string"]
    thinking_key: Literal["thinking", "reasoning_content"]
    empty_content: EmptyContent
    ids: bool
    names: bool

    def loses(self, case: Case) -> str | None:
        """Say what of the case this shape cannot carry, or None when it carries all of it."""
        if self.ids:
            return None
        return _ambiguous_results(case.conversation, names=self.names)

    def request(self, case: Case) -> Request:
        """Return what a template receives: messages, tools and keyword arguments."""
        options = case.options
        kwargs: Raw = {}
        if options.reasoning_effort is not None:
            kwargs["reasoning_effort"] = options.reasoning_effort
        if options.model_identity is not None:
            kwargs["model_identity"] = options.model_identity
        if options.builtin_tools:
            kwargs["builtin_tools"] = list(options.builtin_tools)
        tools = case.conversation.tools
        return Request(
            messages=self.messages(case.conversation),
            tools=[_tool(tool) for tool in tools] if tools else None,
            kwargs=kwargs,
            add_generation_prompt=options.mode == "generation",
            date=options.date,
        )

    def messages(self, conversation: Conversation) -> list[Raw]:
        """Return the message list of a conversation in this shape."""
        out: list[Raw] = []
        calls: list[ToolCall] = []
        for message in conversation.messages:
            if isinstance(message, Assistant):
                out.append(self._assistant(message, len(calls)))
                calls.extend(message.calls)
            elif isinstance(message, ToolResult):
                raw: Raw = {"role": "tool", "content": message.content}
                if self.ids:
                    raw["tool_call_id"] = f"call_{message.call}"
                if self.names:
                    raw["name"] = calls[message.call].name
                out.append(raw)
            else:
                role = message.role if isinstance(message, Instructions) else "user"
                out.append({"role": role, "content": message.text})
        return out

    def _assistant(self, step: Assistant, first_call: int) -> Raw:
        raw: Raw = {"role": "assistant"}
        text = step.preamble if step.calls else step.final
        if text is not None:
            raw["content"] = text
        elif self.empty_content != "absent":
            raw["content"] = None if self.empty_content == "null" else ""
        if step.thinking is not None:
            raw[self.thinking_key] = step.thinking
        if step.calls:
            raw["tool_calls"] = [self._call(call, first_call + i) for i, call in enumerate(step.calls)]
        return raw

    def _call(self, call: ToolCall, number: int) -> Raw:
        arguments = arguments_text(call) if self.arguments == "string" else call.arguments
        raw: Raw = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        return {"id": f"call_{number}", **raw} if self.ids else raw


def _tool(tool: Tool) -> Raw:
    function: Raw = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _ambiguous_results(conversation: Conversation, *, names: bool) -> str | None:
    """Say why results cannot be matched to their calls by order (or by name), if they cannot."""
    start, open_calls, made = 0, list[str](), 0
    answered: list[int] = []
    for message in conversation.messages:
        if isinstance(message, Assistant) and message.calls:
            start, open_calls, answered = made, [call.name for call in message.calls], []
            made += len(message.calls)
        elif isinstance(message, ToolResult):
            here = message.call - start
            if here < 0:
                return "a result that answers an earlier step's call needs tool_call ids"
            by_name = names and open_calls.count(open_calls[here]) == 1
            if here != len(answered) and not by_name:
                return "results out of order need tool_call ids"
            answered.append(here)
    return None


_MODIFIERS: dict[EmptyContent, str] = {
    "absent": "absent-content",
    "null": "null-content",
    "empty": "empty-content",
}


def _family(
    name: str,
    arguments: Literal["object", "string"],
    thinking_key: Literal["thinking", "reasoning_content"],
    contents: Sequence[EmptyContent],
    ids: Sequence[bool],
) -> Iterator[Shape]:
    """Make a family's members; the first value of each is the family's own way and goes without a name."""
    for content, with_ids, with_names in product(contents, ids, (False, True)):
        changes = [_MODIFIERS[content]] if content != contents[0] else []
        if with_ids != ids[0]:
            changes.append("ids")
        if with_names:
            changes.append("names")
        label = "+".join([name, *changes])
        yield Shape(label, name, arguments, thinking_key, content, with_ids, with_names)


@lru_cache(maxsize=1)
def families() -> dict[str, tuple[Shape, ...]]:
    """Return the members of each shape family, the plain one first."""
    return {
        "hf": tuple(_family("hf", "object", "thinking", ("absent", "null", "empty"), (False, True))),
        "openai": tuple(
            _family("openai", "string", "reasoning_content", ("null", "absent", "empty"), (True,))
        ),
    }


def shapes(names: Iterable[str] = ()) -> tuple[tuple[Shape, ...], ...]:
    """Return, for each name, the shapes to draw from: a family's members, or the one member named.

    No names means every family. Raises UsageError for a name that is neither.
    """
    known = families()
    chosen: list[tuple[Shape, ...]] = []
    for name in dict.fromkeys(names) or known:
        if name in known:
            chosen.append(known[name])
            continue
        member = [shape for family in known.values() for shape in family if shape.name == name]
        if not member:
            raise UsageError(
                f"No shape is called {name!r}; choose from {', '.join(known)}, or one member such as "
                f"{known['hf'][-1].name}."
            )
        chosen.append((member[0],))
    return tuple(chosen)


def draw(choices: tuple[tuple[Shape, ...], ...], index: int) -> Shape:
    """Return the shape of case number `index`: families take turns, and so do members within each."""
    family = choices[index % len(choices)]
    return family[(index // len(choices)) % len(family)]
