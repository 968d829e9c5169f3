"""vLLM and those that took over its render endpoint: `POST /v1/chat/completions/render`, or the older `/tokenize`."""

from __future__ import annotations

from typing import Any, ClassVar

from conformance.engines.base import Crashed, Request
from conformance.servers.base import About, Body, Prompt, ServerProtocol, chat_body, failed, from_tokens
from conformance.servers.client import Client


def first_model(client: Client) -> str | None:
    """Return the name of the first model that an OpenAI-compatible server lists."""
    value = client.get("/v1/models").value
    models = value.get("data") if isinstance(value, dict) else None
    name = (
        models[0].get("id") if isinstance(models, list) and models and isinstance(models[0], dict) else None
    )
    return name if isinstance(name, str) else None


class Vllm(ServerProtocol):
    """vLLM names the tokens alone. It takes arguments as JSON text, and thinking as `reasoning`."""

    name: ClassVar[str] = "vllm"
    path: ClassVar[str] = "/v1/chat/completions/render"

    def recognises(self, client: Client) -> bool:
        """Return whether `/version` is there, as vLLM has it."""
        answer = client.get("/version")
        return answer.status == 200 and isinstance(answer.value, dict) and "version" in answer.value

    def about(self, client: Client) -> About:
        """Return vLLM's version and the model that it serves."""
        value = client.get("/version").value
        version = value.get("version") if isinstance(value, dict) else ""
        return About(version=str(version or ""), model=first_model(client))

    def body(self, request: Request, model: str | None) -> Body:
        """Return a chat-completions body with thinking under vLLM's own name as well."""
        body = chat_body(request, model)
        body["messages"] = [_with_reasoning(message) for message in body["messages"]]
        return body

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for the tokens of a prompt."""
        answer = client.post_bytes(self.path, body)
        if answer.status in (404, 405):
            answer = client.post_bytes("/tokenize", body)  # before there was an endpoint for it
        if answer.status >= 400:
            return failed(answer)
        value = answer.value[0] if isinstance(answer.value, list) and answer.value else answer.value
        if not isinstance(value, dict):
            return Crashed("answer", "the answer is no object", None)
        for name in ("token_ids", "prompt_token_ids", "tokens"):
            if name in value:
                return from_tokens(value[name])
        return Crashed("answer", "the answer has no `token_ids`", None)


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    thinking = message.get("reasoning_content")
    return message if thinking is None else {**message, "reasoning": thinking}


class TensorRtLlm(Vllm):
    """TensorRT-LLM with TRTLLM_ENABLE_RENDER_ENDPOINTS=1, or `trtllm-render`: the same endpoint."""

    name: ClassVar[str] = "tensorrt-llm"

    def recognises(self, client: Client) -> bool:
        """Return whether there is a render endpoint, and no version of vLLM."""
        # An empty body is refused by whoever knows the path.
        return client.post(self.path, {}).status in (400, 422)

    def about(self, client: Client) -> About:
        """Return the model that it serves."""
        return About(model=first_model(client))
