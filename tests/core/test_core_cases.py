"""Conversations, shapes and imported requests: nothing is lost on the way, and bad input is one sentence."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
    case_from_json,
    case_id,
    case_schema,
    to_json,
)
from conformance.errors import UsageError
from conformance.importers import case_from_request, read_case
from conformance.oracles.plan import arguments_text
from conformance.shapes import default_families, draw, families, shapes
from conformance.strategies import cases

VALIDATOR = jsonschema.Draft202012Validator(case_schema())
PROPERTY = settings(max_examples=120, deadline=None, derandomize=True)


@PROPERTY
@given(cases())
def test_a_case_survives_json(case):
    again = case_from_json(to_json(case))
    assert again == case
    assert case_id(again) == case_id(case)
    VALIDATOR.validate(json.loads(to_json(case)))


def test_a_written_out_default_is_the_same_case():
    plain = Case(conversation=Conversation(messages=(Instructions(text="a"),)))
    message = {"kind": "instructions", "role": "system", "text": "a"}
    options = {"date": "2025-06-28", "mode": "generation"}
    written = json.dumps({"conversation": {"messages": [message]}, "options": options})
    assert case_id(case_from_json(written)) == case_id(plain)


def _case(message: str, rest: str = "") -> str:
    return f'{{"conversation":{{"messages":[{message}]}}{rest}}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"conversation":{"messages":[{"kind":"user","text":NaN}]}}', "NaN"),
        (_case('{"kind":"bystander","text":"a"}'), "bystander"),
        (_case('{"kind":"user","text":"a","mood":1}'), "mood"),
        (_case('{"kind":"result","call":0,"content":"a"}'), "no call was made before it"),
        (_case('{"kind":"user","text":"a"}', ',"options":{"date":"2025-13-01"}'), "date"),
        (_case('{"kind":"assistant","preamble":"a"}'), "preamble"),
        (_case('{"kind":"assistant","calls":[{"name":"a b","arguments":{}}]}'), "tool name"),
        (_case('{"kind":"assistant","final":"x","calls":[{"name":"a","arguments":{}}]}'), "final"),
        ("{", "is not a case"),
        ("[]", "is not a case"),
        ("", "is not a case"),
    ],
)
def test_bad_cases_are_refused_in_one_sentence(text, words):
    with pytest.raises(UsageError) as caught:
        case_from_json(text, "the file")
    said = str(caught.value)
    assert words in said
    assert "the file" in said
    assert "\n" not in said


def _canonical(case: Case) -> list[tuple]:
    """What a shape has to carry: roles and texts, calls with their arguments, results with their call."""
    out: list[tuple] = []
    for message in case.conversation.messages:
        if isinstance(message, Assistant):
            text = message.preamble if message.calls else message.final
            calls = [(call.name, call.arguments) for call in message.calls]
            out.append(("assistant", message.thinking, text, calls))
        elif isinstance(message, ToolResult):
            out.append(("tool", message.call, message.content))
        elif isinstance(message, Instructions):
            out.append((message.role, message.text))
        else:
            out.append(("user", message.text))
    return out


def _text(content):
    """Return a content as text: parts joined."""
    return "".join(part["text"] for part in content) if isinstance(content, list) else content


def _carried(shape, messages) -> list[tuple]:
    """Read a shape's messages back as a server would hand them on, by ids, names or order."""
    out: list[tuple] = []
    names: list[str] = []
    ids: dict[str, int] = {}
    start, answered = 0, 0
    for raw in messages:
        if raw["role"] == "assistant":
            calls = []
            start, answered = (len(names), 0) if raw.get("tool_calls") else (start, answered)
            for call in raw.get("tool_calls", []):
                if "id" in call:
                    ids[call["id"]] = len(names)
                names.append(call["function"]["name"])
                calls.append((call["function"]["name"], call["function"]["arguments"]))
            thinking = raw.get("thinking", raw.get("reasoning_content"))
            out.append(("assistant", thinking, _text(raw.get("content")), calls))
        elif raw["role"] == "tool":
            if "tool_call_id" in raw:
                number = ids[raw["tool_call_id"]]
            else:
                number = start + answered
                if "name" in raw and names[start:].count(raw["name"]) == 1:
                    number = start + names[start:].index(raw["name"])
            answered += 1
            out.append(("tool", number, _text(raw["content"])))
        else:
            out.append((raw["role"], _text(raw["content"])))
    return out


@PROPERTY
@given(cases())
def test_every_shape_carries_the_conversation(case):
    wanted = _canonical(case)
    for family in default_families().values():
        for shape in family:
            if shape.loses(case):
                continue
            request = shape.request(case)
            got = _carried(shape, request.messages)
            for (role, *want), (got_role, *have) in zip(wanted, got, strict=True):
                assert role == got_role
                if role != "assistant":
                    assert want == have
                    continue
                assert want[0] == have[0]
                assert (want[1] or None) == (have[1] or None)
                for (name, arguments), (got_name, got_arguments) in zip(want[2], have[2], strict=True):
                    assert name == got_name
                    text = arguments_text(ToolCall(name=name, arguments=arguments))
                    assert got_arguments == (text if shape.arguments == "string" else arguments)
            assert request.add_generation_prompt == (case.options.mode == "generation")
            assert request.date == case.options.date
            assert [t["function"]["name"] for t in request.tools or []] == [
                t.name for t in case.conversation.tools
            ]


def test_results_out_of_order_need_ids():
    case = Case(
        conversation=Conversation(
            messages=(
                Assistant(calls=(ToolCall(name="f", arguments={}), ToolCall(name="f", arguments={}))),
                ToolResult(call=1, content="b"),
                ToolResult(call=0, content="a"),
            )
        )
    )
    assert all(shape.ids == "none" for shape in families()["hf"] if shape.loses(case))
    assert all(shape.loses(case) for shape in families()["hf"] if shape.ids == "none")
    assert not any(shape.loses(case) for shape in families()["openai"])


def test_absent_null_and_empty_content():
    case = Case(conversation=Conversation(messages=(Assistant(calls=(ToolCall(name="f", arguments={}),)),)))
    seen = {repr(shape.messages(case.conversation)[0].get("content", "absent")) for shape in families()["hf"]}
    assert seen == {"'absent'", "None", "''"}


def test_the_draw_reaches_every_member():
    choices = shapes()
    assert {draw(choices, index).name for index in range(100)} == {
        s.name for f in default_families().values() for s in f
    }
    with pytest.raises(UsageError, match="hf"):
        shapes(["hff"])


REQUEST = {
    "model": "gpt-oss-20b",
    "temperature": 0.2,
    "reasoning_effort": "high",
    "messages": [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}],
        },
        {"role": "user", "content": "Weather in Rome and Oslo?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Two calls.",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                },
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": "cold"},
        {"role": "tool", "tool_call_id": "a", "content": "warm"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
}


def test_a_chat_completions_request_becomes_a_case(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST), encoding="utf-8")
    case = read_case(path)
    assert case.options == Options(reasoning_effort="high")
    assert case.conversation.tools == (Tool(name="weather", parameters={"type": "object"}),)
    instructions, user, step, cold, warm = case.conversation.messages
    assert instructions == Instructions(text="Be kind.", role="developer")
    assert user == User(text="Weather in Rome and Oslo?")
    assert step.thinking == "Two calls."
    assert [call.arguments for call in step.calls] == ['{"city":"Rome"}', '{"city":"Oslo"}']
    assert (cold.call, warm.call) == (1, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "image_url"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "robot"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "no call"),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]},
            "tool_calls",
        ),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages is empty"),
        ({"messages": [{"role": "user", "content": "a"}], "reasoning_effort": "extreme"}, "extreme"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "function"}]}, "tools[0]"),
    ],
)
def test_requests_that_gpt_oss_cannot_be_given(change, words):
    with pytest.raises(UsageError) as caught:
        case_from_request(change, "req.json")
    assert words in str(caught.value)
    assert "req.json" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe{}", "UTF-8"),
        (b"", "case.json"),
        (b'{"messages": [NaN]}', "NaN"),
        (b'{"conversation":' * 2000, "nested too deeply"),
    ],
)
def test_unreadable_files(tmp_path, data, words):
    path = tmp_path / "case.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        read_case(path)
    with pytest.raises(UsageError, match="Cannot read"):
        read_case(tmp_path / "none.json")
