"""Ollama: `POST /api/chat` with `_debug_render_only` answers with the text that its template makes."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from conformance.engines.base import Crashed, Rendered, Request
from conformance.servers.base import About, Body, Prompt, ServerProtocol, failed
from conformance.servers.client import Client


class Ollama(ServerProtocol):
    """Ollama has a body of its own: arguments as objects, thinking as `thinking`, effort as `think`; text alone."""

    name: ClassVar[str] = "ollama"
    path: ClassVar[str] = "/api/chat"
    shapes: ClassVar[tuple[str, ...]] = ("hf",)
    chat: ClassVar[bool] = False

    def recognises(self, client: Client) -> bool:
        """Return whether `/api/version` is there."""
        value = client.get("/api/version").value
        return isinstance(value, dict) and "version" in value

    def about(self, client: Client) -> About:
        """Return the version and the first model that is here."""
        value = client.get("/api/version").value
        version = value.get("version") if isinstance(value, dict) else ""
        tags = client.get("/api/tags").value
        models = tags.get("models") if isinstance(tags, dict) else None
        model = models[0].get("name") if isinstance(models, list) and models else None
        return About(version=str(version or ""), model=model)

    def loses(self, request: Request) -> str | None:
        """Return what has no place in Ollama's body."""
        if set(request.kwargs) - {"reasoning_effort"}:
            return "the server passes no keyword arguments to the template"
        return super().loses(request)

    def body(self, request: Request, model: str | None) -> Body:
        """Return Ollama's own body."""
        body: Body = {"model": model, "messages": [_message(message) for message in request.messages]}
        if request.tools is not None:
            body["tools"] = request.tools
        if "reasoning_effort" in request.kwargs:
            body["think"] = request.kwargs["reasoning_effort"]
        return {**body, "stream": False, "_debug_render_only": True}

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for the text."""
        answer = client.post_bytes(self.path, body)
        if answer.status >= 400:
            return failed(answer)
        value: dict[str, Any] = answer.value if isinstance(answer.value, dict) else {}
        info = value.get("_debug_info")
        text = info.get("rendered_template") if isinstance(info, dict) else None
        return (
            Rendered(text)
            if isinstance(text, str)
            else Crashed("answer", "it has no rendered template", None)
        )


def _message(message: dict[str, Any]) -> dict[str, Any]:
    out = {**message, "content": message.get("content") or ""}
    if message.get("tool_calls"):
        out["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    return out


def _call(call: dict[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return call  # sent as it is; the server says what it makes of it
    return {**call, "function": {**call["function"], "arguments": arguments}}
