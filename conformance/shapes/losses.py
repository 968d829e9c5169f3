"""What a shape cannot carry: for each loss, which cases have it and how it is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from conformance.conversation import Assistant, Case, Conversation, ToolCall, ToolResult, User


def _steps(case: Case) -> Iterator[Assistant]:
    return (message for message in case.conversation.messages if isinstance(message, Assistant))


def _options(case: Case) -> bool:
    options = case.options
    return bool(options.reasoning_effort or options.model_identity is not None or options.builtin_tools)


def _ends_with_assistant(case: Case) -> bool:
    return isinstance((case.conversation.messages or (None,))[-1], Assistant)


def _beside_thinking_and_calls(case: Case) -> bool:
    return any(step.thinking and step.preamble and step.calls for step in _steps(case))


def without_grammar(schema: Any, root: Any = None) -> bool:
    """Say whether llama.cpp makes no grammar of a JSON Schema: a list of no types, or a $ref that leads nowhere."""
    root = schema if root is None else root
    if isinstance(schema, list):
        return any(without_grammar(each, root) for each in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == []:
        return True
    reference = schema.get("$ref")
    if isinstance(reference, str) and not _leads(reference, root):
        return True
    return any(without_grammar(value, root) for value in schema.values())


def _leads(reference: str, root: Any) -> bool:
    if not reference.startswith("#/"):
        return reference == "#"
    for name in reference[2:].split("/"):
        if not isinstance(root, dict) or name not in root:
            return False
        root = root[name]
    return True


def _beyond_64_bits(value: Any) -> bool:
    """Say whether an integer stands in it that neither 64 signed nor 64 unsigned bits hold."""
    if isinstance(value, dict | list):
        return any(_beyond_64_bits(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _calls_beyond_64_bits(case: Case) -> bool:
    return any(_beyond_64_bits(parsed_arguments(call)) for call in case.conversation.calls())


SERVER_LOSSES: dict[str, tuple[Callable[[Case], bool], str]] = {
    "calls": (
        lambda case: any(step.calls for step in _steps(case)),
        "the server writes tool calls as the text of a message",
    ),
    "options": (_options, "the server passes no keyword arguments to the template"),
    "arguments-beyond-64-bits": (
        _calls_beyond_64_bits,
        "the server reads integers outside of 64 bits as floats",
    ),
    "assistant-as-user": (
        _ends_with_assistant,
        "the server hands a last message of the assistant over as the user's",
    ),
    "ends-assistant": (
        _ends_with_assistant,
        "the server goes on with a last message of the assistant, or refuses it",
    ),
    "results-without-call": (
        lambda case: any(isinstance(m, ToolResult) and m.call is None for m in case.conversation.messages),
        "the API takes no tool result without the call that it answers",
    ),
    "schemas-without-grammar": (
        lambda case: any(without_grammar(tool.parameters) for tool in case.conversation.tools),
        "the server makes a grammar of each tool's parameters, and refuses those that make none",
    ),
    "text-beside-thinking-and-calls": (
        _beside_thinking_and_calls,
        "the server drops the text beside thinking and tool calls",
    ),
    "thinking": (
        lambda case: any(step.thinking for step in _steps(case)),
        "the server does not pass thinking on",
    ),
    "tools": (
        lambda case: bool(case.conversation.tools),
        "the server adds a prompt of its own where there are tools",
    ),
    "tools-without-parameters": (
        lambda case: any(tool.parameters is None for tool in case.conversation.tools),
        "the server gives tools without parameters an empty schema",
    ),
    "user-names": (
        lambda case: any(isinstance(m, User) and m.name is not None for m in case.conversation.messages),
        "the server does not pass users' names on",
    ),
    "training": (
        lambda case: case.options.mode != "generation",
        "the server always asks for a generation prompt",
    ),
}
"""What servers lose by their own handling, by the word that the table uses."""

_NO_JSON = object()


def harmony_only(case: Case) -> str | None:
    """Say what of a case no form of messages has that is handed to a template, if there is something."""
    conversation = case.conversation
    if conversation.response_formats:
        return "no template is handed response formats"
    if any(call.builtin for call in conversation.calls()):
        return "messages have no calls of built-in tools"
    if any(isinstance(message, ToolResult) and message.builtin for message in conversation.messages):
        return "messages have no results of built-in tools"
    if case.options.mode == "continue":
        last = (conversation.messages or (None,))[-1]
        if not isinstance(last, Assistant) or last.calls or not last.final:
            return "only an answer's text can be continued by transformers' continue_final_message"
    return None


def ambiguous_results(conversation: Conversation, *, names: bool) -> str | None:
    """Say why results cannot be matched to their calls by order (or by name), if they cannot."""
    start, open_calls, made = 0, list[str](), 0
    answered: list[int] = []
    for message in conversation.messages:
        if isinstance(message, Assistant) and message.calls:
            start, open_calls, answered = made, [call.name for call in message.calls], []
            made += len(message.calls)
        elif isinstance(message, ToolResult) and message.call is None:
            # Who counts results, or looks for their names, takes it for an open call's.
            if len(answered) < len(open_calls):
                return "a result without a call beside calls that are not answered needs tool_call ids"
        elif isinstance(message, ToolResult):
            assert message.call is not None
            here = message.call - start
            if here < 0:
                return "a result that answers an earlier step's call needs tool_call ids"
            by_name = names and open_calls.count(open_calls[here]) == 1
            if here != len(answered) and not by_name:
                return "results out of order need tool_call ids"
            answered.append(here)
    return None


def late_results(conversation: Conversation) -> str | None:
    """Say why ids that start anew in every step are ambiguous, if a result answers an earlier step's call."""
    start, made = 0, 0
    for message in conversation.messages:
        if isinstance(message, Assistant) and message.calls:
            start = made
            made += len(message.calls)
        elif isinstance(message, ToolResult) and message.call is not None and message.call < start:
            return "a result that answers an earlier step's call needs ids that are unique"
    return None


def parsed_arguments(call: ToolCall) -> dict[str, Any] | None:
    """Return what a server gets by parsing a call's arguments, None where that is no object."""
    if not isinstance(call.arguments, str):
        return call.arguments
    value = _json(call.arguments)
    return value if isinstance(value, dict) else None


def unparsable_arguments(conversation: Conversation) -> str | None:
    """Say why arguments given as text do not survive being parsed by the server, if they do not."""
    for call in conversation.calls():
        if not isinstance(call.arguments, str):
            continue
        value = parsed_arguments(call)
        if value is None:
            return "the server parses arguments, and these are no JSON object"
        # The same form that the oracle gives to arguments that are objects.
        if json.dumps(value, ensure_ascii=False) != call.arguments:
            return "the server parses arguments, and these are formatted in their own way"
    return None


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _NO_JSON


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
