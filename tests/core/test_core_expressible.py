"""What Harmony can render and few messages have: users' names, results without a call, built-in tools, formats.

The right texts stand here in full behind the system message, as the library and its format document have them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from conformance.campaign.reduce import fewer_messages, fewer_parts, simpler_names
from conformance.cli.app import main
from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Options,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolResult,
    User,
    case_from_json,
    check_case,
    to_json,
)
from conformance.engines.base import Rendered, Request, get_engine
from conformance.engines.in_process import InProcessHost
from conformance.errors import UsageError
from conformance.fixes.readings import reading_variant
from conformance.importers import case_from_request
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile, profiles
from conformance.resources import resource
from conformance.shapes import CONVERSATION, families

ASK = "<|start|>assistant"
USER = {"role": "user", "content": "Weather in Paris?"}
ASKED = "<|start|>user<|message|>Weather in Paris?<|end|>"
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "D"}}
SCHEMA = {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
SECTION = (
    "# Response Formats\n\n## city\n\n"
    '{"type":"object","properties":{"country":{"type":"string"}},"required":["country"]}'
)
DEVELOPER = (
    "<|start|>developer<|message|># Tools\n\n## functions\n\nnamespace functions {\n\n// D\n"
    "type get_weather = () => any;\n\n} // namespace functions<|end|>"
)


def case(*messages: Message, **options: Any) -> Case:
    """Return a case of these messages."""
    tools, formats = options.pop("tools", ()), options.pop("formats", ())
    return Case(Conversation(messages, tools, formats), Options(**options))


def rendered(given: Case, said: str = "harmony") -> str:
    """Return Harmony's text behind the system message; Harmony itself has judged the layout."""
    rendering = HarmonyOracle(said).render(given)
    assert rendering.exact_spans
    return rendering.text.partition("<|end|>")[2]


# Requests as they are given, and what stands behind the system message.
REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "an answer that the server goes on after": (
        {"messages": [USER, {"role": "assistant", "content": "It is"}]},
        f"{ASKED}{ASK}<|channel|>final<|message|>It is<|end|>{ASK}",
    ),
    "an answer that is continued": (
        {"messages": [USER, {"role": "assistant", "content": "It is"}], "continue_final_message": True},
        f"{ASKED}{ASK}<|channel|>final<|message|>It is",
    ),
    "parts in a result": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Weather in Paris?"}]},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "18 degrees"}]},
            ],
            "tools": [TOOL],
        },
        (
            f"{DEVELOPER}{ASKED}{ASK} to=functions.get_weather<|channel|>commentary json<|message|>"
            '{"city": "Paris"}<|call|><|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>'
            f"18 degrees<|end|>{ASK}"
        ),
    ),
    "no calls in a list of calls": (
        {"messages": [USER, {"role": "assistant", "content": "18", "tool_calls": []}, USER]},
        f"{ASKED}{ASK}<|channel|>final<|message|>18<|end|>{ASKED}{ASK}",
    ),
    "a response format": (
        {"messages": [USER], "response_format": FORMAT},
        f"<|start|>developer<|message|>{SECTION}<|end|>{ASKED}{ASK}",
    ),
    "a result without a call": (
        {"messages": [USER, {"role": "tool", "name": "get_weather", "content": "18"}], "tools": [TOOL]},
        f"{DEVELOPER}{ASKED}<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>18<|end|>{ASK}",
    ),
    "a dotted name": (
        {"messages": [USER], "tools": [{"type": "function", "function": {"name": "mcp.server.tool"}}]},
        (
            "<|start|>developer<|message|># Tools\n\n## functions\n\nnamespace functions {\n\n"
            f"type mcp.server.tool = () => any;\n\n}} // namespace functions<|end|>{ASKED}{ASK}"
        ),
    ),
    "a user's name": (
        {"messages": [{**USER, "name": "Ada"}]},
        f"<|start|>user:Ada<|message|>Weather in Paris?<|end|>{ASK}",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_rendered(name: str) -> None:
    request, right = REQUESTS[name]
    text = rendered(case_from_request(request))
    assert text == right


PYTHON = ToolCall(name="python", arguments="1 + 1", builtin=True)
SEARCH = ToolCall(name="browser.search", arguments={"query": "x"}, builtin=True)
CITY = ResponseFormat(name="city", schema=SCHEMA)
ASKING = User(text="Weather in Paris?")

CASES: dict[str, tuple[Case, str]] = {
    "built-in tools called and answered": (
        case(
            ASKING,
            Assistant(thinking="t", calls=(SEARCH, PYTHON)),
            ToolResult(call=1, content="2"),
            ToolResult(call=0, content="found"),
        ),
        (
            f"{ASKED}{ASK}<|channel|>analysis<|message|>t<|end|>"
            f'{ASK} to=browser.search<|channel|>analysis code<|message|>{{"query": "x"}}<|call|>'
            f"{ASK} to=python<|channel|>analysis code<|message|>1 + 1<|call|>"
            "<|start|>python to=assistant<|channel|>analysis<|message|>2<|end|>"
            f"<|start|>browser.search to=assistant<|channel|>analysis<|message|>found<|end|>{ASK}"
        ),
    ),
    # As analysis they go the way of all thinking before a final answer.
    "built-in tools of an answered turn": (
        case(
            ASKING,
            Assistant(calls=(PYTHON,)),
            ToolResult(call=0, content="2"),
            Assistant(thinking="t", final="Two."),
            ASKING,
        ),
        f"{ASKED}{ASK}<|channel|>final<|message|>Two.<|end|>{ASKED}{ASK}",
    ),
    "a result of a built-in tool without its call": (
        case(ASKING, ToolResult(name="container.exec", builtin=True, content="ok")),
        f"{ASKED}<|start|>container.exec to=assistant<|channel|>analysis<|message|>ok<|end|>{ASK}",
    ),
    "formats behind instructions and tools": (
        case(
            Instructions(text="Be."),
            ASKING,
            tools=(Tool(name="f"),),
            formats=(replace(CITY, description="A city.\nOne."), ResponseFormat(name="any", schema={})),
        ),
        (
            "<|start|>developer<|message|># Instructions\n\nBe.\n\n# Tools\n\n## functions\n\nnamespace functions {\n\n"
            f"type f = () => any;\n\n}} // namespace functions\n\n{SECTION[:20]}## city\n\n// A city.\n// One.\n"
            f"{SECTION[29:]}\n\n## any\n\n{{}}<|end|>{ASKED}{ASK}"
        ),
    ),
    "thinking that is continued": (
        case(ASKING, Assistant(thinking="Hm"), mode="continue"),
        f"{ASKED}{ASK}<|channel|>analysis<|message|>Hm",
    ),
    # Thinking of the answer that is being written is kept, as it was when the answer was begun.
    "an answer that is continued after others": (
        case(
            ASKING,
            Assistant(thinking="old", final="18."),
            ASKING,
            Assistant(thinking="new", final="It"),
            mode="continue",
        ),
        (
            f"{ASKED}{ASK}<|channel|>final<|message|>18.<|end|>{ASKED}"
            f"{ASK}<|channel|>analysis<|message|>new<|end|>{ASK}<|channel|>final<|message|>It"
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_cases_are_rendered_under_every_profile(name: str) -> None:
    given, right = CASES[name]
    check_case(given)
    assert case_from_json(to_json(given)) == given
    assert rendered(given) == right
    for name in profiles():
        oracle = HarmonyOracle(name)
        rendering = oracle.render(given)
        assert rendering.exact_spans
        assert oracle.decode(rendering.tokens) == rendering.text == oracle.layout(given)


def test_readings_decide_what_is_written() -> None:
    named = case(replace(ASKING, name="Ada"), formats=(CITY,))
    assert rendered(named, "user_name=omitted,response_formats=omitted") == f"{ASKED}{ASK}"
    called = CASES["built-in tools called and answered"][0]
    assert " <|constrain|>code<|message|>" in rendered(called, "builtin_content_type=constrain")
    # Where the recipient stands is a matter of functions alone.
    assert rendered(called, "recipient=channel,result_recipient=channel") == rendered(called)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (case(User(text="a", name="Ada L")), r"messages\[0\].name is 'Ada L'; a user's name"),
        (case(User(text="a", name="<|end|>")), r"messages\[0\].name is"),
        (case(ToolResult(content="a")), "neither the call that it answers nor the name"),
        (
            case(Assistant(calls=(PYTHON,)), ToolResult(call=0, name="f", content="")),
            "answers a call, whose name it has",
        ),
        (case(ToolResult(name="a b", content="")), r"messages\[0\].name is 'a b'; a tool name"),
        (
            case(Assistant(calls=(ToolCall(name="functions.f", arguments="", builtin=True),))),
            "which is no built-in tool",
        ),
        (case(ASKING, formats=(ResponseFormat(name="a b", schema={}),)), r"response_formats\[0\].name"),
        (
            case(ASKING, formats=(ResponseFormat(name="a", schema={"x": float("nan")}),)),
            r"response_formats\[0\].schema.x",
        ),
        (case(ASKING, mode="continue"), "the last message is not text of the assistant's"),
        (
            case(Assistant(calls=(PYTHON,)), mode="continue"),
            "the last message is not text of the assistant's",
        ),
        (case(mode="continue"), "the last message is not text of the assistant's"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(given: Case, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_case(given)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            {"messages": [USER], "response_format": {"type": "json_schema"}},
            "json_schema is not an object with a name",
        ),
        (
            {"messages": [USER], "response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "a format's name has",
        ),
        (
            {"messages": [USER], "continue_final_message": True},
            "the last message is not text of the assistant's",
        ),
        ({"messages": [{**USER, "name": 3}]}, r"messages\[0\].name is not text"),
        ({"messages": [{"role": "tool", "content": "18"}]}, "it has no name of a tool"),
    ],
)
def test_requests_that_are_refused(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        case_from_request(request_)
    assert len(str(caught.value).splitlines()) == 1


def test_shapes_say_what_they_cannot_carry() -> None:
    lost = {
        "user": case(User(text="a", name="Ada")),
        "result": case(ASKING, ToolResult(name="f", content="")),
        "builtin": CASES["built-in tools called and answered"][0],
        "formats": case(ASKING, formats=(CITY,)),
        "thinking": CASES["thinking that is continued"][0],
    }
    plain = {name: members[0] for name, members in families().items()}
    assert {name for name in plain if plain[name].loses(lost["user"])} == {
        "llama-server",
        "lm-studio",
        "sglang",
        "tgi",
    }
    refusing = {"openai", "tool-ids-only", "llama-server", "vllm", "tgi", "lm-studio"}
    assert {name for name in plain if plain[name].loses(lost["result"])} == refusing
    for name in ("builtin", "formats", "thinking"):
        assert all(shape.loses(lost[name]) for shape in plain.values()), name
        assert CONVERSATION.loses(lost[name]) is None
    assert plain["hf"].loses(lost["formats"]) == "no template is handed response formats"
    # Who counts results would take this one for the open call's.
    beside = case(Assistant(calls=(ToolCall(name="f", arguments=""),)), ToolResult(name="g", content=""))
    assert "needs tool_call ids" in (plain["hf"].loses(beside) or "")


@pytest.mark.parametrize("engine", ["transformers", "jinja2"])
def test_the_reference_writes_what_messages_can_carry(engine: str) -> None:
    """A user's name and a result without a call, in every shape that carries them; transformers continues an answer."""
    source = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    omitting = reading_variant(source, profile("user_name=omitted"))
    assert omitting != source
    answered = Assistant(calls=(ToolCall(name="f", arguments="{}"),))
    given = [
        case(User(text="a", name="Ada"), User(text="b")),
        case(ASKING, ToolResult(name="get_weather", content="18")),
        case(ASKING, answered, ToolResult(call=0, content="1"), ToolResult(name="g", content="2")),
        *([CASES["an answer that is continued after others"][0]] if engine == "transformers" else []),
    ]
    host, oracle, other, seen = InProcessHost(engine), HarmonyOracle(), HarmonyOracle("user_name=omitted"), 0
    for one in given:
        for shape in (member for family in families().values() for member in family):
            if shape.loses(one) is None:
                request = shape.request(one)
                assert host.render(source, request) == Rendered(oracle.render(one).text), shape.name
                assert host.render(omitting, request) == Rendered(other.render(one).text), shape.name
                seen += 1
    assert seen > 30


def test_only_transformers_cuts_a_prompt() -> None:
    request = Request([], None, {"continue_final_message": True}, False, "2025-01-01")
    for name in ("jinja2", "minijinja", "llama.cpp", "huggingface-js"):
        assert "only transformers cuts" in (get_engine(name).loses(request) or ""), name


def test_a_dropped_name_and_format_are_cited_readings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    body = {"messages": [{**USER, "name": "Ada"}], "response_format": FORMAT}
    Path("body.json").write_text(json.dumps(body), encoding="utf-8")
    source = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    Path("t.jinja").write_text(source.replace("(':' ~ name if name else '')", "''"), encoding="utf-8")
    words = ["diff", "t.jinja", "--case", "body.json", "--plain"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "# response-formats in developer message" in said
    assert "# role-header in user message" in said
    following = "user_name=omitted,response_formats=omitted"
    with pytest.raises(SystemExit) as ended:
        main([*words, "--profile", following])
    assert ended.value.code == 0


def test_shrinking_keeps_a_case_valid() -> None:
    given = case(
        User(text="a", name="Ada"),
        Assistant(calls=(PYTHON, SEARCH)),
        ToolResult(call=1, content="x"),
        ToolResult(name="g", content="y"),
        formats=(CITY,),
    )
    smaller = [*fewer_messages(given), *fewer_parts(given), *simpler_names(given)]
    for one in smaller:
        check_case(one)
    assert any(not one.conversation.response_formats for one in smaller)
    assert any(
        isinstance(m, User) and m.name is None for one in smaller for m in one.conversation.messages[:1]
    )
    assert any(one.conversation.messages == (given.conversation.messages[3],) for one in smaller)


def test_what_is_left_out_is_said_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.jinja").write_text(resource("templates", "gpt-oss.jinja").read_text("utf-8"), encoding="utf-8")
    words = ["check", "t.jinja", "--engine", "jinja2", "--shape", "tgi", "--examples", "60", "--output", "o"]
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().err
    (target,) = json.loads(Path("o/report.json").read_text("utf-8"))["targets"]
    assert sum(target["inexpressible"].values()) == target["cases"]["inexpressible"] > 0
    for reason, count in target["inexpressible"].items():
        assert f"note: t: {count:,} conversation" in said
        assert f"left out: {reason}" in said
