"""Any OpenAI-compatible server that returns a prompt's tokens: asked by a chat completion of one token."""

from __future__ import annotations

from typing import Any, ClassVar

from conformance.engines.base import Crashed, Request
from conformance.servers.base import About, Body, Prompt, ServerProtocol, chat_body, failed, from_tokens
from conformance.servers.client import Client
from conformance.servers.vllm import first_model


class PromptTokens(ServerProtocol):
    """Generates one token a request, which costs a forward pass: it is used only when it is named."""

    name: ClassVar[str] = "prompt-tokens"
    path: ClassVar[str] = "/v1/chat/completions"

    def recognises(self, client: Client) -> bool:
        """Return False: to find out, the server would have to generate."""
        return False

    def about(self, client: Client) -> About:
        """Return the model that it serves."""
        return About(model=first_model(client))

    def body(self, request: Request, model: str | None) -> Body:
        """Return a chat completion of one token that is to name the prompt's tokens."""
        return self.sent(chat_body(request, model))

    def sent(self, body: Body) -> Body:
        """Return the body, asking for one token and not for a stream of them."""
        left = {
            key: value
            for key, value in body.items()
            if key not in ("stream_options", "max_completion_tokens")
        }
        return {**left, "max_tokens": 1, "stream": False, "return_token_ids": True}

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for one token, and take the prompt's."""
        answer = client.post_bytes(self.path, body)
        if answer.status >= 400:
            return failed(answer)
        value: dict[str, Any] = answer.value if isinstance(answer.value, dict) else {}
        if value.get("prompt_token_ids") is None:
            return Crashed("answer", "the answer has no `prompt_token_ids`", None)
        return from_tokens(value["prompt_token_ids"])
