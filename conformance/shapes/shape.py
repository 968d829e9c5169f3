"""One shape: a way of writing a conversation down as messages, tools and keyword arguments."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from conformance.as_sent import SentCase, SentRequest, as_sent
from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Tool,
    ToolCall,
    ToolResult,
    plain_case,
)
from conformance.engines.base import Request
from conformance.oracles.plan import arguments_text
from conformance.shapes.losses import (
    SERVER_LOSSES,
    ambiguous_results,
    harmony_only,
    late_results,
    parsed_arguments,
    unparsable_arguments,
)

Raw: TypeAlias = dict[str, Any]
Arguments: TypeAlias = Literal["object", "string", "parsed"]
EmptyContent: TypeAlias = Literal["absent", "null", "empty"]
Ids: TypeAlias = Literal["none", "counted", "opaque", "restarting"]
Parts: TypeAlias = Literal["none", "one", "several"]
Tools: TypeAlias = Literal["wrapped", "bare", "nulls", "filled"]


class CaseRequest(Request, frozen=True):
    """A request for a program that takes the conversation itself."""

    case: Case


@dataclass(frozen=True, slots=True)
class Shape:
    """One way of writing a conversation down; `loses` says which cases it cannot carry.

    The fields are those of `table.toml`.
    """

    name: str
    family: str
    arguments: Arguments
    thinking: tuple[str, ...]
    empty_content: EmptyContent
    ids: Ids
    names: bool
    parts: Parts = "none"
    tools: Tools = "wrapped"
    thinking_beside_calls: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    empty_calls: bool = False
    rare: bool = False

    def loses(self, case: Case) -> str | None:
        """Say what of the case this shape cannot carry, or None when it carries all of it."""
        for word in self.cannot:
            has_it, reason = SERVER_LOSSES[word]
            if has_it(case):
                return reason
        conversation = case.conversation
        lost = harmony_only(case)
        if lost is not None:
            return lost
        if self.arguments == "parsed":
            lost = unparsable_arguments(conversation)
            if lost is not None:
                return lost
        if self.ids == "none":
            return ambiguous_results(conversation, names=self.names)
        return late_results(conversation) if self.ids == "restarting" else None

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
        if options.mode == "continue":
            kwargs["continue_final_message"] = True
        tools = case.conversation.tools
        return Request(
            messages=self.messages(case.conversation),
            tools=[self._tool(tool) for tool in tools] if tools else None,
            kwargs=kwargs,
            add_generation_prompt=options.mode == "generation",
            date=options.date,
        )

    def messages(self, conversation: Conversation) -> list[Raw]:
        """Return the message list of a conversation in this shape."""
        out: list[Raw] = []
        calls: list[tuple[ToolCall, str]] = []  # with their ids
        for message in conversation.messages:
            if isinstance(message, Assistant):
                first = len(calls)
                made = [
                    (call, self._id(first + position, position))
                    for position, call in enumerate(message.calls)
                ]
                out.append(self._assistant(message, made))
                calls.extend(made)
            elif isinstance(message, ToolResult):
                raw: Raw = {"role": "tool", "content": self._text(message.content)}
                if message.call is None:
                    raw["name"] = message.name
                else:
                    call, identity = calls[message.call]
                    if self.ids != "none":
                        raw["tool_call_id"] = identity
                    if self.names:
                        raw["name"] = call.name
                out.append(raw)
            elif isinstance(message, Instructions):
                out.append({"role": message.role, "content": self._text(message.text)})
            else:
                user: Raw = {"role": "user", "content": self._text(message.text)}
                out.append(user if message.name is None else {**user, "name": message.name})
        return out

    def _id(self, number: int, position: int) -> str:
        """Return the id of call number `number`, at `position` within its step."""
        if self.ids == "opaque":
            return f"chatcmpl-tool-{hashlib.sha256(str(number).encode()).hexdigest()[:32]}"
        return f"call_{position if self.ids == 'restarting' else number}"

    def _assistant(self, step: Assistant, calls: list[tuple[ToolCall, str]]) -> Raw:
        raw: Raw = {"role": "assistant"}
        text = step.preamble if step.calls else step.final
        if text is not None:
            raw["content"] = self._text(text)
        elif self.empty_content != "absent":
            raw["content"] = None if self.empty_content == "null" else self._text("")
        if step.thinking is not None:
            names = (*self.thinking, *self.thinking_beside_calls) if calls else self.thinking
            raw.update(dict.fromkeys(names, step.thinking))
        if calls:
            raw["tool_calls"] = [self._call(call, identity) for call, identity in calls]
        elif self.empty_calls:
            raw["tool_calls"] = []
        return raw

    def _call(self, call: ToolCall, identity: str) -> Raw:
        arguments: Raw | str = call.arguments
        if self.arguments == "string":
            arguments = arguments_text(call)
        elif self.arguments != "object":
            parsed = parsed_arguments(call)
            arguments = call.arguments if parsed is None else parsed
        raw: Raw = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        return raw if self.ids == "none" else {"id": identity, **raw}

    def _text(self, text: str) -> str | list[Raw]:
        """Return a text as content: itself, or parts that make it up."""
        if self.parts == "none":
            return text
        pieces = [text]
        if self.parts == "several" and len(text) > 1:
            middle = len(text) // 2
            # An empty part between two others says nothing, and a template must not say anything for it.
            pieces = [text[:middle], "", text[middle:]]
        return [{"type": "text", "text": piece} for piece in pieces]

    def _tool(self, tool: Tool) -> Raw:
        function: Raw = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        if self.tools == "filled":
            function["description"] = tool.description or ""
            function["parameters"] = tool.parameters if tool.parameters is not None else {}
        elif self.tools != "nulls":
            function = {key: value for key, value in function.items() if value is not None}
        return function if self.tools == "bare" else {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class CanonicalShape(Shape):
    """The conversation itself, as it is: for programs that make the prompt without a template."""

    def loses(self, case: Case) -> str | None:
        """Return None: nothing is written in any other way."""
        return None

    def request(self, case: Case) -> Request:
        """Return the case, with the messages of `hf` for those who want to look at them."""
        # `super()` has no class to start from in a dataclass with slots.
        plain = Shape.request(self, case)
        return CaseRequest(
            plain.messages, plain.tools, plain.kwargs, plain.add_generation_prompt, plain.date, case
        )


@dataclass(frozen=True, slots=True)
class SentShape(Shape):
    """A request as a client sent it, nothing rewritten: only cases that were read from one have it."""

    def loses(self, case: Case) -> str | None:
        """Return None for a case that was read from a request, which is what it was sent as."""
        return None if isinstance(case, SentCase) else "it was not read from a request"

    def request(self, case: Case) -> Request:
        """Return the request itself."""
        assert isinstance(case, SentCase)
        sent = as_sent(case.body, case.options.date)
        return SentRequest(
            sent.messages,
            sent.tools,
            sent.kwargs,
            sent.add_generation_prompt,
            sent.date,
            case.body,
            plain_case(case),
        )
