"""Real chat-completions requests: what becomes of them, and what is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.conversation import (
    Assistant,
    Case,
    Instructions,
    Options,
    Tool,
    ToolResult,
    User,
    to_json,
)
from conformance.errors import EXIT_USAGE, UsageError
from conformance.generate import case_at
from conformance.importers import MAX_BYTES, case_from_request, looks_like_case_id, read_case
from conformance.oracles.plan import arguments_text
from conformance.shapes import default_families

USER = {"role": "user", "content": "Hi"}


def call(key: str | None, name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if key is None else {"id": key, **made}


def calls(*made: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(made), **more}


def result(key: str | None, content: str = "x", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **({} if key is None else {"tool_call_id": key}), **more}


def read(*messages: Any, **more: Any) -> Case:
    return case_from_request({"model": "gpt-oss-20b", "messages": [USER, *messages], **more})


def answered(case: Case) -> list[int]:
    return [message.call for message in case.conversation.messages if isinstance(message, ToolResult)]


@pytest.mark.parametrize(
    ("messages", "numbers"),
    [
        # By id, in any order.
        ((calls(call("a"), call("b", "g")), result("b"), result("a")), [1, 0]),
        # Servers that count ids begin anew in every step.
        ((calls(call("c0")), result("c0"), calls(call("c0", "g")), result("c0")), [0, 1]),
        ((calls(call("c0")), calls(call("c0", "g")), result("c0")), [1]),
        # One id twice in one step: the first call that is still open.
        ((calls(call("a"), call("a", "g")), result("a"), result("a")), [0, 1]),
        # A call may be answered twice.
        ((calls(call("a")), result("a"), result("a")), [0, 0]),
        # Without ids: by name, else by order.
        ((calls(call(None), call(None, "g")), result(None), result(None)), [0, 1]),
        ((calls(call(None), call(None, "g")), result(None, name="g"), result(None, name="f")), [1, 0]),
        ((calls(call(None), call(None)), result(None, name="f"), result(None, name="f")), [0, 1]),
        ((calls(call(None)), result(None, name="other")), [0]),
        # Late answers.
        ((calls(call("a")), USER, result("a")), [0]),
    ],
)
def test_which_call_a_tool_message_answers(messages: tuple[Any, ...], numbers: list[int]) -> None:
    assert answered(read(*messages)) == numbers


@pytest.mark.parametrize("shape", [s for f in default_families().values() for s in f], ids=lambda s: s.name)
def test_what_a_shape_writes_is_read_back(shape: Any) -> None:
    """The reader and the writer were written apart; on every case that a shape carries they agree."""
    for index in range(60):
        case = case_at(41, index)
        if shape.loses(case):
            continue
        request = shape.request(case)
        again = case_from_request(
            {"messages": request.messages, "tools": request.tools, "chat_template_kwargs": request.kwargs}
        )
        for before, after in zip(case.conversation.messages, again.conversation.messages, strict=True):
            if isinstance(before, Assistant):
                assert isinstance(after, Assistant)
                for name in ("thinking", "preamble", "final"):
                    assert (getattr(before, name) or "") == (getattr(after, name) or "")
                assert [(c.name, arguments_text(c)) for c in before.calls] == [
                    (c.name, arguments_text(c)) for c in after.calls
                ]
            else:
                assert before == after
        assert again.conversation.tools == case.conversation.tools
        assert again.options.reasoning_effort == case.options.reasoning_effort
        assert again.options.model_identity == case.options.model_identity
        assert again.options.builtin_tools == case.options.builtin_tools


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"role": "system", "content": "a"}, Instructions(text="a")),
        ({"role": "developer", "content": "a"}, Instructions(text="a", role="developer")),
        ({"role": "system", "content": None}, Instructions(text="")),
        ({"role": "user", "content": "a", "name": "Ada"}, User(text="a", name="Ada")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            User(text="ab"),
        ),
        ({"role": "user", "content": []}, User(text="")),
        ({"role": "assistant", "content": "a", "tool_calls": None}, Assistant(final="a")),
        ({"role": "assistant", "content": "a", "tool_calls": []}, Assistant(final="a")),
        ({"role": "assistant", "content": "a", "function_call": None}, Assistant(final="a")),
        ({"role": "assistant", "content": "a", "refusal": None, "audio": None}, Assistant(final="a")),
        (
            {"role": "assistant", "reasoning_content": "t", "content": "a"},
            Assistant(thinking="t", final="a"),
        ),
        ({"role": "assistant", "reasoning": "t", "content": "a"}, Assistant(thinking="t", final="a")),
        ({"role": "assistant", "thinking": "t", "content": ""}, Assistant(thinking="t", final="")),
        (
            {"role": "assistant", "reasoning_content": "", "reasoning": "t", "content": "a"},
            Assistant(thinking="t", final="a"),
        ),
        (
            {"role": "assistant", "reasoning_content": None, "content": [{"type": "text", "text": "a"}]},
            Assistant(final="a"),
        ),
    ],
)
def test_messages(raw: dict[str, Any], message: Any) -> None:
    assert read(raw).conversation.messages[1] == message


def test_calls_keep_their_arguments_as_they_were_sent() -> None:
    step = calls(
        call("a", "f", '{"a":1}'), call("b", "f", {"a": 1}), call("c", "f", "not json"), content="So:"
    )
    (_, message) = read(step).conversation.messages
    assert isinstance(message, Assistant)
    assert [c.arguments for c in message.calls] == ['{"a":1}', {"a": 1}, "not json"]
    assert message.preamble == "So:"


def test_tools_in_both_forms() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    wrapped = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    flat = {"type": "function", "name": "g", "description": "G"}
    bare = {"type": "function", "function": {"name": "h", "description": None, "parameters": None}}
    assert read(tools=[wrapped, flat, bare]).conversation.tools == (
        Tool(name="f", parameters=schema), Tool(name="g", description="G"), Tool(name="h"),
    )  # fmt: skip


def test_options() -> None:
    assert read(reasoning_effort="low").options == Options(reasoning_effort="low")
    assert read(reasoning_effort=None, temperature=1, stream=True).options == Options()
    extra = {"reasoning_effort": "high", "model_identity": "Kai", "builtin_tools": ["python"], "else": 1}
    assert read(chat_template_kwargs=extra).options == Options(
        reasoning_effort="high", model_identity="Kai", builtin_tools=("python",)
    )


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages is not a list"),
    ({"messages": {"role": "user"}}, "messages is not a list"),
    ({"messages": ["Hi"]}, r"messages\[0\] is not an object"),
    ({"messages": [{"role": "robot", "content": "a"}]}, r"messages\[0\].role is 'robot'"),
    ({"messages": [{"content": "a"}]}, r"messages\[0\].role is None"),
    ({"messages": [{"role": ["user"], "content": "a"}]}, r"messages\[0\].role"),
    ({"messages": [{"role": "function", "name": "f", "content": ""}]}, "old form; write 'tool'"),
    (
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        r"content\[0\] is 'image_url'; gpt-oss reads text",
    ),
    ({"messages": [{"role": "user", "content": ["a"]}]}, r"content\[0\]"),
    ({"messages": [{"role": "user", "content": {"text": "a"}}]}, "neither text nor a list of parts"),
    ({"messages": [{"role": "user", "content": 5}]}, "neither text nor a list of parts"),
    ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "write it as tool_calls"),
    ({"messages": [{"role": "assistant", "content": None, "refusal": "No."}]}, "write its text as content"),
    ({"messages": [{"role": "assistant", "tool_calls": {"a": 1}}]}, "tool_calls is not a list"),
    ({"messages": [{"role": "assistant", "tool_calls": ["f"]}]}, r"tool_calls\[0\] is not a function call"),
    ({"messages": [calls({"id": "a", "type": "custom", "custom": {}})]}, "not a function call with a name"),
    ({"messages": [calls(call("a", "f", None))]}, "arguments is neither text nor an object"),
    ({"messages": [calls(call("a", "f", [1]))]}, "arguments is neither text nor an object"),
    ({"messages": [calls(call("a", "f g"))]}, "a tool name has 1 to 64"),
    ({"messages": [calls(call("a", "f", {"x": 10**400}))]}, "too large a number"),
    ({"messages": [result("zz")]}, "is 'zz', which no call before it has"),
    ({"messages": [calls(call("a")), result("b")]}, "is 'b', which no call before it has"),
    (
        {"messages": [calls(call("a")), {**result(None), "tool_call_id": ["a"]}]},
        "which no call before it has",
    ),
    ({"messages": [result(None)]}, "no call before it is still open"),
    ({"messages": [calls(call(None)), result(None), result(None)]}, "no call before it is still open"),
    ({"messages": [USER], "functions": [{"name": "f"}]}, "functions is the old form; write it as tools"),
    ({"messages": [USER], "tools": {"name": "f"}}, "tools is not a list"),
    ({"messages": [USER], "tools": [{"type": "web_search"}]}, r"tools\[0\] is not a function"),
    (
        {"messages": [USER], "tools": [{"function": {"name": "f", "description": 1}}]},
        "description is not text",
    ),
    ({"messages": [USER], "tools": [{"function": {"name": "f", "parameters": "{}"}}]}, "not a JSON Schema"),
    ({"messages": [USER], "tools": [{"function": {"name": "f g"}}]}, "a tool name has 1 to 64"),
    ({"messages": [USER], "reasoning_effort": "minimal"}, "gpt-oss knows low, medium, high"),
    ({"messages": [USER], "reasoning_effort": ["low"]}, "gpt-oss knows low, medium, high"),
    ({"messages": [USER], "chat_template_kwargs": {"model_identity": 1}}, "model_identity is not text"),
    ({"messages": [USER], "chat_template_kwargs": {"builtin_tools": ["sh"]}}, "builtin_tools"),
    ({"messages": [USER], "chat_template_kwargs": {"builtin_tools": [["x"]]}}, "builtin_tools"),
]


@pytest.mark.parametrize(("request_", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused_in_one_sentence(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        case_from_request(request_, "req.json")
    said = str(caught.value)
    assert said.startswith("req.json: ")
    assert len(said.splitlines()) == 1
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b"[]", "is neither a case"),
        (b'[{"role":"user","content":"Hi"}]', "is neither a case"),
        (b'"Hi"', "is neither a case"),
        (b'{"model":"x","input":"Hi"}', "is neither a case"),
        (b'{"messages":[', "cannot be read"),
        (b'{"messages":[{"role":"user","content":NaN}]}', "contains NaN or Infinity"),
        (b'{"messages":[{"role":"user","content":"\\ud800 tail tail"}]}', "half of a surrogate pair"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "half of a surrogate pair"),
        (b'{"messages":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', "is not UTF-8"),
        ('{"messages":[]}'.encode("utf-16"), "is not UTF-8"),
        (b" " * (MAX_BYTES + 1), "has more than 16 MB"),
        (b'{"conversation":{},"messages":[]}', "unknown field `messages`"),
    ],
)
def test_unreadable_files(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "case.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words) as caught:
        read_case(path)
    said = str(caught.value)
    assert str(path) in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["none.json", "", "a\0b"])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="Cannot read the case"):
        read_case(tmp_path / name)


def test_a_large_request_and_one_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    text = "a" * 10_000_000
    path.write_text(json.dumps({"messages": [{"role": "user", "content": text}]}), encoding="utf-8-sig")
    assert read_case(path).conversation.messages == (User(text=text),)


def test_a_case_written_to_a_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    for index in range(60):
        case = case_at(43, index)
        path.write_bytes(to_json(case))
        assert read_case(path) == case


@pytest.mark.parametrize(
    ("word", "is_id"),
    [("7f3a", True), ("7f3a01234567", True), ("7f", False), ("7f3a.json", False), ("7F3A", False)],
)
def test_case_ids_and_file_names(word: str, is_id: bool) -> None:
    assert looks_like_case_id(word) == is_id
