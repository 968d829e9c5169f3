"""Shapes: a request gives the conversation back exactly where the shape says that it carries it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from msgspec.structs import replace

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
from conformance.shapes import ALL, Shape, default_families, draw, families, shapes, turns

MEMBERS = [shape for family in families().values() for shape in family]
DEFAULT = [shape for family in default_families().values() for shape in family]
# What a preset's server loses of generated cases is most of them for one: it writes calls as text.
FEWEST_CARRIED = {"tgi": 5, "llama-server": 100, "sglang": 100}


def text_of(content: Any) -> Any:
    """Join the parts of a content, as the importer of requests does."""
    if not isinstance(content, list):
        return content
    assert all(part.keys() == {"type", "text"} and part["type"] == "text" for part in content)
    return "".join(part["text"] for part in content)


def which_call(raw: dict[str, Any], step: range, made: list[dict[str, Any]], answered: list[int]) -> int:
    """Say which call a tool message answers, as a careful server would: by id, by name, by order."""
    if "tool_call_id" in raw:
        same = [n for n, call in enumerate(made) if call.get("id") == raw["tool_call_id"]]
        # Ids that start anew in every step mean the newest step.
        return next((number for number in same if number in step), same[-1])
    if "name" in raw:
        same = [number for number in step if made[number]["function"]["name"] == raw["name"]]
        if len(same) == 1:
            return same[0]
    return step[len(answered)] if len(answered) < len(step) else -1


def thinking_of(raw: dict[str, Any], shape: Shape) -> Any:
    thoughts = [raw.get(key) for key in shape.thinking]
    assert all(thought == thoughts[0] for thought in thoughts)
    return thoughts[0] if thoughts else None


def back(request: Request, shape: Shape) -> Case:
    """Read a request back; where nothing and an empty text look the same the reading is nothing."""
    made: list[dict[str, Any]] = []
    step, answered = range(0), list[int]()
    messages: list[Message] = []
    for raw in request.messages:
        content = text_of(raw.get("content"))
        match raw["role"]:
            case "system" | "developer":
                messages.append(Instructions(text=content, role=raw["role"]))
            case "user":
                messages.append(User(text=content))
            case "tool":
                number = which_call(raw, step, made, answered)
                answered.append(number)
                messages.append(ToolResult(call=number, content=content))
            case "assistant":
                calls = raw.get("tool_calls", [])
                if calls:
                    step, answered = range(len(made), len(made) + len(calls)), []
                made.extend(calls)
                functions = [call["function"] for call in calls]
                assert all(call["type"] == "function" for call in calls)
                messages.append(
                    Assistant(
                        thinking=thinking_of(raw, shape),
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
    functions = [raw if shape.tools == "bare" else raw["function"] for raw in request.tools or ()]
    tools = tuple(
        Tool(name=raw["name"], description=raw.get("description"), parameters=raw.get("parameters"))
        for raw in functions
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
        thinking = message.thinking if shape.thinking else message.thinking or None
        calls = [
            (
                call.name,
                # A string of JSON and the object are the same to a server that passes strings or parses them.
                call.arguments
                if shape.arguments == "object" or isinstance(call.arguments, str)
                else json.dumps(call.arguments, ensure_ascii=False),
            )
            for call in message.calls
        ]
        messages.append((thinking, text, calls))
    tools = case.conversation.tools
    if shape.tools == "filled":
        tools = tuple(replace(tool, description=tool.description or "") for tool in tools)
    return messages, tools, case.options


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
    assert carried > FEWEST_CARRIED.get(shape.family, 170)
    if not shape.cannot and shape.arguments in ("object", "string"):
        assert carried > 230
        # Only a result of an earlier step is lost where ids start anew; none is generated.
        assert (lost == 0) == (shape.ids != "none")


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
            if shape.loses(case) is None:
                assert arguments_of(shape, case) in (text, {"a": 1})
            if shape.arguments in ("object", "string"):
                assert arguments_of(shape, case) == text


def arguments_of(shape: Shape, case: Case) -> Any:
    (message,) = shape.messages(case.conversation)
    return message["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ('{"a": 1, "b": ["ü"]}', {"a": 1, "b": ["ü"]}),
        ('{"a":1}', None),
        ('{"a": 1.0e3}', None),
        ('{"a": 1, "a": 2}', None),
        ('{"a": NaN}', None),
        ("not json", None),
        ("", None),
        ("[1]", None),
        ("[" * 100_000, None),
    ],
)
@pytest.mark.parametrize("name", ["llama-server", "vllm"])
def test_servers_that_parse_arguments_carry_what_survives_it(text: str, parsed: Any, name: str) -> None:
    call = Assistant(calls=(ToolCall(name="f", arguments=text),))
    case = Case(conversation=Conversation(messages=(call, User(text="a"))))
    shape = families()[name][0]
    assert (shape.loses(case) is None) == (parsed is not None)
    if parsed is not None:
        assert shape.messages(case.conversation)[0]["tool_calls"][0]["function"]["arguments"] == parsed


def test_objects_become_strings_only_where_the_shape_says_so() -> None:
    arguments = {"city": "Zürich", "days": 2, "deep": {"b": [1, None, True]}}
    case = Case(
        conversation=Conversation(messages=(Assistant(calls=(ToolCall(name="f", arguments=arguments),)),))
    )
    for shape in MEMBERS:
        got = arguments_of(shape, case)
        if shape.arguments == "string":
            assert got == '{"city": "Zürich", "days": 2, "deep": {"b": [1, null, true]}}'
        else:
            assert got == arguments


def test_what_is_absent_stays_absent() -> None:
    case = Case(conversation=Conversation(messages=(User(text="Hi"),)))
    for shape in MEMBERS:
        request = shape.request(case)
        assert request.kwargs == {}
        assert request.tools is None
        (message,) = request.messages
        assert text_of(message.pop("content")) == "Hi"
        assert message == {"role": "user"}
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
    for shape in DEFAULT:
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
    period = turns(choices)
    counted = [draw(choices, index).name for index in range(period)]
    assert set(counted) == {shape.name for shape in DEFAULT}
    assert [name.split("+")[0] for name in counted[:4]] == ["hf", "openai", "hf", "openai"]
    one = shapes(["hf+null-content+ids"])
    assert {draw(one, index).name for index in range(10)} == {"hf+null-content+ids"}
    assert shapes(["hf", "hf"]) == shapes(["hf"])
    assert {draw(shapes(["openai"]), index).family for index in range(10)} == {"openai"}
    assert len({shape.name for shape in MEMBERS}) == len(MEMBERS)
    with pytest.raises(UsageError, match=r"choose from hf, openai, parts, .*, all, or one member such as hf"):
        shapes(["hf", "chatml"])


def test_no_name_draws_what_it_always_drew() -> None:
    """Scoreboards and the numbers of cases rest on this order of these members."""
    assert list(default_families()) == ["hf", "openai"]
    drawn = [draw(shapes(), index).name for index in range(24)]
    assert drawn[:8] == [
        "hf", "openai", "hf+names", "openai+names",
        "hf+ids", "openai+absent-content", "hf+ids+names", "openai+absent-content+names",
    ]  # fmt: skip
    assert drawn[22:] == ["hf+empty-content+ids+names", "openai+empty-content+names"]


@pytest.mark.long
def test_what_clients_do_now_and_then_is_drawn_rarely() -> None:
    drawn = [draw(shapes(), index).name for index in range(2_000)]
    rare = {name: drawn.count(name) for name in set(drawn) if name.endswith(("+empty-calls", "+parts"))}
    assert rare == {"hf+empty-calls": 62, "openai+empty-calls": 31, "openai+parts": 31}
    said = Conversation(messages=(Assistant(final="18"), User(text="ok")))
    (empty,), (parts,) = shapes(["openai+empty-calls"])[0], shapes(["openai+parts"])[0]
    assert empty.messages(said)[0] == {"role": "assistant", "content": "18", "tool_calls": []}
    assert parts.messages(said)[1] == {"role": "user", "content": [{"type": "text", "text": "ok"}]}
    # One that is named is all that is drawn.
    assert {draw(shapes(["openai+parts"]), index).name for index in range(40)} == {"openai+parts"}


def test_all_names_every_family() -> None:
    assert shapes([ALL]) == tuple(families().values())
    assert shapes(["openai", ALL])[0] == families()["openai"]
    assert len(shapes(["openai", ALL])) == len(families())
    assert {draw(shapes([ALL]), index).family for index in range(20)} == set(families())
