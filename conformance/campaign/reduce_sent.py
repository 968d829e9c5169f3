"""The passes that make a request smaller as it was sent: what `reduce` does to cases, done to bodies.

They follow its rules: each changes one kind of thing, the boldest first, and goes down only. What gpt-oss could not be
told any more (a result without its call, say) is not yielded. A client's style (null content, parts, empty lists) stays
as long as it matters, since removing it is one of the changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from conformance.as_sent import SentCase
from conformance.campaign.reduce import Step, shorter_text, simpler_schema, simpler_value
from conformance.conversation import Case
from conformance.errors import UsageError
from conformance.importers import sent_case

Body = dict[str, Any]
_TEXTS = ("reasoning_content", "reasoning", "thinking")
_NAMES = ("f", "g", "h")


def _messages(body: Body) -> list[Body]:
    return cast("list[Body]", body["messages"])


def _with(body: Body, index: int, message: Body) -> Body:
    messages = _messages(body)
    return {**body, "messages": [*messages[:index], message, *messages[index + 1 :]]}


def _without_key(value: Body, key: str) -> Body:
    return {name: item for name, item in value.items() if name != key}


def _ids(message: Body) -> set[Any]:
    return {call.get("id") for call in message.get("tool_calls") or [] if isinstance(call, dict)} - {None}


def _keep(body: Body, kept: set[int]) -> Body:
    """Return the body with only some of its messages; results go with the calls that they answer."""
    messages = _messages(body)
    gone: set[Any] = set()
    for index, message in enumerate(messages):
        if index not in kept:
            gone |= _ids(message)
    left = [
        message
        for index, message in enumerate(messages)
        if index in kept and not (message.get("role") == "tool" and message.get("tool_call_id") in gone)
    ]
    return {**body, "messages": left}


def _fewer_messages(body: Body) -> Iterator[Body]:
    length = count = len(_messages(body))
    while length:
        for start in range(0, count, length):
            yield _keep(body, set(range(count)) - set(range(start, start + length)))
        length //= 2


def _fewer_tools(body: Body) -> Iterator[Body]:
    tools = body.get("tools")
    if tools:
        yield _without_key(body, "tools")
        if len(tools) > 1:
            for index in range(len(tools)):
                yield {**body, "tools": [*tools[:index], *tools[index + 1 :]]}


def _fewer_options(body: Body) -> Iterator[Body]:
    for key in body:
        if key not in ("messages", "tools"):
            yield _without_key(body, key)
    extra = body.get("chat_template_kwargs")
    if isinstance(extra, dict) and len(extra) > 1:
        for key in extra:
            yield {**body, "chat_template_kwargs": _without_key(extra, key)}


def _fewer_calls(body: Body) -> Iterator[Body]:
    messages = _messages(body)
    for index, message in enumerate(messages):
        calls = message.get("tool_calls")
        if not isinstance(calls, list) or len(calls) < 2:
            continue
        for position, call in enumerate(calls):
            fewer = _with(body, index, {**message, "tool_calls": [*calls[:position], *calls[position + 1 :]]})
            identity = call.get("id")
            answered = [
                other
                for other in _messages(fewer)
                if identity is None or other.get("tool_call_id") != identity
            ]
            yield {**fewer, "messages": answered}


def _fewer_parts(body: Body) -> Iterator[Body]:
    for index, message in enumerate(_messages(body)):
        for key in message:
            if key != "role":
                yield _with(body, index, _without_key(message, key))
        if message.get("role") == "developer":
            yield _with(body, index, {**message, "role": "system"})
        content = message.get("content")
        if isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            if all(isinstance(text, str) for text in texts):
                yield _with(body, index, {**message, "content": "".join(cast("list[str]", texts))})
            for position in range(len(content)):
                yield _with(
                    body, index, {**message, "content": [*content[:position], *content[position + 1 :]]}
                )
    for index, tool in enumerate(body.get("tools") or []):
        for key in tool:
            if key not in ("type", "function", "name"):
                yield _with_tool(body, index, _without_key(tool, key))
        function = tool.get("function")
        if isinstance(function, dict):
            for key in function:
                if key != "name":
                    yield _with_tool(body, index, {**tool, "function": _without_key(function, key)})


def _with_tool(body: Body, index: int, tool: Body) -> Body:
    tools = body["tools"]
    return {**body, "tools": [*tools[:index], tool, *tools[index + 1 :]]}


def _each_function(body: Body) -> Iterator[tuple[Body, Callable[[Body], Body]]]:
    """Yield each function on offer, and what puts another in its place."""
    for index, tool in enumerate(body.get("tools") or []):
        wrapped = isinstance(tool.get("function"), dict)

        def put(function: Body, index: int = index, tool: Body = tool, wrapped: bool = wrapped) -> Body:
            return _with_tool(body, index, {**tool, "function": function} if wrapped else function)

        yield (tool["function"] if wrapped else tool), put


def _simpler_schemas(body: Body) -> Iterator[Body]:
    for function, put in _each_function(body):
        if isinstance(function.get("parameters"), dict):
            for schema in simpler_schema(function["parameters"], top=True):
                yield put({**function, "parameters": schema})


def _each_call(body: Body) -> Iterator[tuple[Body, Callable[[Body], Body]]]:
    """Yield the function of each call that was made, and what puts another in its place."""
    for index, message in enumerate(_messages(body)):
        calls = message.get("tool_calls") or []
        for position, call in enumerate(calls):
            if not isinstance(call.get("function"), dict):
                continue

            def put(
                function: Body,
                index: int = index,
                message: Body = message,
                calls: list[Body] = calls,
                position: int = position,
            ) -> Body:
                changed = {**calls[position], "function": function}
                changed_calls = [*calls[:position], changed, *calls[position + 1 :]]
                return _with(body, index, {**message, "tool_calls": changed_calls})

            yield call["function"], put


def _simpler_arguments(body: Body) -> Iterator[Body]:
    for function, put in _each_call(body):
        arguments = function.get("arguments")
        for simpler in _arguments(arguments):
            yield put({**function, "arguments": simpler})


def _arguments(arguments: Any) -> Iterator[Any]:
    if isinstance(arguments, dict):
        yield from (value for value in simpler_value(arguments) if isinstance(value, dict))
        return
    if not isinstance(arguments, str):
        return
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        for simpler in simpler_value(value):
            if len(text := json.dumps(simpler, ensure_ascii=False)) < len(arguments):
                yield text
    else:
        yield from shorter_text(arguments)


def _simpler_texts(body: Body) -> Iterator[Body]:
    for index, message in enumerate(_messages(body)):
        for key in ("content", *_TEXTS):
            text = message.get(key)
            if isinstance(text, str):
                for shorter in shorter_text(text):
                    yield _with(body, index, {**message, key: shorter})
        content = message.get("content")
        if isinstance(content, list):
            for position, part in enumerate(content):
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    for shorter in shorter_text(part["text"]):
                        changed = [*content[:position], {**part, "text": shorter}, *content[position + 1 :]]
                        yield _with(body, index, {**message, "content": changed})
    for function, put in _each_function(body):
        if isinstance(function.get("description"), str):
            for shorter in shorter_text(function["description"]):
                yield put({**function, "description": shorter})


def _simpler_names(body: Body) -> Iterator[Body]:
    """Rename tools and ids, all at once: `f`, `g`, `h` and `call_0`, … in the order in which they occur."""
    names = [function.get("name") for function, _ in _each_function(body)]
    names += [function.get("name") for function, _ in _each_call(body)]
    plain = dict(zip(dict.fromkeys(names), _NAMES, strict=False))
    ids: dict[Any, str] = {}
    for message in _messages(body):
        for call in message.get("tool_calls") or []:
            if isinstance(call.get("id"), str):
                ids.setdefault(call["id"], f"call_{len(ids)}")
    for renamed in (_renamed(body, plain, ids), _renamed(body, plain, {}), _renamed(body, {}, ids)):
        if renamed != body:
            yield renamed


def _renamed(body: Body, names: dict[Any, str], ids: dict[Any, str]) -> Body:
    def function(raw: Body) -> Body:
        return {**raw, "name": names.get(raw.get("name"), raw.get("name"))}

    def call(raw: Body) -> Body:
        new = {**raw, "id": ids.get(raw["id"], raw["id"])} if "id" in raw else dict(raw)
        return (
            {**new, "function": function(raw["function"])} if isinstance(raw.get("function"), dict) else new
        )

    messages = []
    for message in _messages(body):
        new = dict(message)
        if new.get("tool_calls"):
            new["tool_calls"] = [call(raw) for raw in new["tool_calls"]]
        if new.get("role") == "tool":
            if "tool_call_id" in new:
                new["tool_call_id"] = ids.get(new["tool_call_id"], new["tool_call_id"])
            if "name" in new:
                new["name"] = names.get(new["name"], new["name"])
        messages.append(new)
    renamed = {**body, "messages": messages}
    if body.get("tools"):
        renamed["tools"] = [
            {**tool, "function": function(tool["function"])}
            if isinstance(tool.get("function"), dict)
            else function(tool)
            for tool in body["tools"]
        ]
    return renamed


def _step(name: str, bodies: Callable[[Body], Iterator[Body]]) -> Step:
    def cases(case: Case) -> Iterator[Case]:
        assert isinstance(case, SentCase)
        for body in bodies(case.body):
            if not body["messages"]:
                continue
            try:
                yield like(case, body)
            except UsageError:
                continue

    return Step(name, cases)


def like(case: SentCase, body: Body) -> SentCase:
    """Return a body as a case of the same log line and day; raises UsageError where gpt-oss cannot be told it."""
    read = sent_case(body, line=case.line)
    options = msgspec.structs.replace(read.options, date=case.options.date)
    return msgspec.structs.replace(read, options=options)


SENT_STEPS = tuple(
    _step(name, bodies)
    for name, bodies in (
        ("messages", _fewer_messages),
        ("tools", _fewer_tools),
        ("options", _fewer_options),
        ("calls", _fewer_calls),
        ("parts", _fewer_parts),
        ("schemas", _simpler_schemas),
        ("arguments", _simpler_arguments),
        ("texts", _simpler_texts),
        ("names", _simpler_names),
    )
)
