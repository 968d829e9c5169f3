"""Anthropic Messages bodies as chat-completions bodies: what has the same meaning there, and nothing else."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from conformance.errors import UsageError

Body = dict[str, Any]

# About the answer, the account or the transport.
_ELSEWHERE = frozenset(["max_tokens", "stop_sequences", "anthropic_version", "anthropic_beta", "container"])
_BLOCKS = ("tool_use", "tool_result", "thinking", "redacted_thinking")


def speaks(body: Body) -> bool:
    """Return whether this is a body of the Messages interface, by what only it has."""
    if "anthropic_version" in body or ("system" in body and "messages" in body):
        return True
    tools, messages = body.get("tools"), body.get("messages")
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    contents = [message.get("content") for message in _objects(messages)]
    return any(block.get("type") in _BLOCKS for content in contents for block in _objects(content))


def _objects(value: Any) -> list[Body]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def to_chat(body: Body, where: str) -> Body:
    """Return a Messages body as a chat-completions body; keys without a meaning for the prompt are left out.

    Results stand before the text of the message that brings them. Raises UsageError where chat completions have no word
    for something.
    """
    messages: list[Body] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _content(body["system"], "system", where)})
    given = body.get("messages")
    if not isinstance(given, list):
        _refuse(where, "messages", "is not a list")
    for index, message in enumerate(given):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            _refuse(where, place, "is not an object with a role")
        messages += _message(message, place, where)
    taken = {"system", "messages", "tools", *_ELSEWHERE}
    chat: Body = {"messages": messages}
    chat.update((key, value) for key, value in body.items() if key not in taken)
    if tools := body.get("tools"):
        if not isinstance(tools, list):
            _refuse(where, "tools", "is not a list")
        chat["tools"] = [_tool(tool, f"tools[{i}]", where) for i, tool in enumerate(tools)]
    return chat


def _message(message: Body, place: str, where: str) -> list[Body]:
    role, content = message.get("role"), message.get("content")
    if not isinstance(content, list):
        return [{"role": role, "content": content}]
    said: list[Body] = []
    results: list[Body] = []
    step: Body = {"role": role, "content": None}
    for position, block in enumerate(content):
        here = f"{place}.content[{position}]"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "tool_result":
            result = {
                "role": "tool",
                "tool_call_id": block.get("tool_use_id"),
                "content": _content(block.get("content"), here, where),
            }
            results.append({**result, "is_error": True} if block.get("is_error") else result)
        elif kind == "tool_use" and role == "assistant":
            function = {
                "name": block.get("name"),
                "arguments": json.dumps(block.get("input", {}), ensure_ascii=False),
            }
            call = {"id": block.get("id"), "type": "function", "function": function}
            step.setdefault("tool_calls", []).append(call)
        elif kind == "thinking" and role == "assistant":
            step["reasoning_content"] = step.get("reasoning_content", "") + str(block.get("thinking") or "")
        elif kind == "text" and isinstance(block.get("text"), str):
            said.append({"type": "text", "text": block["text"]})
        else:
            _refuse(where, here, f"is {kind!r}, which chat completions do not have here")
    if said:
        step["content"] = said
    return [*results, step] if said or len(step) > 2 or not results else results


def _content(content: Any, place: str, where: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    parts = []
    for block in content if isinstance(content, list) else [content]:
        if not isinstance(block, dict) or not isinstance(block.get("text"), str):
            kind = block.get("type") if isinstance(block, dict) else block
            _refuse(where, place, f"has a part of type {kind!r}; gpt-oss reads text parts only")
        parts.append({"type": "text", "text": block["text"]})
    return parts


def _tool(tool: Any, place: str, where: str) -> Body:
    if not isinstance(tool, dict) or tool.get("type", "custom") != "custom" or "input_schema" not in tool:
        kind = tool.get("type") if isinstance(tool, dict) else None
        _refuse(where, place, f"has type {kind!r}; gpt-oss has function tools only")
    function = {"name": tool.get("name")}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def _refuse(where: str, place: str, problem: str) -> NoReturn:
    raise UsageError(f"{where}: {place} {problem}.")
