"""A case in words and in a few lines, so that an author sees at a glance what triggers a divergence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.conversation import (
    DEFAULT_DATE,
    Assistant,
    Case,
    Instructions,
    Message,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)

# A longer conversation is no help on a card; `conformance replay` shows it.
SMALL_MESSAGES = 6
SMALL_TOOLS = 3
_MODES = {"generation": "", "training": "training", "continue": "the last message is continued"}


def plural(number: int, noun: str) -> str:
    """Return `1 message`, `2,000 messages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(case: Case) -> str:
    """Return the size of a case in words: `1 message, 2 tools`."""
    conversation = case.conversation
    words = plural(len(conversation.messages), "message")
    if conversation.tools:
        words += f", {plural(len(conversation.tools), 'tool')}"
    return words


def is_small(case: Case) -> bool:
    """Return whether a case is worth printing on a card."""
    conversation = case.conversation
    return len(conversation.messages) <= SMALL_MESSAGES and len(conversation.tools) <= SMALL_TOOLS


def lines(case: Case) -> Iterator[tuple[str, str]]:
    """Yield the case as pairs of label and text: options that are not the default, tools, messages.

    The texts are JSON-like but as the conversation has them: make them inert before they are shown.
    """
    options = _options(case.options)
    if options:
        yield "options", options
    for tool in case.conversation.tools:
        yield "tool", _tool(tool)
    for form in case.conversation.response_formats:
        described = "" if form.description is None else f" {_text(form.description)}"
        yield "format", f"{form.name}{described} {_json(form.schema)}"
    for message in case.conversation.messages:
        yield from _message(message)


def _options(options: Options) -> str:
    said = [
        f"date {options.date}" if options.date != DEFAULT_DATE else "",
        f"reasoning {options.reasoning_effort}" if options.reasoning_effort else "",
        f"identity {_text(options.model_identity)}" if options.model_identity is not None else "",
        f"built-in {', '.join(options.builtin_tools)}" if options.builtin_tools else "",
        _MODES[options.mode],
    ]
    return ", ".join(filter(None, said))


def _tool(tool: Tool) -> str:
    parameters = "" if tool.parameters is None else _parameters(tool.parameters)
    if tool.description is None:
        return f"{tool.name}({parameters}), no description"
    return f"{tool.name}({parameters}) {_text(tool.description)}"


def _parameters(schema: dict[str, Any]) -> str:
    """Return a plain object's properties as `name?: schema`, anything else as it is."""
    properties, required = schema.get("properties"), schema.get("required", [])
    if schema.get("type") != "object" or schema.keys() - {"type", "properties", "required"}:
        return _json(schema)
    if not (properties and isinstance(properties, dict) and isinstance(required, list)):
        return _json(schema)
    return ", ".join(f"{name}{'?' * (name not in required)}: {_json(p)}" for name, p in properties.items())


def _message(message: Message) -> Iterator[tuple[str, str]]:
    match message:
        case Instructions(text=text, role=role):
            yield role, _text(text)
        case User(text=text, name=name):
            yield "user" if name is None else f"user {name}", _text(text)
        case ToolResult(call=call, name=name, content=content):
            yield "result", f"of {name if call is None else f'call {call + 1}'}: {_text(content)}"
        case Assistant(thinking=thinking, preamble=preamble, calls=calls, final=final):
            said = [
                f"thinking {_text(thinking)}" if thinking is not None else "",
                f"preamble {_text(preamble)}" if preamble is not None else "",
                *map(_call, calls),
                f"final {_text(final)}" if final is not None else "",
            ]
            yield "assistant", ", ".join(filter(None, said)) or "(says nothing)"


def _call(call: ToolCall) -> str:
    arguments = _text(call.arguments) if isinstance(call.arguments, str) else _json(call.arguments)
    return f"calls {'built-in ' * call.builtin}{call.name}({arguments})"


def _text(text: str) -> str:
    # Quotes show where a text begins and ends; what is inside stays as it is.
    return f'"{text}"'


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # pragma: no cover (cases are at most 64 deep)
        return "{…}"
