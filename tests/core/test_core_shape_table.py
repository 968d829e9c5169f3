"""Families of shapes beside the two that are drawn by default: how servers hand conversations over."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.engines.base import Rendered
from conformance.engines.in_process import InProcessHost
from conformance.generate import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import ALL, Shape, draw, families, shapes, table
from tools.renew import shapes_table

CALLED = Case(
    conversation=Conversation(
        messages=(
            Instructions(text="Be kind.", role="developer"),
            User(text="Hi"),
            Assistant(
                thinking="t", calls=(ToolCall(name="f", arguments={}), ToolCall(name="g", arguments={}))
            ),
            ToolResult(call=1, content="x"),
            Assistant(calls=(ToolCall(name="f", arguments={}),)),
            ToolResult(call=2, content=""),
        ),
        tools=(Tool(name="f"),),
    )
)


def member(name: str) -> Shape:
    return shapes([name])[0][0]


def test_parts_make_up_the_text() -> None:
    one = member("parts").messages(CALLED.conversation)
    assert one[0] == {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}
    assert one[5]["content"] == [{"type": "text", "text": ""}]
    assert "content" not in one[2]
    assert one[2]["thinking"] == "t"
    several = member("parts+several").messages(CALLED.conversation)
    assert [part["text"] for part in several[0]["content"]] == ["Be k", "", "ind."]
    assert several[3]["content"] == [{"type": "text", "text": "x"}]


def test_ids_identify_calls() -> None:
    def ids(name: str) -> list[str]:
        out: list[str] = []
        for message in member(name).messages(CALLED.conversation):
            out += [call["id"] for call in message.get("tool_calls", [])]
            out += [message["tool_call_id"]] if "tool_call_id" in message else []
            assert "name" not in message
        return out

    opaque = ids("tool-ids-only")
    assert opaque[1] == opaque[2] != opaque[0]
    assert opaque[3] == opaque[4]
    assert len(set(opaque)) == 3
    assert all(re.fullmatch(r"chatcmpl-tool-[0-9a-f]{32}", identity) for identity in opaque)
    assert ids("tool-ids-only+restarting-ids") == ["call_0", "call_1", "call_1", "call_0", "call_0"]
    messages = (*CALLED.conversation.messages, ToolResult(call=0, content="late"))
    late = Case(conversation=Conversation(messages=messages))
    assert member("tool-ids-only").loses(late) is None
    assert "ids that are unique" in (member("tool-ids-only+restarting-ids").loses(late) or "")


def test_tools_are_handed_over_as_servers_do() -> None:
    def tools(name: str) -> Any:
        return member(name).request(CALLED).tools

    assert tools("hf") == [{"type": "function", "function": {"name": "f"}}]
    assert tools("bare-tools") == [{"name": "f"}]
    nulls = {"name": "f", "description": None, "parameters": None}
    assert tools("vllm") == [{"type": "function", "function": nulls}]
    filled = {"name": "f", "description": "", "parameters": {}}
    assert tools("llama-server") == [{"type": "function", "function": filled}]


def test_what_servers_lose_is_said() -> None:
    def loses(name: str, **changes: Any) -> str | None:
        plain = Case(conversation=Conversation(messages=(User(text="Hi"),)))
        options = replace(plain.options, **changes.pop("options", {}))
        return member(name).loses(Case(conversation=replace(plain.conversation, **changes), options=options))

    call = ToolCall(name="f", arguments={})
    tool = (Tool(name="f"),)
    assert loses("tgi") is None
    assert "calls" in (loses("tgi", messages=(Assistant(calls=(call,)),)) or "")
    assert "thinking" in (loses("tgi", messages=(Assistant(thinking="t", final="a"),)) or "")
    assert "prompt of its own" in (loses("tgi", tools=tool) or "")
    assert "keyword arguments" in (loses("tgi", options={"reasoning_effort": "low"}) or "")
    assert "generation prompt" in (loses("tgi", options={"mode": "training"}) or "")
    assert "empty schema" in (loses("llama-server", tools=tool) or "")
    assert loses("llama-server", tools=(Tool(name="f", parameters={}),)) is None
    step = Assistant(thinking="t", preamble="p", calls=(call,))
    assert "goes on with" in (loses("llama-server", messages=(step,)) or "")
    assert "beside thinking" in (loses("llama-server", messages=(step, User(text="a"))) or "")
    assert "generation prompt" in (loses("llama-server", options={"mode": "training"}) or "")
    no_grammar = {"properties": {"a": {"items": {"$ref": "#/$defs/X"}}}}
    assert "no" in (loses("llama-server", tools=(Tool(name="f", parameters=no_grammar),)) or "")
    assert (
        loses("llama-server", tools=(Tool(name="f", parameters={**no_grammar, "$defs": {"X": {}}}),)) is None
    )
    assert loses("vllm", messages=(step,), tools=tool, options={"mode": "training"}) is None


def test_the_table_cites_everyone_and_prints() -> None:
    members = tuple(shape for family in families().values() for shape in family)
    for name, family in table().items():
        assert len(family.citation) > 20
        assert family.what
        assert f"| `{name}`" in shapes_table()
    assert len({shape.name for shape in members}) == len(members)
    assert len(shapes_table().splitlines()) == len(table()) + 2


# What these servers lose themselves leaves few cases.
FEWEST = {"tgi": 2, "llama-server": 40, "sglang": 40}


def test_the_reference_template_accepts_every_shape() -> None:
    source = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    host, oracle, choices = InProcessHost("jinja2"), HarmonyOracle(), shapes([ALL])
    drawn = dict.fromkeys(families(), 0)
    for index in range(1_500):
        case, shape = case_at(53, index), draw(choices, index)
        if shape.loses(case) is None:
            assert host.render(source, shape.request(case)) == Rendered(oracle.render(case).text), (
                index,
                shape,
            )
            drawn[shape.family] += 1
    assert all(count >= FEWEST.get(name, 100) for name, count in drawn.items()), drawn
