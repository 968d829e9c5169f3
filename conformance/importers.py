"""Read conversations that people have: a case file, or a real OpenAI chat-completions request."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any, NoReturn

from conformance.as_sent import SentCase, asks, continues
from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Mode,
    Options,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolResult,
    User,
    case_from_json,
    check_case,
    plain_case,
)
from conformance.decode import decode_json
from conformance.errors import UsageError

MAX_BYTES = 16 * 2**20
_REASONING = ("reasoning_content", "reasoning", "thinking")
_EFFORTS = ("low", "medium", "high")
_BUILTIN = ("browser", "python")


def read_case(path: Path) -> Case:
    """Read a case from a file; see `read_given`."""
    return plain_case(read_given(path))


def read_given(path: Path) -> Case:
    """Read a case from a file: a case of ours (`conversation`) or a chat-completions request (`messages`).

    Returns the case, a SentCase with the body as it was sent where it is a request.
    Raises UsageError, naming the file and the place in it, when it is neither or Harmony could not render it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Cannot read the case {path}: {reason}.") from None
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"The case {path} has more than {MAX_BYTES // 2**20} MB; give a single conversation."
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"The case {path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    data = data.removeprefix(codecs.BOM_UTF8)  # some editors on Windows write one
    raw = decode_json(data, object, f"{path} cannot be read")
    if not isinstance(raw, dict) or not raw.keys() & {"messages", "conversation"}:
        raise UsageError(
            f"{path} is neither a case (an object with `conversation`) nor a chat-completions request (one with "
            "`messages`)."
        )
    if "conversation" in raw:
        return case_from_json(data, str(path))
    return sent_case(raw, str(path))


def sent_case(body: dict[str, Any], where: str = "the request", *, line: int = 0) -> SentCase:
    """Return a chat-completions body as a case that knows how it was sent; raises as `case_from_request`."""
    case = case_from_request(body, where)
    return SentCase(conversation=case.conversation, options=case.options, body=body, line=line)


def case_from_request(request: dict[str, Any], where: str = "the request") -> Case:
    """Turn an OpenAI chat-completions request into a case; what says nothing about the prompt is ignored.

    Raises UsageError when the request holds what gpt-oss cannot be given, such as images.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        _refuse(where, "messages", "is not a list")
    if not messages:
        _refuse(where, "messages", "is empty; a request needs one message at least")
    if request.get("functions"):
        _refuse(where, "functions", "is the old form; write it as tools")
    reader = _Reader(where)
    for index, message in enumerate(messages):
        reader.message(index, message)
    tools = request.get("tools") or []
    if not isinstance(tools, list):
        _refuse(where, "tools", "is not a list")
    case = Case(
        conversation=Conversation(
            messages=tuple(reader.out),
            tools=tuple(_tool(tool, f"tools[{i}]", where) for i, tool in enumerate(tools)),
            response_formats=_response_formats(request.get("response_format"), where),
        ),
        options=_options(request, where),
    )
    check_case(case, where)
    return case


def _options(request: dict[str, Any], where: str) -> Options:
    """Read what a request says about the prompt besides messages and tools; vLLM's own arguments too."""
    given = request.get("chat_template_kwargs")
    extra = given if isinstance(given, dict) else {}
    effort = request.get("reasoning_effort") or extra.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        _refuse(where, "reasoning_effort", f"is {effort!r}; gpt-oss knows {', '.join(_EFFORTS)}")
    identity = extra.get("model_identity")
    if identity is not None and not isinstance(identity, str):
        _refuse(where, "chat_template_kwargs.model_identity", "is not text")
    builtin = extra.get("builtin_tools") or []
    if not isinstance(builtin, list) or any(name not in _BUILTIN for name in builtin):
        _refuse(where, "chat_template_kwargs.builtin_tools", f"is not a list of {', '.join(_BUILTIN)}")
    mode: Mode = "continue" if continues(request) else "generation" if asks(request) else "training"
    return Options(reasoning_effort=effort, model_identity=identity, builtin_tools=tuple(builtin), mode=mode)


def _response_formats(raw: Any, where: str) -> tuple[ResponseFormat, ...]:
    """Read the format that an answer must have, where it is a schema; other kinds say nothing about a prompt."""
    if not isinstance(raw, dict) or raw.get("type") != "json_schema":
        return ()
    form = raw.get("json_schema")
    if not isinstance(form, dict) or not isinstance(form.get("name"), str):
        _refuse(where, "response_format.json_schema", "is not an object with a name")
    schema, description = form.get("schema") or {}, form.get("description")
    if not isinstance(schema, dict):
        _refuse(where, "response_format.json_schema.schema", "is not a JSON Schema object")
    if description is not None and not isinstance(description, str):
        _refuse(where, "response_format.json_schema.description", "is not text")
    return (ResponseFormat(name=form["name"], schema=schema, description=description),)


def _refuse(where: str, place: str, problem: str) -> NoReturn:
    raise UsageError(f"{where}: {place} {problem}.")


def _tool(raw: Any, place: str, where: str) -> Tool:
    function = raw.get("function", raw) if isinstance(raw, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        _refuse(where, place, "is not a function with a name")
    description, parameters = function.get("description"), function.get("parameters")
    if description is not None and not isinstance(description, str):
        _refuse(where, f"{place}.description", "is not text")
    if parameters is not None and not isinstance(parameters, dict):
        _refuse(where, f"{place}.parameters", "is not a JSON Schema object")
    return Tool(name=function["name"], description=description, parameters=parameters)


class _Reader:
    """Reads the messages of a request in order; remembers which call has which id."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.out: list[Message] = []
        # The calls of the last step that used an id: servers that count ids use them again in every step.
        self._ids: dict[str, list[int]] = {}
        self._calls: list[str] = []
        self._answered: set[int] = set()

    def message(self, index: int, raw: Any) -> None:
        place = f"messages[{index}]"
        if not isinstance(raw, dict):
            _refuse(self.where, place, "is not an object with a role")
        role = raw.get("role")
        if role in ("system", "developer"):
            self.out.append(Instructions(text=self._text(raw, place) or "", role=role))
        elif role == "user":
            name = raw.get("name") or None
            if name is not None and not isinstance(name, str):
                _refuse(self.where, f"{place}.name", "is not text")
            self.out.append(User(text=self._text(raw, place) or "", name=name))
        elif role == "assistant":
            self._assistant(raw, place)
        elif role == "tool":
            call = self._answers(raw, place)
            # Without a call Harmony needs the tool's name, which `_answers` made sure of.
            name = raw["name"] if call is None else None
            self.out.append(ToolResult(call=call, name=name, content=self._text(raw, place) or ""))
        elif role == "function":
            _refuse(self.where, f"{place}.role", "is 'function', the old form; write 'tool'")
        else:
            known = "system, developer, user, assistant, tool"
            _refuse(self.where, f"{place}.role", f"is {role!r}; it has to be one of {known}")

    def _text(self, raw: dict[str, Any], place: str) -> str | None:
        content = raw.get("content")
        if content is None or isinstance(content, str):
            return content
        if not isinstance(content, list):
            _refuse(self.where, f"{place}.content", "is neither text nor a list of parts")
        texts = []
        for number, part in enumerate(content):
            if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                kind = part.get("type") if isinstance(part, dict) else part
                _refuse(
                    self.where, f"{place}.content[{number}]", f"is {kind!r}; gpt-oss reads text parts only"
                )
            texts.append(part["text"])
        return "".join(texts)

    def _assistant(self, raw: dict[str, Any], place: str) -> None:
        if raw.get("function_call"):
            _refuse(self.where, f"{place}.function_call", "is the old form; write it as tool_calls")
        if raw.get("refusal"):
            _refuse(self.where, f"{place}.refusal", "has no place in Harmony; write its text as content")
        thoughts = [raw[key] for key in _REASONING if isinstance(raw.get(key), str)]
        thinking = max(thoughts, key=bool, default=None)
        text = self._text(raw, place)
        raw_calls = raw.get("tool_calls") or []
        if not isinstance(raw_calls, list):
            _refuse(self.where, f"{place}.tool_calls", "is not a list")
        first = len(self._calls)
        calls = tuple(self._call(call, f"{place}.tool_calls[{n}]", first) for n, call in enumerate(raw_calls))
        if calls:
            self.out.append(Assistant(thinking=thinking, preamble=text, calls=calls))
        else:
            self.out.append(Assistant(thinking=thinking, final=text))

    def _call(self, raw: Any, place: str, first: int) -> ToolCall:
        function = raw.get("function", raw) if isinstance(raw, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            _refuse(self.where, place, "is not a function call with a name")
        arguments = function.get("arguments", "")
        if not isinstance(arguments, str | dict):
            _refuse(self.where, f"{place}.arguments", "is neither text nor an object")
        if isinstance(raw.get("id"), str):
            same = [number for number in self._ids.get(raw["id"], []) if number >= first]
            self._ids[raw["id"]] = [*same, len(self._calls)]
        self._calls.append(function["name"])
        return ToolCall(name=function["name"], arguments=arguments)

    def _answers(self, raw: dict[str, Any], place: str) -> int | None:
        """Find the call that a tool message answers: by id, else by name, else the first one still open.

        None where there is none and the message says of which tool it is.
        """
        key = raw.get("tool_call_id")
        if key is not None:
            if not isinstance(key, str) or key not in self._ids:
                _refuse(self.where, f"{place}.tool_call_id", f"is {key!r}, which no call before it has")
            still_open = [number for number in self._ids[key] if number not in self._answered]
            number = (still_open or self._ids[key])[0]
        else:
            name = raw.get("name")
            still_open = [n for n in range(len(self._calls)) if n not in self._answered]
            named = [n for n in still_open if self._calls[n] == name] or still_open
            if not named:
                if _is_name(name):
                    return None
                problem = (
                    "is a tool result, but no call before it is still open, and it has no name of a tool"
                )
                _refuse(self.where, place, problem)
            number = named[0]
        self._answered.add(number)
        return number


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name != ""


def looks_like_case_id(text: str) -> bool:
    """Say whether a word is a case id (or the beginning of one) rather than a file's name."""
    return re.fullmatch(r"[0-9a-f]{3,12}", text) is not None
