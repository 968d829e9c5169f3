"""The passes that make a case smaller: each yields cases that lack one thing or say one thing more simply.

How a pass is designed. It is a function from a case to cases, lazily, that changes one kind of thing and nothing else,
so that what it leaves can be blamed on that kind. It yields the boldest change first (half of the messages, no tools,
the empty text) and the smallest last (one message, one letter): the bold ones save renders, the small ones make
the result 1-minimal. It knows neither rule nor template and may yield cases that no server could hand over; `shrink`
leaves those out. What belongs together changes together: a tool result goes with its call, a name everywhere at once.

Why they stand in this order. What carries most goes first, since every later pass has less to try then: messages, tools
and options are whole parts of the prompt, calls and parts of a message come next, then what is inside them, schemas,
arguments and texts. Names come last, because renaming removes nothing and only makes the rest easier to read.

Why they end. Every change goes down in one fixed order: fewer things, then shorter texts, then letters, numbers and
names nearer to the plain ones (`a`, 0, `f`), and no pass goes up in it. Where a plain value would invite another that
leads back (the plainest schema, a plain number), the pass stops there. A test walks down random paths to their ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from conformance.conversation import (
    Assistant,
    Case,
    Instructions,
    Message,
    Options,
    ToolCall,
    ToolResult,
    User,
    keep_messages,
)

T = TypeVar("T")
_NAMES = ("f", "g", "h")
_KEYS = ("a", "b", "c")
# Longer texts lose stretches of these shares of their length before single characters; still longer ones, which no
# generator draws, only stretches.
_SPELL_LIMIT, _LONGEST = 48, 2_000


def _with(case: Case, **changes: Any) -> Case:
    return replace(case, conversation=replace(case.conversation, **changes))


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return items[:index] + items[index + 1 :]


def _put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


def fewer_messages(case: Case) -> Iterator[Case]:
    """Drop runs of messages, long ones first, then each one."""
    count = len(case.conversation.messages)
    length = count
    while length:
        for start in range(0, count, length):
            yield keep_messages(case, set(range(count)) - set(range(start, start + length)))
        length //= 2


def fewer_tools(case: Case) -> Iterator[Case]:
    """Drop all tools, then each one."""
    tools = case.conversation.tools
    if tools:
        yield _with(case, tools=())
    if len(tools) > 1:
        for index in range(len(tools)):
            yield _with(case, tools=_without(tools, index))


def default_options(case: Case) -> Iterator[Case]:
    """Set each option back to its default."""
    plain = Options()
    if case.options == plain:
        return
    yield replace(case, options=plain)
    for name in ("date", "reasoning_effort", "model_identity", "builtin_tools", "mode"):
        if getattr(case.options, name) != getattr(plain, name):
            yield replace(case, options=replace(case.options, **{name: getattr(plain, name)}))
    builtin = case.options.builtin_tools
    if len(builtin) > 1:
        for index in range(len(builtin)):
            yield replace(case, options=replace(case.options, builtin_tools=_without(builtin, index)))


def fewer_calls(case: Case) -> Iterator[Case]:
    """Drop a call of a step with several, together with its results."""
    number = 0
    for index, message in enumerate(case.conversation.messages):
        if not isinstance(message, Assistant):
            continue
        if len(message.calls) > 1:
            for position in range(len(message.calls)):
                yield _without_call(case, index, position, number + position)
        number += len(message.calls)


def _without_call(case: Case, index: int, position: int, number: int) -> Case:
    messages: list[Message] = []
    for at, message in enumerate(case.conversation.messages):
        if isinstance(message, ToolResult):
            if message.call == number:
                continue
            if message.call is not None and message.call > number:
                message = replace(message, call=message.call - 1)
        elif at == index and isinstance(message, Assistant):
            message = replace(message, calls=_without(message.calls, position))
        messages.append(message)
    return _with(case, messages=tuple(messages))


def fewer_parts(case: Case) -> Iterator[Case]:
    """Drop thinking, preambles and finals; turn calls into finals; drop descriptions and parameters of tools."""
    messages = case.conversation.messages
    for index, message in enumerate(messages):
        if isinstance(message, Assistant):
            for name in ("thinking", "preamble", "final"):
                if getattr(message, name) is not None:
                    yield _with(case, messages=_put(messages, index, replace(message, **{name: None})))
        elif isinstance(message, Instructions) and message.role != "system":
            yield _with(case, messages=_put(messages, index, replace(message, role="system")))
        elif isinstance(message, User) and message.name is not None:
            yield _with(case, messages=_put(messages, index, replace(message, name=None)))
    formats = case.conversation.response_formats
    for index, form in enumerate(formats):
        yield _with(case, response_formats=_without(formats, index))
        if form.description is not None:
            yield _with(case, response_formats=_put(formats, index, replace(form, description=None)))
        if form.schema:
            yield _with(case, response_formats=_put(formats, index, replace(form, schema={})))
    tools = case.conversation.tools
    for index, tool in enumerate(tools):
        if tool.parameters is not None:
            yield _with(case, tools=_put(tools, index, replace(tool, parameters=None)))
        if tool.description is not None:
            yield _with(case, tools=_put(tools, index, replace(tool, description=None)))


def simpler_schemas(case: Case) -> Iterator[Case]:
    """Simplify the parameters of each tool."""
    tools = case.conversation.tools
    for index, tool in enumerate(tools):
        if tool.parameters is not None:
            for schema in simpler_schema(tool.parameters, top=True):
                yield _with(case, tools=_put(tools, index, replace(tool, parameters=schema)))


def simpler_arguments(case: Case) -> Iterator[Case]:
    """Simplify the arguments of each call."""
    messages = case.conversation.messages
    for index, message in enumerate(messages):
        if not isinstance(message, Assistant):
            continue
        for position, call in enumerate(message.calls):
            for value in simpler_value(call.arguments):
                if isinstance(value, dict | str):
                    changed = replace(call, arguments=value)
                    step = replace(message, calls=_put(message.calls, position, changed))
                    yield _with(case, messages=_put(messages, index, step))


def simpler_texts(case: Case) -> Iterator[Case]:
    """Shorten each text, and spell it with simpler characters."""
    messages = case.conversation.messages
    for index, message in enumerate(messages):
        for name in _TEXT_FIELDS[type(message)]:
            text = getattr(message, name)
            if text is not None:
                for shorter in shorter_text(text):
                    yield _with(case, messages=_put(messages, index, replace(message, **{name: shorter})))
    tools = case.conversation.tools
    for index, tool in enumerate(tools):
        if tool.description is not None:
            for shorter in shorter_text(tool.description):
                yield _with(case, tools=_put(tools, index, replace(tool, description=shorter)))
    if case.options.model_identity is not None:
        for shorter in shorter_text(case.options.model_identity):
            yield replace(case, options=replace(case.options, model_identity=shorter))


_TEXT_FIELDS: dict[type, tuple[str, ...]] = {
    Instructions: ("text",),
    User: ("text",),
    Assistant: ("thinking", "preamble", "final"),
    ToolResult: ("content",),
}


def simpler_names(case: Case) -> Iterator[Case]:
    """Rename tools, all at once: `f`, `g`, `h` in the order in which they occur."""
    conversation = case.conversation
    names = list(dict.fromkeys([t.name for t in conversation.tools] + [c.name for c in conversation.calls()]))
    plain = dict(zip(names, _NAMES, strict=False))
    if all(old == new for old, new in plain.items()):
        return
    yield _renamed(case, plain)
    for old, new in plain.items():
        if old != new and new not in names:
            yield _renamed(case, {old: new})
    offered = {tool.name for tool in conversation.tools}
    for old in names[1:]:
        if old not in offered:
            yield _renamed(case, {old: names[0]})


def _renamed(case: Case, names: dict[str, str]) -> Case:
    def call(old: ToolCall) -> ToolCall:
        return replace(old, name=names.get(old.name, old.name))

    messages = tuple(
        replace(message, calls=tuple(call(c) for c in message.calls))
        if isinstance(message, Assistant)
        else message
        for message in case.conversation.messages
    )
    tools = tuple(replace(tool, name=names.get(tool.name, tool.name)) for tool in case.conversation.tools)
    return _with(case, messages=messages, tools=tools)


def shorter_text(text: str) -> Iterator[str]:
    """Yield simpler texts: nothing, one letter, halves, without a line or character, other letters for odd ones."""
    if not text:
        return
    yield ""
    if text != "a":
        yield "a"
    if len(text) == 1:
        return
    half = len(text) // 2
    yield text[:half]
    yield text[half:]
    lines = text.splitlines(keepends=True)
    if len(lines) > 1:
        for index in range(min(len(lines), 20)):
            yield "".join([*lines[:index], *lines[index + 1 :]])
    words = text.split(" ")
    if len(words) > 1:
        for index in range(min(len(words), 20)):
            yield " ".join([*words[:index], *words[index + 1 :]])
    if len(text) > _SPELL_LIMIT:
        size = len(text) // 4
        least = 2 if len(text) <= _LONGEST else len(text) // 64
        while size >= least:
            for start in range(0, len(text), size):
                yield text[:start] + text[start + size :]
            size //= 2
        if (plain := "".join(["a" if letter.isalnum() else letter for letter in text])) != text:
            yield plain
    if len(text) <= _LONGEST:
        for index in range(len(text)):
            yield text[:index] + text[index + 1 :]
        for index, letter in enumerate(text):
            if letter != "a" and letter.isalnum():
                yield f"{text[:index]}a{text[index + 1 :]}"


def simpler_value(value: Any) -> Iterator[Any]:
    """Yield simpler JSON values."""
    if isinstance(value, str):
        yield from shorter_text(value)
    elif isinstance(value, bool):
        if value:
            yield False
    elif isinstance(value, int | float):
        for plain in (0, 1, 0.5):
            if value == plain and type(value) is type(plain):
                return
            yield plain
    elif isinstance(value, dict):
        if value:
            yield {}
        yield from _entries(value, simpler_value)
        yield from _renamed_keys(value)
    elif isinstance(value, list):
        if value:
            yield []
        yield from _items(value, simpler_value)


def _entries(value: dict[str, Any], inner: Callable[[Any], Iterator[Any]]) -> Iterator[dict[str, Any]]:
    if len(value) > 1:
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
    for key, item in value.items():
        for simpler in inner(item):
            yield {**value, key: simpler}


def _items(value: list[Any], inner: Callable[[Any], Iterator[Any]]) -> Iterator[list[Any]]:
    for index in range(len(value)):
        if len(value) > 1:
            yield [*value[:index], *value[index + 1 :]]
    for index, item in enumerate(value):
        for simpler in inner(item):
            yield [*value[:index], simpler, *value[index + 1 :]]


def _renamed_keys(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, key in enumerate(value):
        plain = _KEYS[index] if index < len(_KEYS) else None
        if plain is not None and key != plain and plain not in value:
            yield {(plain if k == key else k): v for k, v in value.items()}


def simpler_schema(schema: Any, *, top: bool = False) -> Iterator[Any]:
    """Yield simpler schemas: the plainest first, then without a keyword, then with a simpler keyword."""
    if not isinstance(schema, dict):
        if not top:
            yield {"type": "string"}
        return
    plain: dict[str, Any] = {"type": "object", "properties": {}} if top else {"type": "string"}
    # The plainest schema is the end: going on to `{}` and back would never stop.
    if schema == plain:
        return
    yield plain
    for key in schema:
        if len(schema) > 1 or not top:
            yield {k: v for k, v in schema.items() if k != key}
    for key, value in schema.items():
        for simpler in _keyword(key, value):
            yield {**schema, key: simpler}


def _keyword(key: str, value: Any) -> Iterator[Any]:
    if key == "properties" and isinstance(value, dict):
        if value:
            yield {}
        yield from _entries(value, simpler_schema)
        yield from _renamed_keys(value)
    elif key in ("oneOf", "anyOf", "allOf") and isinstance(value, list):
        yield from _items(value, simpler_schema)
    elif key == "items":
        yield from simpler_schema(value)
    elif key == "type":
        if isinstance(value, list):
            yield from (simpler for simpler in _items(value, lambda _: iter(())))
        elif value != "string":
            yield "string"
    elif key == "required":
        yield from _items(value, lambda _: iter(())) if isinstance(value, list) else iter(())
    else:
        yield from simpler_value(value)


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of reduction."""

    name: str
    cases: Callable[[Case], Iterator[Case]]


STEPS = (
    Step("messages", fewer_messages),
    Step("tools", fewer_tools),
    Step("options", default_options),
    Step("calls", fewer_calls),
    Step("parts", fewer_parts),
    Step("schemas", simpler_schemas),
    Step("arguments", simpler_arguments),
    Step("texts", simpler_texts),
    Step("names", simpler_names),
)
