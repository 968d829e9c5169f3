"""Conversations and cases: what was said, independent of any server's way of writing it down.

A conversation is a list of messages plus the tools that were offered and the formats that answers must have. A case
adds the options of one rendering: date, reasoning effort, built-in tools, identity, and whether the prompt ends where
the model begins a message (`generation`), after its own last message (`training`) or within it (`continue`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr, replace

from conformance.decode import HALF_PAIR, decode_json
from conformance.errors import UsageError

Effort: TypeAlias = Literal["low", "medium", "high"]
BuiltinTool: TypeAlias = Literal["browser", "python"]
Mode: TypeAlias = Literal["generation", "training", "continue"]

DEFAULT_DATE = "2025-06-28"
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Harmony renders dots too, as tools of MCP servers have them; none are generated.
_DOTTED_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Recipients of built-in tools stand outside the namespace of functions; Harmony's own words are none.
_NOT_BUILT_IN = ("functions", "assistant", "all")
# As the OpenAI API has names of users.
_USER_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_DEPTH = 64
# Harmony reads large integers as floats and refuses those that its reading makes infinite: all from here on are
# refused, wherever the last ones lie.
_TOO_LARGE = 10**308


class _Record(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """Base of all conversation records: frozen, defaults omitted in JSON, unknown fields refused."""


def _same_defaults(record: _Record, **defaults: str) -> None:
    """Put the default's own object in place of an equal text: msgspec omits defaults by identity, and a case
    that was read or pickled must have the same JSON, and so the same id, as one that was made."""
    for name, default in defaults.items():
        value = getattr(record, name)
        if value == default and value is not default:
            force_setattr(record, name, default)


class Tool(_Record, frozen=True):
    """A function offered to the model; `parameters` is its JSON Schema, `None` when it was left out."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ResponseFormat(_Record, frozen=True):
    """A format that answers must have, as JSON Schema."""

    name: str
    schema: dict[str, Any]
    description: str | None = None


class ToolCall(_Record, frozen=True):
    """A call of a tool: arguments as a JSON object, or as the raw string that the model wrote.

    `builtin` is a call of a built-in tool: its `name` is the whole recipient, such as `python` or `browser.search`.
    """

    name: str
    arguments: dict[str, Any] | str
    builtin: bool = False


class Instructions(_Record, frozen=True, tag_field="kind", tag="instructions"):
    """A system or developer message; the first one of a conversation is its instructions."""

    text: str
    role: Literal["system", "developer"] = "system"

    def __post_init__(self) -> None:
        _same_defaults(self, role="system")


class User(_Record, frozen=True, tag_field="kind", tag="user"):
    """A user turn; `name` tells several users apart."""

    text: str
    name: str | None = None


class Assistant(_Record, frozen=True, tag_field="kind", tag="assistant"):
    """One assistant step: thinking, then either a preamble and tool calls, or a final answer."""

    thinking: str | None = None
    preamble: str | None = None
    calls: tuple[ToolCall, ...] = ()
    final: str | None = None


class ToolResult(_Record, frozen=True, kw_only=True, tag_field="kind", tag="result"):
    """The result of call number `call`, counted over the whole conversation from 0.

    A result of no call in the conversation has the `name` of its tool instead; `builtin` is as for calls.
    """

    call: int | None = None
    content: str
    name: str | None = None
    builtin: bool = False


Message: TypeAlias = Instructions | User | Assistant | ToolResult


class Conversation(_Record, frozen=True):
    """What was said: the tools on offer, the messages in order, and the formats that answers must have."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    response_formats: tuple[ResponseFormat, ...] = ()

    def calls(self) -> list[ToolCall]:
        """Return all tool calls in order; a result's `call` is an index into this list."""
        return [call for message in self.messages if isinstance(message, Assistant) for call in message.calls]


class Options(_Record, frozen=True):
    """The options of one rendering; `None` leaves an option out, so that the template's default holds."""

    date: str = DEFAULT_DATE
    reasoning_effort: Effort | None = None
    model_identity: str | None = None
    builtin_tools: tuple[BuiltinTool, ...] = ()
    mode: Mode = "generation"

    def __post_init__(self) -> None:
        _same_defaults(self, date=DEFAULT_DATE, mode="generation")


class Case(_Record, frozen=True):
    """A conversation and the options it is rendered with."""

    conversation: Conversation
    options: Options = msgspec.field(default_factory=Options)


_encoder = msgspec.json.Encoder()


def to_json(record: Any) -> bytes:
    """Return a record as JSON; the key order of schemas and arguments is kept, for it has a meaning."""
    return _encoder.encode(record)


def plain_case(case: Case) -> Case:
    """Return the case alone, without what a kind of case carries besides."""
    return case if type(case) is Case else Case(conversation=case.conversation, options=case.options)


def keep_messages(case: Case, kept: set[int]) -> Case:
    """Return the case with only some of its messages; results of calls that are gone go too."""
    renumbered: dict[int, int] = {}
    messages: list[Message] = []
    number = 0
    for index, message in enumerate(case.conversation.messages):
        calls = len(message.calls) if isinstance(message, Assistant) else 0
        if index in kept:
            if isinstance(message, ToolResult) and message.call is not None:
                if message.call not in renumbered:
                    continue
                message = replace(message, call=renumbered[message.call])
            for call in range(calls):
                renumbered[number + call] = len(renumbered)
            messages.append(message)
        number += calls
    return replace(case, conversation=replace(case.conversation, messages=tuple(messages)))


def case_id(case: Case) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the case's JSON."""
    return hashlib.sha256(to_json(plain_case(case))).hexdigest()[:12]


def case_from_json(data: bytes | str, where: str = "the case") -> Case:
    """Read a case from JSON.

    Raises UsageError, naming `where`, when the data is not a case that Harmony could render.
    """
    case = decode_json(data, Case, f"{where} is not a case")
    check_case(case, where)
    return case


def check_case(case: Case, where: str = "the case") -> None:
    """Check what the types cannot say: dates, tool names, call indices, and values that Harmony refuses.

    Raises UsageError naming `where` and the place within the case.
    """
    for place, problem in _problems(case):
        raise UsageError(f"{where}: {place} {problem}.")


def _problems(case: Case) -> Iterator[tuple[str, str]]:
    conversation, options = case.conversation, case.options
    try:
        valid = date.fromisoformat(options.date).isoformat() == options.date
    except ValueError:
        valid = False
    if not valid:
        yield "options.date", f"is {options.date!r}; write a date such as {DEFAULT_DATE}"
    if len(set(options.builtin_tools)) != len(options.builtin_tools):
        yield "options.builtin_tools", "names a tool twice"
    yield from _text_problems(options.model_identity, "options.model_identity")
    for i, tool in enumerate(conversation.tools):
        yield from _name_problems(tool.name, f"tools[{i}].name")
        yield from _text_problems(tool.description, f"tools[{i}].description")
        yield from _value_problems(tool.parameters, f"tools[{i}].parameters")
    for i, form in enumerate(conversation.response_formats):
        here = f"response_formats[{i}]"
        if not TOOL_NAME.fullmatch(form.name):
            yield (
                f"{here}.name",
                f"is {form.name!r}; a format's name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
            )
        yield from _text_problems(form.description, f"{here}.description")
        yield from _value_problems(form.schema, f"{here}.schema")
    yield from _message_problems(conversation)
    if options.mode == "continue":
        last = conversation.messages[-1] if conversation.messages else None
        if not isinstance(last, Assistant) or last.calls or not (last.final or last.thinking):
            yield "options.mode", "is continue, but the last message is not text of the assistant's"


def _message_problems(conversation: Conversation) -> Iterator[tuple[str, str]]:
    seen = 0
    for i, message in enumerate(conversation.messages):
        here = f"messages[{i}]"
        match message:
            case Instructions():
                yield from _text_problems(message.text, f"{here}.text")
            case User():
                if message.name is not None and not _USER_NAME.fullmatch(message.name):
                    yield (
                        f"{here}.name",
                        f"is {message.name!r}; a user's name has 1 to 64 characters, no blank and none of < | \\ / >",
                    )
                yield from _text_problems(message.name, f"{here}.name")
                yield from _text_problems(message.text, f"{here}.text")
            case ToolResult():
                yield from _result_problems(message, here, seen)
            case Assistant():
                if message.calls and message.final is not None:
                    yield here, "has both tool calls and a final; put text beside calls into preamble"
                if message.preamble is not None and not message.calls:
                    yield here, "has a preamble without tool calls; put the text into final"
                for name in ("thinking", "preamble", "final"):
                    yield from _text_problems(getattr(message, name), f"{here}.{name}")
                for j, call in enumerate(message.calls):
                    yield from _name_problems(call.name, f"{here}.calls[{j}].name", builtin=call.builtin)
                    yield from _value_problems(call.arguments, f"{here}.calls[{j}].arguments")
                seen += len(message.calls)


def _result_problems(result: ToolResult, here: str, seen: int) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a result that has `seen` calls before it."""
    if result.call is None:
        if result.name is None:
            yield here, "has neither the call that it answers nor the name of a tool"
        else:
            yield from _name_problems(result.name, f"{here}.name", builtin=result.builtin)
    elif result.name is not None or result.builtin:
        yield here, "answers a call, whose name it has; leave out name and builtin"
    elif not 0 <= result.call < seen:
        known = f"there are {seen} calls before it" if seen else "no call was made before it"
        yield f"{here}.call", f"is {result.call}, but {known}"
    yield from _text_problems(result.content, f"{here}.content")


def _name_problems(name: str, place: str, *, builtin: bool = False) -> Iterator[tuple[str, str]]:
    if not _DOTTED_NAME.fullmatch(name):
        yield place, f"is {name!r}; a tool name has 1 to 64 of the characters A-Z a-z 0-9 _ - ."
    elif builtin and name.partition(".")[0] in _NOT_BUILT_IN:
        yield (
            place,
            f"is {name!r}, which is no built-in tool; they are called python, browser.search and the like",
        )


def _text_problems(text: str | None, place: str) -> Iterator[tuple[str, str]]:
    if text is not None and _SURROGATE.search(text):
        yield place, f"holds {HALF_PAIR}"


def _value_problems(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if _deeper(value, _MAX_DEPTH):
        yield place, f"is nested deeper than {_MAX_DEPTH} levels"
    else:
        yield from _inner_problems(value, place)


def _deeper(value: Any, depth: int) -> bool:
    """Say whether objects and lists stand within each other more than `depth` times."""
    if not isinstance(value, dict | list | tuple):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_deeper(item, depth - 1) for item in items)


def _inner_problems(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield from _text_problems(value, place)
    elif isinstance(value, int):
        if abs(value) >= _TOO_LARGE:
            yield place, "is too large a number; write fewer than 309 digits"
    elif isinstance(value, float) and not math.isfinite(value):
        yield place, f"is {value}, which JSON does not have; write null or a finite number"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _text_problems(key, f"{place}.{key!r}")
            yield from _inner_problems(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _inner_problems(item, f"{place}[{i}]")


@lru_cache(maxsize=1)
def case_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a case file."""
    schema = msgspec.json.schema(Case)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "conformance-case/1",
        "title": "conformance case",
        **schema,
    }
