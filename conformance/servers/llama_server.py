"""llama.cpp's server: `POST /apply-template` for the text, `POST /tokenize` for its tokens, `GET /props`."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from conformance.engines.base import Crashed, Refused, Request
from conformance.servers.base import About, Prompt, ServerProtocol, failed, from_tokens
from conformance.servers.client import Client


class LlamaServer(ServerProtocol):
    """llama-server answers with the text; it makes the tokens of a prompt with special tokens recognised everywhere."""

    name: ClassVar[str] = "llama-server"
    path: ClassVar[str] = "/apply-template"

    def loses(self, request: Request) -> str | None:
        """Return what it does not render but goes on with."""
        if request.messages and request.messages[-1].get("role") == "assistant":
            return "the server goes on with a last message of the assistant"
        return super().loses(request)

    def recognises(self, client: Client) -> bool:
        """Return whether `/props` is there and speaks of a chat template."""
        answer = client.get("/props")
        return isinstance(answer.value, dict) and "chat_template" in answer.value

    def about(self, client: Client) -> About:
        """Return what `/props` says."""
        said = client.get("/props").value
        props: dict[str, Any] = said if isinstance(said, dict) else {}
        return About(
            version=str(props.get("build_info") or ""),
            model=_text(props.get("model_alias")) or _text(props.get("model_path")),
            template=_text(props.get("chat_template")),
            model_file=_text(props.get("model_path")),
        )

    def prompt(self, client: Client, body: bytes) -> Prompt:
        """Ask for the text, then for its tokens."""
        answer = client.post_bytes(self.path, body)
        if answer.status >= 400:
            # Every exception in there becomes a status of 500 with its sentence: what cannot be parsed, what the
            # template refuses, schemas that make no grammar. The server lives on, and it said why.
            said = answer.value is not None and answer.status == 500
            return Refused(f"HTTP {answer.status}: {answer.error}") if said else failed(answer)
        text = answer.value.get("prompt") if isinstance(answer.value, dict) else None
        if not isinstance(text, str):
            return Crashed("answer", "the answer has no `prompt`", None)
        asked = {"content": text, "parse_special": True, "add_special": False}
        tokens = client.post_bytes("/tokenize", json.dumps(asked).encode("ascii"))
        if tokens.status >= 400 or not isinstance(tokens.value, dict):
            return failed(tokens)
        return from_tokens(tokens.value.get("tokens"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
