"""Each protocol against a stand-in that answers as its server is known to; llama-server's real one is tested apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from stand_in import Llama, Reply, asked, serving, today

from conformance.conversation import Case
from conformance.engines import Request
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED
from conformance.report.json_file import read
from conformance.servers.protocols import get_protocol, protocol_names

MISSING: Reply = (404, {"detail": "Not Found"}, {})


class Stand(Llama):
    """Answers by a table of paths; what is no path is not found."""

    def paths(self) -> dict[str, Callable[[Any], Any]]:
        raise NotImplementedError

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        found = self.paths().get(path)
        if found is None:
            return MISSING
        value = found(body)
        return value if isinstance(value, tuple) else (200, value, {})

    def tokens(self, body: dict[str, Any]) -> list[int]:
        return self.oracle.render(asked(body)).tokens

    def models(self, _: Any) -> Any:
        return {"object": "list", "data": [{"id": "openai/gpt-oss-20b"}]}


class Vllm(Stand):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "/version": lambda _: {"version": "0.32.0"},
            "/v1/models": self.models,
            "/v1/chat/completions/render": lambda body: {"token_ids": self.checked(body)},
        }

    def checked(self, body: dict[str, Any]) -> list[int]:
        assert body["model"] == "openai/gpt-oss-20b"
        for message in body["messages"]:
            assert message.get("reasoning") == message.get("reasoning_content")
        return self.tokens(body)


class OldVllm(Vllm):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        known = super().paths()
        known["/tokenize"] = lambda body: {"tokens": self.checked(body), "count": 1}
        del known["/v1/chat/completions/render"]
        return known


class TensorRt(Stand):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        def render(body: Any) -> Any:
            if not body.get("messages"):
                return 422, {"detail": [{"msg": "Field required", "loc": ["body", "messages"]}]}, {}
            return {"token_ids": self.tokens(body)}

        return {"/v1/models": self.models, "/v1/chat/completions/render": render}


class Tgi(Stand):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        def tokenize(body: Any) -> Any:
            rendering = self.oracle.render(asked(body))
            ids = [{"id": token, "text": "", "start": 0, "stop": 0} for token in rendering.tokens]
            return {"tokenize_response": ids, "templated_text": rendering.text}

        info = {"router": "text-generation-router", "version": "3.3.5", "model_id": "openai/gpt-oss-20b"}
        return {"/info": lambda _: info, "/chat_tokenize": tokenize}


class Ollama(Stand):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "/api/version": lambda _: {"version": "0.12.3"},
            "/api/tags": lambda _: {"models": [{"name": "gpt-oss:20b"}]},
            "/api/chat": self.chat,
        }

    def chat(self, body: Any) -> Any:
        assert body["_debug_render_only"] is True
        assert body["stream"] is False
        for message in body["messages"]:
            assert isinstance(message["content"], str)
        case = self.case({**body, **({"reasoning_effort": body["think"]} if "think" in body else {})})
        return {"model": body["model"], "_debug_info": {"rendered_template": self.oracle.render(case).text}}

    def case(self, body: dict[str, Any]) -> Case:
        return asked(body)


class PromptTokens(Stand):
    def paths(self) -> dict[str, Callable[[Any], Any]]:
        def complete(body: Any) -> Any:
            assert body["max_tokens"] == 1
            assert body["return_token_ids"] is True
            return {"choices": [{"message": {"content": "H"}}], "prompt_token_ids": self.tokens(body)}

        return {"/v1/models": self.models, "/v1/chat/completions": complete}


SERVERS = [
    ("vllm", Vllm, True, "0.32.0", "openai/gpt-oss-20b"),
    ("vllm", OldVllm, True, "0.32.0", "openai/gpt-oss-20b"),
    ("tensorrt-llm", TensorRt, True, "unknown", "openai/gpt-oss-20b"),
    ("tgi", Tgi, True, "3.3.5", "openai/gpt-oss-20b"),
    ("ollama", Ollama, True, "0.12.3", "gpt-oss:20b"),
    ("prompt-tokens", PromptTokens, False, "unknown", "openai/gpt-oss-20b"),
]


@pytest.mark.parametrize(
    ("name", "stand", "recognised", "version", "model"), SERVERS, ids=[each[1].__name__ for each in SERVERS]
)
def test_a_server_that_is_right_conforms(
    run: Run, place: Path, name: str, stand: type[Stand], recognised: bool, version: str, model: str
) -> None:
    with serving(stand()) as address:
        named = () if recognised else ("--server", name)
        if not recognised:
            assert run("check", address, "--examples", 20).code == EXIT_UNJUDGED
        result = run("check", address, "--examples", 30, "--output", "out", *named)
    (found,) = read(place / "out").targets
    assert found.source["protocol"] == name
    assert found.source["version"] == version
    assert found.source["model"] == model
    assert found.source["date"] == today()
    assert found.cases.total > 10
    assert not [each for each in found.divergences if each.check != "tokens"], result.out
    if name != "ollama":  # text alone cannot tell what becomes a control token
        assert not found.divergences
    assert result.code == EXIT_CONFORMS
    assert found.cases.equal == found.cases.total


def test_tokens_that_are_none(run: Run, place: Path) -> None:
    class Odd(Vllm):
        def checked(self, body: dict[str, Any]) -> list[int]:
            tokens = super().checked(body)
            return [*tokens, 10**9] if len(body["messages"]) > 1 else tokens

    with serving(Odd()) as address:
        run("check", address, "--examples", 10, "--output", "out")
    (found,) = read(place / "out").targets
    (crash,) = found.divergences
    assert "not gpt-oss tokens" in (crash.example.failure or "")


def test_every_protocol_has_a_body_that_names_the_request() -> None:
    request = Request(
        [{"role": "user", "content": "Hi"}], None, {"reasoning_effort": "low"}, True, "2025-01-01"
    )
    for name in protocol_names():
        body = get_protocol(name).body(request, "m")
        assert body["model"] == "m"
        assert body["messages"][0]["content"] == "Hi"
        assert "low" in (body.get("reasoning_effort"), body.get("think"))
        assert get_protocol(name).loses(request) is None
