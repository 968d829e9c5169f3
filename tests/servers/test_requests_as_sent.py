"""Requests as clients send them: the template gets these very values, and does what transformers does with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import Run
from stand_in import Llama, serving

from conformance.as_sent import as_sent, ignored
from conformance.engines import EngineHost, Rendered
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_USAGE
from conformance.generate import case_at
from conformance.resources import resource
from conformance.shapes import shapes

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
# Written as public templates write it: what clients send breaks it.
FRAGILE = (
    "{%- for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content + '' }}"
    "{%- if 'tool_calls' in m %}{{ m.tool_calls[0].function.name }}{% endif %}<|end|>{%- endfor %}"
    "{%- if add_generation_prompt %}<|start|>assistant{% endif %}"
)
CASES = int(os.environ.get("CONFORMANCE_REQUESTS", "150"))


def client(index: int) -> dict[str, Any]:
    """Return a body as some client would send it, with what real ones do to it."""
    random = Random(index)
    case = case_at(23, index)
    family = shapes(["openai"])[0]
    request = family[index % len(family)].request(case)
    body: dict[str, Any] = {"model": "gpt-oss-20b", "messages": request.messages, **request.kwargs}
    if request.tools:
        body["tools"] = request.tools
    for message in body["messages"]:
        habit = random.randrange(8)
        if habit == 0 and message["role"] == "assistant" and "tool_calls" not in message:
            message["tool_calls"] = []
        elif habit == 1 and isinstance(message.get("content"), str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        elif habit == 2:
            message["content"] = None
        elif habit == 3:
            message.pop("content", None)
        elif habit == 4 and message.get("tool_calls"):
            message["tool_calls"][0]["function"]["arguments"] = '{"broken": '
    if random.random() < 0.2:
        body["add_generation_prompt"] = False
    elif random.random() < 0.1:
        body["continue_final_message"] = True
    for name in ("model_identity", "builtin_tools"):
        if name in body:
            body.setdefault("chat_template_kwargs", {})[name] = body.pop(name)
    return body


def by_transformers(template: str, body: dict[str, Any]) -> str | None:
    """Call `apply_chat_template` of a real tokenizer on a body, None where it raises."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")),
        bos_token="<|startoftext|>",
        eos_token="<|return|>",
        pad_token="<|endoftext|>",
    )
    body = json.loads(json.dumps(body))
    keywords = {
        name: body[name]
        for name in ("reasoning_effort", "continue_final_message")
        if body.get(name) is not None
    }
    last = not body.get("continue_final_message") and body.get("add_generation_prompt", True)
    try:
        return tokenizer.apply_chat_template(
            body["messages"],
            tools=body.get("tools"),
            chat_template=template.replace("strftime_now('%Y-%m-%d')", "'2024-05-06'"),
            tokenize=False,
            add_generation_prompt=last,
            **keywords,
            **body.get("chat_template_kwargs", {}),
        )
    except Exception:
        return None


@pytest.mark.parametrize("template", [REFERENCE, FRAGILE], ids=["reference", "fragile"])
def test_it_is_what_transformers_does_with_the_same_bytes(template: str) -> None:
    bodies = [client(index) for index in range(CASES)]
    frozen = template.replace("strftime_now('%Y-%m-%d')", "'2024-05-06'")
    with EngineHost("transformers") as host:
        outcomes = host.collect(host.submit(frozen, [as_sent(body, "2024-05-06") for body in bodies]))
    failures = 0
    for body, outcome in zip(bodies, outcomes, strict=True):
        wanted = by_transformers(template, body)
        assert (outcome.text if isinstance(outcome, Rendered) else None) == wanted, body
        failures += wanted is None
    assert failures > (0 if template is REFERENCE else CASES / 10)
    assert failures < CASES


def test_diff_hands_over_the_request_as_it_was_sent(run: Run, place: Path) -> None:
    (place / "fragile.jinja").write_text(FRAGILE)
    (place / "right.jinja").write_text(REFERENCE)
    body = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "18", "tool_calls": []},
            {"role": "user", "content": "ok"},
        ]
    }
    (place / "request.json").write_text(json.dumps(body))
    result = run("diff", "fragile.jinja", "--case", "request.json", "--plain")
    assert result.code == EXIT_DIVERGES
    assert result.out.startswith("As sent: ")
    assert "UndefinedError" in result.out
    assert "not as it was sent:" in result.out
    assert run("diff", "right.jinja", "--case", "request.json").code == EXIT_CONFORMS
    # A shape that is named is what is shown.
    assert "As sent" not in run("diff", "right.jinja", "--case", "request.json", "--shape", "hf").out


def test_the_prompt_ends_as_the_request_says(run: Run, place: Path) -> None:
    (place / "right.jinja").write_text(REFERENCE)
    said = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "It is"}]
    for more, code in (
        ({}, EXIT_CONFORMS),
        ({"add_generation_prompt": False}, EXIT_CONFORMS),
        ({"continue_final_message": True}, EXIT_CONFORMS),
    ):
        (place / "request.json").write_text(json.dumps({"messages": said, **more}))
        result = run("diff", "right.jinja", "--case", "request.json", "--plain")
        assert result.code == code, (more, result.out)


def test_what_was_not_looked_at_is_listed(run: Run, place: Path) -> None:
    body = {
        "model": "m",
        "temperature": 0,
        "messages": [{"role": "user", "content": "Hi", "name": "Ann"}],
        "response_format": {"type": "json_object"},
        "tool_choice": "required",
        "reasoning": {"effort": "high"},
        "extra_body": {"x": 1},
    }
    listed = ["response_format", "tool_choice", "reasoning.effort", "extra_body"]
    assert ignored(body) == listed
    (place / "right.jinja").write_text(REFERENCE)
    (place / "request.json").write_text(json.dumps(body))
    assert f"not looked at: {', '.join(listed)}" in run("diff", "right.jinja", "--case", "request.json").err


def test_no_messages_are_bad_input(run: Run, place: Path) -> None:
    (place / "right.jinja").write_text(REFERENCE)
    (place / "request.json").write_text('{"messages": []}')
    result = run("diff", "right.jinja", "--case", "request.json")
    assert result.code == EXIT_USAGE
    assert "messages is empty" in result.err


def test_a_server_gets_the_body_itself(run: Run, place: Path) -> None:
    seen: list[Any] = []

    class Noting(Llama):
        def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
            if path == "/apply-template":
                seen.append(body)
            return super().__call__(method, path, body, headers)

    body = {
        "model": "x",
        "messages": [{"role": "user", "content": "Hi"}],
        "response_format": {"type": "text"},
    }
    (place / "request.json").write_text(json.dumps(body))
    with serving(Noting()) as address:
        assert run("diff", address, "--case", "request.json").code == EXIT_CONFORMS
    assert seen[-1] == body


def test_a_server_gets_logged_bodies_and_may_refuse_them(run: Run, place: Path) -> None:
    seen: list[Any] = []

    class Choosy(Llama):
        def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
            if path == "/apply-template":
                seen.append(body)
                if body.get("tool_choice") == "required":
                    return 400, {"error": {"message": f"no {body['messages'][0]['content']!r} here"}}, {}
            return super().__call__(method, path, body, headers)

    body = {"model": "x", "messages": [{"role": "user", "content": "Hi Ann"}], "response_format": {"a": 1}}
    (place / "log.jsonl").write_text(
        "".join(json.dumps(each) + "\n" for each in (body, {**body, "tool_choice": "required"}))
    )
    with serving(Choosy()) as address:
        result = run("requests", "log.jsonl", address)
        assert result.code == EXIT_CONFORMS
        assert body in seen
        assert "refused 50 %  HTTP N: no … here" in result.out
        assert "Ann" not in result.out
        run("requests", "log.jsonl", address, "--anonymise", "--output", "out", "--model", "other")
    assert seen[-1]["model"] == "other"
    assert "Ann" not in (place / "out" / "report.json").read_text()
