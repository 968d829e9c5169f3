"""OpenAI Responses bodies as chat-completions bodies: what has the same meaning there, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

from conformance.errors import UsageError

Body = dict[str, Any]

# About the answer, the account or the transport.
_ELSEWHERE = frozenset(
    [
        "max_output_tokens",
        "max_tool_calls",
        "include",
        "truncation",
        "background",
        "top_logprobs",
        "safety_identifier",
    ]
)
# What only the server knows, and this program cannot look up.
_KEPT_BY_THE_SERVER = ("previous_response_id", "conversation", "prompt")
_TEXT_PARTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def speaks(body: Body) -> bool:
    """Return whether this is a body of the Responses interface."""
    return "input" in body and "messages" not in body


def to_chat(body: Body, where: str) -> Body:
    """Return a Responses body as a chat-completions body; keys without a meaning for the prompt are left out.

    An assistant's message and the calls behind it are one message there, and reasoning goes with what follows it.
    Raises UsageError where the other interface has no word for something.
    """
    for key in _KEPT_BY_THE_SERVER:
        if body.get(key):
            _refuse(where, key, "refers to what only the server that kept it has")
    messages: list[Body] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    given = body["input"]
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif isinstance(given, list):
        items = _Items(where, messages)
        for index, item in enumerate(given):
            items.add(f"input[{index}]", item)
        items.end()
    else:
        _refuse(where, "input", "is neither text nor a list")
    taken = {"input", "instructions", "tools", "reasoning", *_ELSEWHERE, *_KEPT_BY_THE_SERVER}
    chat: Body = {"messages": messages}
    chat.update((key, value) for key, value in body.items() if key not in taken)
    if tools := body.get("tools"):
        if not isinstance(tools, list):
            _refuse(where, "tools", "is not a list")
        chat["tools"] = [_tool(tool, f"tools[{i}]", where) for i, tool in enumerate(tools)]
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    return chat


class _Items:
    """Puts the items of an input together as messages."""

    def __init__(self, where: str, messages: list[Body]) -> None:
        self.where, self.messages = where, messages
        self._thinking: list[str] = []
        self._open: Body | None = None  # the assistant's message that calls may follow

    def add(self, place: str, item: Any) -> None:
        """Add one item."""
        if not isinstance(item, dict):
            _refuse(self.where, place, "is no object")
        kind = item.get("type", "message")
        if kind == "reasoning":
            self._open = None
            self._thinking += _texts(item.get("content") or item.get("summary") or [], place, self.where)
        elif kind == "message":
            self._message(place, item)
        elif kind == "function_call":
            step = self._step()
            function = {"name": item.get("name"), "arguments": item.get("arguments", "")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            step.setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            self._open = None
            output = _content(item.get("output"), place, self.where)
            self.messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
        else:
            _refuse(self.where, place, f"is {kind!r}, which chat completions do not have")

    def end(self) -> None:
        """End the input; thinking that nothing follows is a message of its own."""
        if self._thinking:
            self._step()

    def _message(self, place: str, item: Body) -> None:
        content = _content(item.get("content"), place, self.where)
        if item.get("role") == "assistant":
            self._open = None
            self._step()["content"] = content
        else:
            self._open = None
            self.messages.append({"role": item.get("role"), "content": content})

    def _step(self) -> Body:
        """Return the assistant's message that goes on, or a new one; what was thought before it is in it."""
        if self._open is None:
            self._open = {"role": "assistant", "content": None}
            if self._thinking:
                self._open["reasoning_content"] = "\n".join(self._thinking)
                self._thinking = []
            self.messages.append(self._open)
        return self._open


def _texts(parts: Any, place: str, where: str) -> list[str]:
    if not isinstance(parts, list):
        _refuse(where, place, "has no list of parts")
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
            _refuse(where, place, f"has a part of type {kind!r}; gpt-oss reads text parts only")
        texts.append(part["text"])
    return texts


def _content(content: Any, place: str, where: str) -> Any:
    """Return text as it is, parts as text parts."""
    if content is None or isinstance(content, str):
        return content
    return [{"type": "text", "text": text} for text in _texts(content, place, where)]


def _tool(tool: Any, place: str, where: str) -> Body:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind != "function":
        _refuse(where, place, f"has type {kind!r}; gpt-oss has function tools only")
    return {"type": "function", "function": {key: tool[key] for key in tool if key != "type"}}


def _refuse(where: str, place: str, problem: str) -> NoReturn:
    raise UsageError(f"{where}: {place} {problem}.")
