"""Case files and cases made in code: what is refused, with which words, and what never happens (a traceback)."""

from __future__ import annotations

import json
import pickle
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    check_case,
    to_json,
)
from conformance.errors import EXIT_USAGE, UsageError
from conformance.generate import case_at
from conformance.oracles.harmony import HarmonyOracle

PROPERTY = settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
CALL = ToolCall(name="f", arguments={})
NAN, INF = float("nan"), float("inf")


def of(*messages: Any, tools: tuple[Tool, ...] = (), **options: Any) -> Case:
    return Case(conversation=Conversation(messages=messages, tools=tools), options=Options(**options))


def tool(parameters: dict[str, Any]) -> Case:
    return of(User(text="Hi"), tools=(Tool(name="f", parameters=parameters),))


def nested(depth: int, kind: str = "object") -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if kind == "object" else [value]
    return value


REFUSED: list[tuple[Case, str]] = [
    (tool({"a": NAN}), r"tools\[0\].parameters.a is nan"),
    (tool({"a": [1, {"b": -INF}]}), r"tools\[0\].parameters.a\[1\].b is -inf"),
    (tool({"a": 10**400}), r"tools\[0\].parameters.a is too large a number"),
    (tool({"a": -(10**308)}), "too large a number"),
    (tool({"a": "\ud800"}), r"tools\[0\].parameters.a holds half of a surrogate pair"),
    (tool({"\udfff": 1}), "holds half of a surrogate pair"),
    (tool(nested(65)), r"tools\[0\].parameters is nested deeper than 64 levels"),
    (tool({"a": nested(64, "list")}), "nested deeper than 64 levels"),
    (tool(nested(900)), "nested deeper than 64 levels"),
    (of(User(text="\ud83d")), r"messages\[0\].text holds half"),
    (of(Instructions(text="\udc00")), r"messages\[0\].text holds half"),
    (of(Assistant(thinking="\ud800")), r"messages\[0\].thinking holds half"),
    (of(Assistant(final="\ud800")), r"messages\[0\].final holds half"),
    (of(Assistant(preamble="\ud800", calls=(CALL,))), r"messages\[0\].preamble holds half"),
    (of(Assistant(calls=(ToolCall(name="f", arguments="\ud800"),))), r"calls\[0\].arguments holds half"),
    (of(Assistant(calls=(ToolCall(name="f", arguments={"x": NAN}),))), r"calls\[0\].arguments.x is nan"),
    (of(Assistant(calls=(CALL,)), ToolResult(call=0, content="\ud800")), r"messages\[1\].content holds half"),
    (of(User(text="Hi"), model_identity="\ud800"), "options.model_identity holds half"),
    (of(tools=(Tool(name="f", description="\ud800"),)), r"tools\[0\].description holds half"),
    (of(tools=(Tool(name=""),)), r"tools\[0\].name is ''"),
    (of(tools=(Tool(name="a b"),)), "1 to 64 of the characters"),
    (of(tools=(Tool(name="a\n"),)), "1 to 64 of the characters"),
    (of(tools=(Tool(name="é"),)), "1 to 64 of the characters"),
    (of(tools=(Tool(name="a" * 65),)), "1 to 64 of the characters"),
    (of(Assistant(calls=(ToolCall(name="a b", arguments=""),))), r"messages\[0\].calls\[0\].name"),
    (of(ToolResult(call=0, content="")), "no call was made before it"),
    (of(Assistant(calls=(CALL, CALL)), ToolResult(call=2, content="")), "there are 2 calls before it"),
    (of(Assistant(calls=(CALL,)), ToolResult(call=-1, content="")), r"messages\[1\].call is -1"),
    (of(ToolResult(call=0, content=""), Assistant(calls=(CALL,))), r"messages\[0\].call is 0"),
    (of(Assistant(calls=(CALL,), final="x")), "put text beside calls into preamble"),
    (of(Assistant(preamble="x")), "put the text into final"),
    (of(builtin_tools=("browser", "browser")), "names a tool twice"),
    *[
        (of(date=date), "options.date is")
        for date in ("", "2025-13-01", "2025-02-29", "20250628", "2025-W01-1", "2025-6-28", "28.6.2025")
    ],
]


@pytest.mark.parametrize(("case", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused_in_one_sentence_that_names_the_place(case: Case, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_case(case, "my.json")
    said = str(caught.value)
    assert said.startswith("my.json: ")
    assert len(said.splitlines()) == 1
    assert len(said) < 300
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    "case",
    [
        of(),
        tool(nested(64)),
        tool({"a": 10**308 - 1}),
        tool({"a": 1.7976931348623157e308}),
        tool({"😀": "\x00\uffff"}),
        of(tools=(Tool(name="a" * 64), Tool(name="a" * 64))),
        of(Assistant(), Assistant(thinking=""), Assistant(preamble="", calls=(CALL,))),
        of(Assistant(calls=(CALL,)), ToolResult(call=0, content=""), ToolResult(call=0, content="")),
        of(date="0001-01-01", builtin_tools=("python", "browser")),
    ],
)
def test_accepted_and_rendered(case: Case) -> None:
    check_case(case)
    assert HarmonyOracle().render(case_from_json(to_json(case))).exact_spans


def wrapped(parameters: str) -> str:
    return f'{{"conversation":{{"tools":[{{"name":"f","parameters":{parameters}}}]}}}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{", "truncated"),
        ("null", "expected `object`"),
        ("{}", "missing required field `conversation`"),
        ('{"conversation":{}} x', "trailing"),
        (wrapped('{"a":NaN}'), "contains NaN or Infinity"),
        (wrapped('{"a":[-Infinity]}'), "contains NaN or Infinity"),
        (wrapped('{"a":1e400}'), "a number in it is too large"),
        (wrapped('{"a":' + "1" * 5000 + "}"), "a number in it is too large"),
        (wrapped('{"a":"\\ud800 and more text to come"}'), "half of a surrogate pair"),
        (wrapped('{"a":"\\ud800"}'), "half of a surrogate pair"),
        (wrapped('{"a":"\\ud800')[:-3], "truncated"),
        (wrapped('{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deeply"),
        (wrapped('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "nested too deeply"),
        (wrapped('{"a":' * 500 + "1" + "}" * 500), "nested deeper than 64"),
        ('{"conversation":{"messages":[{"text":"a"}]}}', "one of instructions, user, assistant, result"),
        ('{"conversation":{"messages":[{"kind":"robot","text":"[NaN"}]}}', "robot"),
        ('{"conversation":{"messages":[{"kind":"user","text":1}]}}', r"messages\[0\].text"),
        ('{"conversation":{"messages":[{"kind":"instructions","text":"","role":"user"}]}}', "role"),
        ('{"conversation":{"messages":[{"kind":"result","call":0.5,"content":""}]}}', "call"),
        ('{"conversation":{},"options":{"mode":"chat"}}', "mode"),
        ('{"conversation":{},"options":{"builtin_tools":["shell"]}}', "shell"),
        ('{"conversation":{},"options":{"reasoning_effort":"extreme"}}', "extreme"),
        ('{"conversation":{},"opt":{}}', "opt"),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_broken_json_in_words(text: str, words: str, binary: bool) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        case_from_json(text.encode() if binary else text, "my.json")
    said = str(caught.value)
    assert said.startswith("my.json")
    assert len(said) < 300
    assert "jSON" not in said


@PROPERTY
@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_input_ends_in_a_traceback(data: bytes | str) -> None:
    with pytest.raises(UsageError):
        case_from_json(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["user", "final", "", "f"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "kind", "text", "calls", "tools", "name"]), inner)
    ),
    max_leaves=12,
)


@PROPERTY
@given(JSON)
def test_the_published_schema_and_the_reader_agree_on_structure(value: Any) -> None:
    data = json.dumps({"conversation": value})
    valid = jsonschema.Draft202012Validator(case_schema()).is_valid(json.loads(data))
    try:
        case_from_json(data)
        read = True
    except UsageError as error:
        # What types cannot say is refused after the structure was found right.
        read = "is not a case" not in str(error)
    assert valid == read


def mutilated() -> list[dict[str, Any]]:
    """Return a real case's JSON with one thing wrong in each."""
    good = json.loads(to_json(of(User(text="a"), Assistant(calls=(CALL,)), ToolResult(call=0, content="b"))))
    out = []
    for index in range(3):
        for change in ({"kind": "x"}, {"extra": 1}):
            bad = json.loads(json.dumps(good))
            bad["conversation"]["messages"][index].update(change)
            out.append(bad)
        bad = json.loads(json.dumps(good))
        del bad["conversation"]["messages"][index]["kind"]
        out.append(bad)
    return [*out, {**good, "x": 1}, {"options": {}}, {**good, "options": {"date": 5}}]


@pytest.mark.parametrize("bad", mutilated())
def test_the_schema_rejects_wrong_ones(bad: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(case_schema())
    validator.check_schema(case_schema())
    assert not validator.is_valid(bad)
    with pytest.raises(UsageError):
        case_from_json(json.dumps(bad))


def test_generated_cases_are_valid_by_schema_and_check() -> None:
    validator = jsonschema.Draft202012Validator(case_schema())
    for index in range(60):
        case = case_at(3, index)
        check_case(case)
        validator.validate(json.loads(to_json(case)))


def test_ids_are_stable() -> None:
    """The ids of these cases stand in published reports; a change breaks every `replay`."""
    assert case_id(of(User(text="Hi"))) == case_id(of(User(text="Hi"), date="2025-06-28"))
    ids = {case_id(case_at(0, index)) for index in range(300)}
    assert len(ids) == 300
    for index in range(30):
        case = case_at(0, index)
        again = pickle.loads(pickle.dumps(case))
        assert case_id(again) == case_id(case) == case_id(case_from_json(to_json(again)))


def test_the_order_of_keys_is_part_of_a_case() -> None:
    first, second = {"b": 1, "a": 2}, {"a": 2, "b": 1}
    assert case_id(tool(first)) != case_id(tool(second))
    read = case_from_json(to_json(tool(first))).conversation.tools[0].parameters
    assert list(read or {}) == ["b", "a"]
