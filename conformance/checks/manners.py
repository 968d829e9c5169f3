"""The manners in which OpenAI's schema lets a client write a conversation, beside the plain one."""

from __future__ import annotations

import json

from conformance.checks.probe import Manner, Raw

_CURED_PARTS = "vLLM, SGLang and llama.cpp join text parts for templates that do not loop over content"
_CURED_ARGUMENTS = "vLLM and llama.cpp parse the string before the template sees it"


def _write_parts(messages: list[Raw], role: str) -> None:
    for message in messages:
        if message["role"] == role and isinstance(text := message.get("content"), str):
            message["content"] = [{"type": "text", "text": text}]


def _all_parts(messages: list[Raw], tools: list[Raw] | None) -> None:
    for role in ("system", "developer", "user", "assistant", "tool"):
        _write_parts(messages, role)


def _parts(role: str) -> Manner:
    def change(messages: list[Raw], tools: list[Raw] | None) -> None:
        _write_parts(messages, role)

    return Manner(f"{role}-parts", change, _CURED_PARTS)


def _null_content(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        if "tool_calls" in message:
            message["content"] = None


def _absent_content(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        if "tool_calls" in message:
            message.pop("content", None)


def _string_arguments(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        for call in message.get("tool_calls") or ():
            arguments = call["function"]["arguments"]
            call["function"]["arguments"] = arguments if isinstance(arguments, str) else json.dumps(arguments)


def _empty_arguments(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = {}


def _values(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] |= {
                "flagname": True,
                "voidname": None,
                "listname": [False, "Listword1"],
                "nestname": {"innername": "Nestword1"},
            }


def _no_description(messages: list[Raw], tools: list[Raw] | None) -> None:
    for tool in tools or ():
        tool["function"].pop("description", None)
        for own in tool["function"].get("parameters", {}).get("properties", {}).values():
            own.pop("description", None)


def _no_parameters(messages: list[Raw], tools: list[Raw] | None) -> None:
    for tool in tools or ():
        tool["function"].pop("parameters", None)


def _no_required(messages: list[Raw], tools: list[Raw] | None) -> None:
    for tool in tools or ():
        tool["function"].get("parameters", {}).pop("required", None)


def _developer(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        if message["role"] == "system":
            message["role"] = "developer"


def _sdk_nulls(messages: list[Raw], tools: list[Raw] | None) -> None:
    """Write an assistant message as the OpenAI package's `model_dump()` does: every field, null where unset."""
    for message in messages:
        if message["role"] == "assistant":
            for name in ("refusal", "annotations", "audio", "function_call", "tool_calls"):
                message.setdefault(name, None)


def _no_calls(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        if message["role"] == "assistant":
            message.setdefault("tool_calls", [])


def _no_names(messages: list[Raw], tools: list[Raw] | None) -> None:
    for message in messages:
        if message["role"] == "tool":
            message.pop("name", None)


def _long_ids(messages: list[Raw], tools: list[Raw] | None) -> None:
    """Write ids as OpenAI's API makes them: `call_` and 24 letters and digits."""
    for message in messages:
        if "tool_call_id" in message:
            message["tool_call_id"] = _long(message["tool_call_id"])
        for call in message.get("tool_calls") or ():
            call["id"] = _long(call["id"])


def _long(own: str) -> str:
    return f"call_{own.removeprefix('callid'):a>24}"


# What some templates take instead of the plain form.
PARTS = Manner("parts", _all_parts)
STRINGS = Manner("strings", _string_arguments)

# Each manner with the probes of the family it is tried on: the smallest that have what it changes.
MANNERS: tuple[tuple[Manner, tuple[str, ...]], ...] = (
    (_parts("user"), ("user",)),
    (_parts("system"), ("system-user",)),
    (_parts("assistant"), ("user-final-user",)),
    (_parts("tool"), ("tool-loop",)),
    (Manner("developer", _developer), ("system-user",)),
    (Manner("sdk-nulls", _sdk_nulls), ("user-final-user",)),
    (Manner("empty-tool-calls", _no_calls), ("user-final-user",)),
    (Manner("no-description", _no_description), ("tool-user",)),
    (Manner("no-parameters", _no_parameters), ("tool-user",)),
    (Manner("no-required", _no_required), ("tool-user",)),
    (Manner("null-content", _null_content), ("tool-loop",)),
    (Manner("absent-content", _absent_content), ("tool-loop",)),
    (Manner("string-arguments", _string_arguments, _CURED_ARGUMENTS), ("tool-loop",)),
    (Manner("empty-arguments", _empty_arguments), ("tool-loop",)),
    (Manner("json-values", _values), ("tool-loop",)),
    (Manner("no-result-name", _no_names), ("tool-loop",)),
    (Manner("openai-ids", _long_ids), ("tool-loop",)),
)
