"""Shapes: a request gives the conversation back exactly where the shape says that it carries it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

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
from conformance.errors import UsageError
from conformance.generate import case_at
from conformance.shapes import Shape, draw, families, shapes

MEMBERS = [shape for family in families().values() for shape in family]


def which_call(raw: dict[str, Any], step: range, made: list[dict[str, Any]], answered: list[int]) -> int:
    """Say which call a tool message answers, as a careful server would: by id, by name, by order."""
    if "tool_call_id" in raw:
        return [call.get("id") for call in made].index(raw["tool_call_id"])
    if "name" in raw:
        same = [number for number in step if made[number]["function"]["name"] == raw["name"]]
        if len(same) == 1:
            return same[0]
    return step[len(answered)] if len(answered) < len(step) else -1


def back(request: Request, shape: Shape) -> Case:
    """Read a request back; where nothing and an empty text look the same the reading is nothing."""
    made: list[dict[str, Any]] = []
    step, answered = range(0), list[int]()
    messages: list[Message] = []
    for raw in request.messages:
        content = raw.get("content")
        match raw["role"]:
            case "system" | "developer":
                messages.append(Instructions(text=raw["content"], role=raw["role"]))
            case "user":
                messages.append(User(text=raw["content"]))
            case "tool":
                number = which_call(raw, step, made, answered)
                answered.append(number)
                messages.append(ToolResult(call=number, content=raw["content"]))
            case "assistant":
                calls = raw.get("tool_calls", [])
                if calls:
                    step, answered = range(len(made), len(made) + len(calls)), []
                made.extend(calls)
                functions = [call["function"] for call in calls]
                assert all(call["type"] == "function" for call in calls)
                messages.append(
                    Assistant(
                        thinking=raw.get(shape.thinking_key),
                        preamble=content if calls else None,
                        final=None if calls else content,
                        calls=tuple(ToolCall(name=f["name"], arguments=f["arguments"]) for f in functions),
                    )
                )
    options = Options(
        date=request.date,
        reasoning_effort=request.kwargs.get("reasoning_effort"),
        model_identity=request.kwargs.get("model_identity"),
        builtin_tools=tuple(request.kwargs.get("builtin_tools", ())),
        mode="generation" if request.add_generation_prompt else "training",
    )
    tools = tuple(
        Tool(
            name=raw["function"]["name"],
            description=raw["function"].get("description"),
            parameters=raw["function"].get("parameters"),
        )
        for raw in request.tools or ()
    )
    return Case(conversation=Conversation(messages=tuple(messages), tools=tools), options=options)


def canonical(case: Case, shape: Shape) -> Any:
    """Bring a case into the form in which `back` returns it: what the shape writes in one way is one value."""
    messages: list[Any] = []
    for message in case.conversation.messages:
        if not isinstance(message, Assistant):
            messages.append(message)
            continue
        text = message.preamble if message.calls else message.final
        if shape.empty_content == "empty":
            text = text or None
        calls = [
            (
                call.name,
                # A string of JSON and the object are the same to a server that passes strings.
                call.arguments
                if shape.arguments == "object" or isinstance(call.arguments, str)
                else json.dumps(call.arguments, ensure_ascii=False),
            )
            for call in message.calls
        ]
        messages.append((message.thinking, text, calls))
    return messages, case.conversation.tools, case.options


@pytest.mark.parametrize("shape", MEMBERS, ids=[shape.name for shape in MEMBERS])
def test_every_member_gives_the_conversation_back(shape: Shape) -> None:
    carried = lost = 0
    for index in range(250):
        case = case_at(31, index)
        if shape.loses(case):
            lost += 1
            continue
        request = shape.request(case)
        json.dumps(request.messages, allow_nan=False)  # plain JSON, as a server gets it
        assert canonical(back(request, shape), shape) == canonical(case, shape)
        carried += 1
    assert carried > 200
    assert (lost == 0) == shape.ids


CALLS = [("f",), ("f", "g"), ("f", "f"), ("f", "g", "f"), ("f", "g", "h")]


@pytest.mark.parametrize("names", CALLS, ids=["-".join(names) for names in CALLS])
@pytest.mark.parametrize("shape", families()["hf"][:4], ids=lambda shape: shape.name)
def test_inexpressible_is_exactly_what_cannot_be_read_back(shape: Shape, names: tuple[str, ...]) -> None:
    """Every way to answer a step's calls, some not, none twice, a later step's and an earlier one's."""
    step = Assistant(calls=tuple(ToolCall(name=name, arguments={}) for name in names))
    count = len(names)
    orders = [order for size in range(count + 1) for order in itertools.permutations(range(count), size)]
    for order in orders:
        for later in ((), (0,), (count,), (count, 0)):
            messages: list[Message] = [step, *(ToolResult(call=n, content=str(n)) for n in order)]
            if later:
                messages.append(Assistant(calls=(ToolCall(name="g", arguments={}),)))
                messages.extend(ToolResult(call=n, content=str(n)) for n in later)
            case = Case(conversation=Conversation(messages=tuple(messages)))
            same = canonical(back(shape.request(case), shape), shape) == canonical(case, shape)
            assert same == (shape.loses(case) is None), (order, later)


def test_raw_arguments_pass_unparsed() -> None:
    for text in ('{"a": 1}', '{"a":1}', "not json", "", "[1]", '"x"', "{'a': 1}"):
        case = Case(
            conversation=Conversation(messages=(Assistant(calls=(ToolCall(name="f", arguments=text),)),))
        )
        for shape in MEMBERS:
            (message,) = shape.messages(case.conversation)
            assert message["tool_calls"][0]["function"]["arguments"] == text


def test_objects_become_strings_in_the_openai_shape_only() -> None:
    arguments = {"city": "Zürich", "days": 2, "deep": {"b": [1, None, True]}}
    case = Case(
        conversation=Conversation(messages=(Assistant(calls=(ToolCall(name="f", arguments=arguments),)),))
    )
    for shape in MEMBERS:
        got = shape.messages(case.conversation)[0]["tool_calls"][0]["function"]["arguments"]
        if shape.family == "hf":
            assert got == arguments
        else:
            assert got == '{"city": "Zürich", "days": 2, "deep": {"b": [1, null, true]}}'


def test_what_is_absent_stays_absent() -> None:
    case = Case(conversation=Conversation(messages=(User(text="Hi"),)))
    for shape in MEMBERS:
        request = shape.request(case)
        assert request.kwargs == {}
        assert request.tools is None
        assert request.messages == [{"role": "user", "content": "Hi"}]
    bare = Case(conversation=Conversation(messages=(User(text="Hi"),), tools=(Tool(name="f"),)))
    assert MEMBERS[0].request(bare).tools == [{"type": "function", "function": {"name": "f"}}]


def test_ids_and_names_stand_where_the_name_says() -> None:
    case = Case(
        conversation=Conversation(
            messages=(
                Assistant(thinking="t", calls=(ToolCall(name="f", arguments={}),)),
                ToolResult(call=0, content="x"),
            )
        )
    )
    for shape in MEMBERS:
        step, result = shape.messages(case.conversation)
        ids = "ids" in shape.name or shape.family == "openai"
        assert ("id" in step["tool_calls"][0]) == ("tool_call_id" in result) == ids
        if ids:
            assert step["tool_calls"][0]["id"] == result["tool_call_id"]
        assert ("name" in result) == ("names" in shape.name)
        assert result.get("name", "f") == "f"
        own = {"hf": "absent", "openai": "null"}[shape.family]
        way = next((w for w in ("absent", "null", "empty") if f"{w}-content" in shape.name), own)
        assert {"absent": "content" not in step, "null": step.get("content", "") is None,
                "empty": step.get("content") == ""}[way]  # fmt: skip
        assert step["thinking" if shape.family == "hf" else "reasoning_content"] == "t"
        assert len({"thinking", "reasoning_content"} & step.keys()) == 1


def test_requests_share_nothing_that_a_template_could_change_for_the_next() -> None:
    """Engines get copies through the wire; in one process two requests may still share schemas, never lists."""
    case = case_at(31, 7)
    first, second = MEMBERS[0].request(case), MEMBERS[0].request(case)
    assert first == second
    assert first.messages is not second.messages


def test_drawing() -> None:
    choices = shapes()
    period = 2 * max(len(family) for family in choices)
    counted = [draw(choices, index).name for index in range(period)]
    assert set(counted) == {shape.name for shape in MEMBERS}
    assert [name.split("+")[0] for name in counted[:4]] == ["hf", "openai", "hf", "openai"]
    one = shapes(["hf+null-content+ids"])
    assert {draw(one, index).name for index in range(10)} == {"hf+null-content+ids"}
    assert shapes(["hf", "hf"]) == shapes(["hf"])
    assert {draw(shapes(["openai"]), index).family for index in range(10)} == {"openai"}
    assert len({shape.name for shape in MEMBERS}) == len(MEMBERS)
    with pytest.raises(UsageError, match="choose from hf, openai, or one member such as hf"):
        shapes(["hf", "chatml"])
