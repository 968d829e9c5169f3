"""A chat-completions body as a client sent it: what the target is handed, and what of it says nothing here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.conversation import Case
from conformance.engines.base import Request

# These decide the prompt, and are handed on.
_PROMPT = frozenset(
    [
        "messages",
        "tools",
        "reasoning_effort",
        "chat_template_kwargs",
        "add_generation_prompt",
        "continue_final_message",
    ]
)
# This decides Harmony's, and a server may write it; no template is handed it.
_RESPONSE_FORMAT = "response_format"
# These are about the answer, the account or the transport: no prompt depends on them.
_OTHERS = """
model temperature top_p top_k min_p max_tokens max_completion_tokens stream stream_options n stop seed logprobs
top_logprobs presence_penalty frequency_penalty repetition_penalty logit_bias user store metadata service_tier
parallel_tool_calls prompt_cache_key safety_identifier
"""
_ELSEWHERE = frozenset(_OTHERS.split())
_MESSAGE = {
    "system": {"role", "content"},
    "developer": {"role", "content"},
    "user": {"role", "content", "name"},
    "assistant": {
        "role",
        "content",
        "tool_calls",
        "reasoning_content",
        "reasoning",
        "thinking",
        "refusal",
        "audio",
    },
    "tool": {"role", "content", "tool_call_id", "name"},
}


class SentCase(Case, frozen=True, kw_only=True):
    """A case that was read from a request, and the request's body as it was sent; `line` of which log, from 1."""

    body: dict[str, Any]
    line: int = 0


class SentRequest(Request, frozen=True):
    """A request as it was sent: a server gets its body, a program that takes conversations the case."""

    body: dict[str, Any]
    case: Case

    @property
    def handed(self) -> dict[str, Any]:
        """The body itself."""
        return self.body


def as_sent(body: dict[str, Any], date: str) -> Request:
    """Return what a template is handed for a body, nothing rewritten; `date` is the frozen clock."""
    given = body.get("chat_template_kwargs")
    kwargs: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    if body.get("reasoning_effort") is not None:
        kwargs["reasoning_effort"] = body["reasoning_effort"]
    if continues(body):
        kwargs["continue_final_message"] = True
    return Request(body["messages"], body.get("tools"), kwargs, asks(body), date)


def asks(body: dict[str, Any]) -> bool:
    """Return whether a body asks for a generation prompt: unless it says otherwise, or is to be continued."""
    return bool(body.get("add_generation_prompt", True)) and not continues(body)


def continues(body: dict[str, Any]) -> bool:
    """Return whether a body asks that its last message be continued."""
    return bool(body.get("continue_final_message"))


def ignored(body: dict[str, Any]) -> list[str]:
    """Return what of a body was left out of the comparison although it may be meant for the prompt."""
    return list(_ignored(body))


def _ignored(body: dict[str, Any]) -> Iterator[str]:
    for key, value in body.items():
        if key in _PROMPT or key in _ELSEWHERE or value is None:
            continue
        if key == "tool_choice" and value == "auto":
            continue
        if (
            key == _RESPONSE_FORMAT
            and isinstance(value, dict)
            and value.get("type") in ("text", "json_schema")
        ):
            continue
        if key == "reasoning" and isinstance(value, dict):
            yield from (f"reasoning.{name}" for name in value)
        else:
            yield key
    for index, message in enumerate(body["messages"]):
        known = _MESSAGE.get(message.get("role"), set())
        yield from (
            f"messages[{index}].{name}" for name, value in message.items() if name not in known and value
        )
