"""text-generation-inference: `POST /chat_tokenize` answers with the templated text and its tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from conformance.engines.base import Crashed, Rendered
from conformance.servers.base import About, Prompt, ServerProtocol, failed, from_tokens
from conformance.servers.client import Client


class Tgi(ServerProtocol):
    """TGI lists the tokens as objects with an id each."""

    name: ClassVar[str] = "tgi"
    path: ClassVar[str] = "/chat_tokenize"

    def recognises(self, client: Client) -> bool:
        """Return whether `/info` names TGI's router."""
        value = client.get("/info").value
        return isinstance(value, dict) and "router" in str(value.get("router", ""))

    def about(self, client: Client) -> About:
        """Return what `/info` says."""
        value = client.get("/info").value
        info: dict[str, Any] = value if isinstance(value, dict) else {}
        return About(version=str(info.get("version") or ""), model=info.get("model_id"))

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for text and tokens."""
        answer = client.post_bytes(self.path, body)
        if answer.status >= 400:
            return failed(answer)
        value: dict[str, Any] = answer.value if isinstance(answer.value, dict) else {}
        response, text = value.get("tokenize_response"), value.get("templated_text")
        if isinstance(response, list):
            return from_tokens([each.get("id") if isinstance(each, dict) else None for each in response])
        return Rendered(text) if isinstance(text, str) else Crashed("answer", "the answer has no text", None)
