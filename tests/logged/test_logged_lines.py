"""Logs of requests, line by line: what is read, what is translated, and why the rest is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.conversation import Assistant, Instructions, ToolResult, User
from conformance.errors import UsageError
from conformance.importers import MAX_BYTES
from conformance.logged import anthropic, responses
from conformance.logged.lines import Log, read_log

HI = {"messages": [{"role": "user", "content": "Hi"}]}


def log_of(folder: Path, *lines: Any) -> Path:
    """Write a log; what is no bytes is written as JSON."""
    path = folder / "log.jsonl"
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def left_out(log: Log) -> list[tuple[int, str]]:
    reasons = log.unreadable
    return [(reasons.first[reason], reason) for reason in reasons.counts]


def test_each_bad_line_is_one_sentence_and_the_rest_is_read(tmp_path: Path) -> None:
    deep = b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    log = read_log(
        log_of(
            tmp_path,
            HI,
            b"not json",
            b"\xff\xfe{}",
            [1, 2],
            {"prompt": "x"},
            {"messages": []},
            b"",
            b'{"messages": [{"role": "user", "content": "' + b"x" * (MAX_BYTES + 10) + b'"}]}',
            deep,
            b'{"messages": [{"role": "user", "content": NaN}]}',
            HI,
        )
    )
    assert [case.line for case in log.cases] == [1, 11]
    assert log.lines == 10
    assert [line for line, _ in left_out(log)] == [2, 3, 4, 6, 8, 9, 10]
    said = dict(left_out(log))
    assert said[6].startswith("has no messages")
    assert "more than 16 MB" in said[8]
    assert "nested too deeply" in said[9] or "recursion" in said[9].lower()
    assert sum(log.unreadable.counts.values()) == 8  # two lines are no requests in the same way


def test_a_line_of_100_mb_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(HI).encode() + b'\n{"messages": "')
        file.seek(100 * 2**20, 1)
        file.write(b'"}\n' + json.dumps(HI).encode())
    log = read_log(path)
    assert [case.line for case in log.cases] == [1, 3]
    assert [line for line, _ in left_out(log)] == [2]


@pytest.mark.parametrize("name", ["missing.jsonl", "empty.jsonl", "blank.jsonl", "."])
def test_a_log_that_cannot_be_read_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "blank.jsonl").write_bytes(b"\n \n")
    with pytest.raises(UsageError, match="log"):
        read_log(tmp_path / name)


def test_what_gpt_oss_cannot_be_told_is_counted_by_cause(tmp_path: Path) -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
    log = read_log(
        log_of(
            tmp_path,
            {"messages": [image]},
            {"messages": [HI["messages"][0], image]},
            {**HI, "reasoning_effort": "minimal"},
            {"messages": [{"role": "tool", "content": "1", "tool_call_id": "secret-of-ann"}]},
            {"input": "x", "previous_response_id": "r"},
            {"input": [{"type": "web_search_call", "id": "w"}]},
            {"input": "x", "tools": [{"type": "custom", "name": "c"}]},
        )
    )
    assert not log.cases
    assert not log.unreadable
    assert log.inexpressible.counts.most_common(1) == [
        ("messages[N].content[N] is 'image_url'; gpt-oss reads text parts only", 2)
    ]
    assert not any("secret" in reason for reason in log.inexpressible.counts)
    assert sum(log.inexpressible.counts.values()) == 7


def test_what_was_not_looked_at_is_counted(tmp_path: Path) -> None:
    body = {**HI, "response_format": {"type": "json_object"}, "tool_choice": "required", "x": 1}
    log = read_log(log_of(tmp_path, body, {**body, "temperature": 0}))
    assert log.ignored == {"response_format": 2, "tool_choice": 2, "x": 2}


def test_batch_files_are_logs(tmp_path: Path) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": HI}
    assert read_log(log_of(tmp_path, line)).cases[0].body == HI


def test_only_the_first_requests(tmp_path: Path) -> None:
    log = read_log(log_of(tmp_path, HI, HI, HI), most=2)
    assert (len(log.cases), log.left_over) == (2, True)


def test_a_responses_body_says_the_same_as_a_chat_completion(tmp_path: Path) -> None:
    body = {
        "model": "m",
        "instructions": "Be brief.",
        "max_output_tokens": 5,
        "reasoning": {"effort": "high"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Look."}]},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "One moment."}],
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c2", "output": "two"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"role": "user", "content": "Thanks"},
        ],
    }
    log = read_log(log_of(tmp_path, body))
    assert log.translated == {"OpenAI Responses": 1}
    case = log.cases[0]
    kinds = [type(message) for message in case.conversation.messages]
    assert kinds == [Instructions, User, Assistant, ToolResult, ToolResult, User]
    step = case.conversation.messages[2]
    assert isinstance(step, Assistant)
    assert (step.thinking, step.preamble, len(step.calls)) == ("Look.", "One moment.", 2)
    assert [m.call for m in case.conversation.messages if isinstance(m, ToolResult)] == [1, 0]
    assert case.options.reasoning_effort == "high"
    assert not log.ignored


def test_an_anthropic_body_says_the_same_as_a_chat_completion(tmp_path: Path) -> None:
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Look.", "signature": "s"},
                    {"type": "text", "text": "One moment."},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "1"}]},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
    }
    assert anthropic.speaks(body)
    assert not responses.speaks(body)
    case = read_log(log_of(tmp_path, body)).cases[0]
    kinds = [type(message) for message in case.conversation.messages]
    assert kinds == [Instructions, User, Assistant, ToolResult, User]
    step = case.conversation.messages[2]
    assert isinstance(step, Assistant)
    assert (step.thinking, step.preamble, step.calls[0].arguments) == ("Look.", "One moment.", '{"a": 1}')
    assert not anthropic.speaks(HI)
