"""Inputs made by hand for the reference template: what generated cases cannot show, and what it must refuse."""

from __future__ import annotations

from typing import Any, NamedTuple

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.engines.base import Request

Raw = dict[str, Any]
DATE = "2025-06-28"
USER = {"role": "user", "content": "u"}


class Accepted(NamedTuple):
    """A request that must give what Harmony gives for the case."""

    name: str
    request: Request
    case: Case


class Refused(NamedTuple):
    """A request that the template must refuse, with words of its message."""

    name: str
    request: Request
    words: str


def request(
    messages: list[Raw], tools: list[Raw] | None = None, training: bool = False, **kwargs: Any
) -> Request:
    return Request(messages, tools, kwargs, not training, DATE)


def case(*messages: Message, tools: tuple[Tool, ...] = (), training: bool = False, **options: Any) -> Case:
    chosen = Options(date=DATE, mode="training" if training else "generation", **options)
    return Case(conversation=Conversation(messages=messages, tools=tools), options=chosen)


def call(name: str, arguments: Any, id: str | None = None) -> Raw:
    wrapped: Raw = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return wrapped if id is None else {"id": id, **wrapped}


def schema_of(**properties: Any) -> Raw:
    return {"type": "object", "properties": properties}


def with_schema(name: str, parameters: Raw) -> Accepted:
    wrapped = {
        "type": "function",
        "function": {"name": "f", "description": "Does.", "parameters": parameters},
    }
    tool = Tool(name="f", description="Does.", parameters=parameters)
    return Accepted(name, request([USER], [wrapped]), case(User(text="u"), tools=(tool,)))


def with_arguments(name: str, arguments: Any) -> Accepted:
    said = request([{"role": "assistant", "tool_calls": [call("f", arguments)]}])
    return Accepted(name, said, case(Assistant(calls=(ToolCall(name="f", arguments=arguments),))))


def thought(key: str, **more: Any) -> Accepted:
    said = request([{"role": "user", "content": "u"}, {"role": "assistant", key: "t", **more}], training=True)
    return Accepted(f"thinking-as-{key}", said, case(User(text="u"), Assistant(thinking="t"), training=True))


CALLING = Assistant(calls=(ToolCall(name="f", arguments={}), ToolCall(name="g", arguments="x")))
TWO_CALLS = {"role": "assistant", "tool_calls": [call("f", {}), call("g", "x")]}

DEFAULTS: list[Any] = [
    *(0.0, -0.0, 1e15, 1e16, 1.5e16, 1e-4, 1e-5, 1.25e-5, 1e-6, 5e-324, 1.7976931348623157e308),
    *(2**63, 2**64 - 1, 2**64, 2**64 + 5, -(2**63), -(2**63) - 1, -(2**64), 10**40 + 7, 10**20 - 1),
    # Harmony's JSON reader misses the nearest float in these.
    *(6.624586232024306e-39, 9.850868243521303e18, 829532384067721563871, -2.1125560823316065e-156),
    *([1e20, {"a": -1e-7, "b": [True, None, "é\x01\u2028<>&'\"\\u003c"]}, []], {}),
]

ACCEPTED = [
    Accepted(
        "a-users-name-and-a-result-of-no-call",
        request(
            [{"role": "user", "name": "ada", "content": "u"}, {"role": "tool", "name": "f", "content": "r"}]
        ),
        case(User(text="u", name="ada"), ToolResult(name="f", content="r")),
    ),
    Accepted(
        "parts",
        request(
            [
                {"role": "system", "content": [{"type": "text", "text": "s"}]},
                {"role": "user", "content": ["a", {"type": "input_text", "text": "b"}, {"text": "c"}]},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "p"}],
                    "tool_calls": [call("f", {})],
                },
                {"role": "tool", "content": [{"type": "text", "text": "r"}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "d"}]},
                {"role": "user", "content": []},
            ]
        ),
        case(
            Instructions(text="s"),
            User(text="abc"),
            Assistant(preamble="p", calls=(ToolCall(name="f", arguments={}),)),
            ToolResult(call=0, content="r"),
            Assistant(final="d"),
            User(text=""),
        ),
    ),
    thought("thinking"),
    thought("reasoning"),
    thought("reasoning_content"),
    thought("thinking", reasoning_content=""),
    Accepted(
        "bare-tools-and-calls",
        request(
            [{"role": "assistant", "content": "p", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}],
            [{"name": "f", "description": None, "parameters": None}, {"type": "function", "name": "g"}],
        ),
        case(
            Assistant(preamble="p", calls=(ToolCall(name="f", arguments={"a": 1}),)),
            tools=(Tool(name="f"), Tool(name="g")),
        ),
    ),
    Accepted(
        "arguments-absent-or-null",
        request([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}, call("f", None)]}]),
        case(Assistant(calls=(ToolCall(name="f", arguments={}), ToolCall(name="f", arguments={})))),
    ),
    Accepted(
        "no-calls",
        request(
            [
                USER,
                {"role": "assistant", "content": "a", "tool_calls": []},
                {"role": "assistant", "content": "b", "tool_calls": None, "function_call": None},
                {"role": "assistant"},
            ]
        ),
        case(User(text="u"), Assistant(final="a"), Assistant(final="b")),
    ),
    Accepted(
        "ids-out-of-order",
        request(
            [
                {"role": "assistant", "tool_calls": [call("f", {}, "1"), call("g", "x", "2")]},
                {"role": "tool", "tool_call_id": "2", "content": "b"},
                {"role": "tool", "tool_call_id": "1", "content": "a"},
            ]
        ),
        case(CALLING, ToolResult(call=1, content="b"), ToolResult(call=0, content="a")),
    ),
    Accepted(
        "ids-used-again",
        request(
            [
                {"role": "assistant", "tool_calls": [call("f", {}, "1")]},
                {"role": "tool", "tool_call_id": "1", "content": "a"},
                {"role": "assistant", "tool_calls": [call("g", {}, "1")]},
                {"role": "tool", "tool_call_id": "1", "content": "b"},
            ]
        ),
        case(
            Assistant(calls=(ToolCall(name="f", arguments={}),)),
            ToolResult(call=0, content="a"),
            Assistant(calls=(ToolCall(name="g", arguments={}),)),
            ToolResult(call=1, content="b"),
        ),
    ),
    Accepted(
        "late-result-by-id",
        request(
            [
                {"role": "assistant", "tool_calls": [call("f", {}, "1")]},
                {"role": "assistant", "tool_calls": [call("g", {}, "2")]},
                USER,
                {"role": "tool", "tool_call_id": "1", "name": "ignored", "content": "a"},
            ]
        ),
        case(
            Assistant(calls=(ToolCall(name="f", arguments={}),)),
            Assistant(calls=(ToolCall(name="g", arguments={}),)),
            User(text="u"),
            ToolResult(call=0, content="a"),
        ),
    ),
    Accepted(
        "names-out-of-order",
        request(
            [
                TWO_CALLS,
                {"role": "tool", "name": "g", "content": "b"},
                {"role": "tool", "name": "f", "content": "a"},
            ]
        ),
        case(CALLING, ToolResult(call=1, content="b"), ToolResult(call=0, content="a")),
    ),
    Accepted(
        "order-where-only-results-have-ids",
        request(
            [
                TWO_CALLS,
                {"role": "tool", "tool_call_id": "1", "content": "a"},
                {"role": "tool", "content": "b"},
            ]
        ),
        case(CALLING, ToolResult(call=0, content="a"), ToolResult(call=1, content="b")),
    ),
    Accepted(
        "date-given",
        request([USER], current_date="2031-01-02"),
        Case(conversation=Conversation(messages=(User(text="u"),)), options=Options(date="2031-01-02")),
    ),
    Accepted(
        "options-null",
        request([USER], [], model_identity=None, reasoning_effort=None, builtin_tools=[], current_date=None),
        case(User(text="u")),
    ),
    Accepted(
        "thinking-before-the-trained-answer",
        request(
            [
                {"role": "assistant", "thinking": "old"},
                USER,
                {"role": "assistant", "thinking": "one"},
                {"role": "system", "content": ""},
                {"role": "assistant", "thinking": "two"},
                {"role": "assistant", "thinking": "three", "content": "done"},
            ],
            training=True,
        ),
        case(
            Assistant(thinking="old"),
            User(text="u"),
            Assistant(thinking="one"),
            Instructions(text=""),
            Assistant(thinking="two"),
            Assistant(thinking="three", final="done"),
            training=True,
        ),
    ),
    with_schema(
        "type-list-with-others", schema_of(a={"type": [1, "integer", None, "x"]}, b={"type": [None]})
    ),
    with_schema(
        "boolean-schemas",
        schema_of(a=True, b={"type": "array", "items": True}, c={"type": "array", "items": False}),
    ),
    with_schema(
        "one-of-with-others",
        schema_of(
            a={"oneOf": [True, {"type": "string", "default": "x"}], "description": "d"},
            b={"oneOf": []},
            c={
                "type": "array",
                "items": {"oneOf": [False, {"type": "null", "nullable": True, "description": "n"}]},
            },
            e={
                "type": "array",
                "items": {"oneOf": [{"type": "string", "enum": ["x"], "default": "x"}, {"default": 1}]},
            },
            d={"oneOf": "x", "type": "string", "description": "lost", "default": "lost"},
        ),
    ),
    with_schema(
        "keywords-of-the-wrong-kind",
        {
            "type": "object",
            "required": True,
            "description": 1,
            "properties": {
                "a": {
                    "type": "string",
                    "enum": "x",
                    "title": 1,
                    "examples": "e",
                    "nullable": "yes",
                    "description": 2,
                },
                "b": {
                    "type": "string",
                    "enum": {"x": 1},
                    "examples": {},
                    "default": 'q"\\',
                    "nullable": False,
                },
                "c": {"type": {"x": 1}},
                "d": {"type": "object", "properties": [1], "required": "d"},
            },
        },
    ),
    with_schema(
        "names-of-methods",
        schema_of(**{name: {"type": "array"} for name in ("items", "keys", "get", "values", "pop")}),
    ),
    with_schema(
        "items-inside-items",
        {
            "type": "object",
            "properties": {"items": {"type": "array", "items": schema_of(items={"type": "array"})}},
        },
    ),
    with_schema(
        "numbers",
        schema_of(**{f"p{i}": {"default": value} for i, value in enumerate(DEFAULTS)}),
    ),
    with_arguments(
        "numbers-in-arguments",
        {"a": [0.0, -0.0, 1e15, 1e16, 1e-4, 1e-5, 1.25e-7, 5e-324, 2**70, -1, -1.5e300]},
    ),
    with_arguments(
        "text-in-arguments", {"\\u003c": "\\u003c \\\\u0026 <>&' \x00\x1f\x7f \"", "é": [{}, [], None, True]}
    ),
]

REFUSED = [
    Refused(
        "image",
        request([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        'part of type "image_url"',
    ),
    Refused(
        "image-with-text",
        request([{"role": "user", "content": [{"type": "image", "text": "x"}]}]),
        'part of type "image"',
    ),
    Refused(
        "part-without-text", request([{"role": "user", "content": [{"type": "text"}]}]), "part without text"
    ),
    Refused("part-null", request([{"role": "user", "content": [None]}]), "part without text"),
    Refused(
        "content-number", request([{"role": "user", "content": 5}]), "content of a user message must be text"
    ),
    Refused(
        "content-object",
        request([TWO_CALLS, {"role": "tool", "content": {"a": 1}}]),
        "content of a tool message",
    ),
    Refused(
        "thinking-object",
        request([{"role": "assistant", "thinking": {"a": 1}}]),
        "the thinking of an assistant message must be text",
    ),
    Refused("role-unknown", request([{"role": "critic", "content": "x"}]), 'role "critic"'),
    Refused("role-missing", request([{"content": "x"}]), "needs a role"),
    Refused("effort-unknown", request([USER], reasoning_effort="max"), 'must be "low", "medium" or "high"'),
    Refused("effort-number", request([USER], reasoning_effort=3), 'must be "low", "medium" or "high"'),
    Refused("identity-number", request([USER], model_identity=3), "model_identity must be text"),
    Refused(
        "builtin-unknown", request([USER], builtin_tools=["browser", "shell"]), '"browser" and "python" only'
    ),
    Refused(
        "builtin-object", request([USER], builtin_tools=[{"type": "python"}]), '"browser" and "python" only'
    ),
    Refused("tool-without-name", request([USER], [{"type": "function", "function": {}}]), "A tool must be"),
    Refused(
        "tool-description-number", request([USER], [{"name": "f", "description": 1}]), "description of tool f"
    ),
    Refused(
        "call-without-name",
        request([{"role": "assistant", "tool_calls": [{"function": None}]}]),
        "A tool call must",
    ),
    Refused("call-as-text", request([{"role": "assistant", "tool_calls": ["f"]}]), "A tool call must"),
    Refused(
        "function-call",
        request([{"role": "assistant", "function_call": {"name": "f"}}]),
        "write it as tool_calls",
    ),
    Refused(
        "result-without-call", request([USER, {"role": "tool", "content": "r"}]), "no tool call before it"
    ),
    Refused(
        "result-too-many",
        request([TWO_CALLS, *[{"role": "tool", "content": "r"}] * 3]),
        "no tool call before it",
    ),
    Refused(
        "result-id-unknown",
        request(
            [
                {"role": "assistant", "tool_calls": [call("f", {}, "1")]},
                {"role": "tool", "tool_call_id": "9", "content": ""},
            ]
        ),
        'id "9"',
    ),
    Refused(
        "result-name-unknown",
        request([TWO_CALLS, {"role": "tool", "name": "h", "content": "r"}]),
        'function "h"',
    ),
]
