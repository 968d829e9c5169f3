"""The shape `sglang` against SGLang's own pipeline: what it hands to a template, message by message."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.errors import UnjudgedError
from conformance.generate import case_at
from conformance.renderers.environments import command
from conformance.renderers.known import known
from conformance.shapes import draw, shapes

CASES = int(os.environ.get("CONFORMANCE_AGREEMENT_CASES", "200"))
SPY = Path(__file__).with_name("sglang_spy.py")


Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """What SGLang hands to a template for each body; its pipeline takes a while to start, so only when asked for."""
    if not os.environ.get("CONFORMANCE_SGLANG"):
        pytest.skip(
            "asks SGLang's own pipeline with CONFORMANCE_SGLANG=1 (conformance renderers fetch sglang)"
        )
    try:
        words = shlex.split(command(known()["sglang"]))
    except UnjudgedError as error:
        pytest.skip(str(error))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([*words[:-1], SPY], **pipes) as process:

        def answers(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
            out = []
            for body in bodies:
                process.stdin.write(json.dumps(body) + "\n")
                process.stdin.flush()
                out.append(json.loads(process.stdout.readline()))
            return out

        yield answers
        process.kill()


def bare(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages without the key that SGLang adds to calls and no template reads."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    return messages


def test_the_shape_is_what_sglang_hands_over(ask: Ask) -> None:
    members = shapes(["sglang"])
    bodies, expected, index = [], [], 0
    while len(bodies) < CASES:
        case, shape = case_at(41, index), draw(members, index)
        index += 1
        if shape.loses(case) is not None:
            continue
        # As its client writes it: with names where the member has some, and an empty list of calls.
        name = "openai" + shape.name.removeprefix("sglang")
        request = shapes([name])[0][0].request(case)
        body: dict[str, Any] = {"model": "m", "messages": request.messages}
        if request.tools:
            body["tools"] = request.tools
        kwargs = dict(request.kwargs)
        if "reasoning_effort" in kwargs:
            body["reasoning_effort"] = kwargs.pop("reasoning_effort")
        if kwargs:
            body["chat_template_kwargs"] = kwargs
        bodies.append(body)
        expected.append(shape.request(case))
    for body, wanted, handed in zip(bodies, expected, ask(bodies), strict=True):
        assert "refused" not in handed, (handed, body)
        assert bare(handed["messages"]) == wanted.messages
        tools = [tool["function"] for tool in handed["tools"] or ()]
        assert [{k: v for k, v in tool.items() if k != "strict"} for tool in tools] == [
            tool["function"] for tool in wanted.tools or ()
        ]
        # What no gpt-oss template reads comes with an effort.
        left = {k: v for k, v in handed["kwargs"].items() if k not in ("thinking", "enable_thinking")}
        assert left == wanted.kwargs


def test_what_the_shape_cannot_carry_is_what_sglang_changes(ask: Ask) -> None:
    user = {"role": "user", "content": "u"}

    def called(arguments: str) -> list[dict[str, Any]]:
        function = {"name": "f", "arguments": arguments}
        call = {"id": "c", "type": "function", "function": function}
        return [user, {"role": "assistant", "content": None, "tool_calls": [call]}, user]

    said = [user, {"role": "assistant", "content": "x"}]
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    answers = ask(
        [
            {"model": "m", "messages": messages}
            for messages in (
                said,
                called("no"),
                called(f'{{"a": {2**64}}}'),
                [{"role": "user", "content": parts}],
            )
        ]
    )
    assert answers[0]["messages"][-1] == {"role": "user", "content": "x"}
    assert "must be valid JSON" in answers[1]["refused"]
    assert isinstance(answers[2]["messages"][1]["tool_calls"][0]["function"]["arguments"]["a"], float)
    assert answers[3]["messages"][0]["content"] == "a b"
