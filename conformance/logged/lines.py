"""Read a log of requests, one JSON body a line: what can be judged, and why the rest cannot."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from conformance.as_sent import SentCase, ignored
from conformance.decode import decode_json
from conformance.errors import UsageError
from conformance.importers import MAX_BYTES, sent_case
from conformance.logged import anthropic, responses

# So many bytes of bodies are kept in memory at once.
MAX_LOG_BYTES = 1 << 30
_INTERFACES = {"OpenAI Responses": responses, "Anthropic Messages": anthropic}
# What may be quoted of a log: words of the interfaces that gpt-oss has no use for, and nobody's own.
_WORDS_OF_INTERFACES = """
image image_url input_image audio input_audio file input_file video_url document search_result refusal function custom
none minimal xhigh max web_search web_search_preview web_search_call file_search file_search_call code_interpreter
code_interpreter_call computer_use_preview computer_call computer_call_output image_generation image_generation_call mcp
mcp_call mcp_list_tools local_shell local_shell_call custom_tool_call custom_tool_call_output item_reference
redacted_thinking server_tool_use web_search_tool_result
"""
_API_WORDS = frozenset(_WORDS_OF_INTERFACES.split())
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")


@dataclass
class Reasons:
    """Why lines were left out: for each reason how many of them, and the first one's number."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        """Note a line; what the reason quotes of it, and numbers in places, are left out."""
        quoted = _QUOTED.sub(lambda word: word[0] if word[0][1:-1] in _API_WORDS else "…", reason)
        plain = re.sub(r"\[\d+\]", "[N]", quoted).rstrip(".")
        self.counts[plain] += 1
        self.first.setdefault(plain, line)

    def __bool__(self) -> bool:
        return bool(self.counts)


@dataclass
class Log:
    """What a log holds: the requests as cases, and what was left out.

    `unreadable` are lines that are no requests, `inexpressible` requests that cannot be said to gpt-oss. `translated`
    counts bodies of other interfaces, `ignored` what was not looked at although it may be meant for the prompt. With
    `left_over` the log goes on behind what was read.
    """

    cases: list[SentCase] = field(default_factory=list)
    lines: int = 0
    unreadable: Reasons = field(default_factory=Reasons)
    inexpressible: Reasons = field(default_factory=Reasons)
    translated: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    left_over: bool = False


def read_log(path: Path, most: int | None = None) -> Log:
    """Read the requests of a log, `most` of them at most.

    Blank lines are passed over. Raises UsageError when the file cannot be read or holds nothing.
    """
    log = Log()
    size = 0
    try:
        with path.open("rb") as file:
            for number, line in _lines(file):
                if line is not None and not line.strip():
                    continue
                if size > MAX_LOG_BYTES or (most is not None and len(log.cases) >= most):
                    log.left_over = True
                    break
                size += len(line or b"")
                log.lines += 1
                _add(log, number, line)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"Cannot read the log {path}: {reason}.") from None
    if log.lines == 0:
        raise UsageError(f"The log {path} is empty; write one chat-completions body on each line.")
    return log


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines with their numbers, None for one that is too long: that much memory is not spent on it."""
    number = 0
    while line := file.readline(MAX_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line


def _add(log: Log, number: int, line: bytes | None) -> None:
    where = f"line {number}"
    try:
        body = _body(line)
    except UsageError as error:
        log.unreadable.add(number, str(error))
        return
    try:
        for name, interface in _INTERFACES.items():
            if interface.speaks(body):
                body = interface.to_chat(body, where)
                log.translated[name] += 1
        case = sent_case(body, where, line=number)
    except UsageError as error:
        log.inexpressible.add(number, str(error).removeprefix(f"{where}: "))
        return
    log.ignored.update({re.sub(r"\[\d+\]", "[N]", key) for key in ignored(body)})
    log.cases.append(case)


def _body(line: bytes | None) -> dict[str, Any]:
    """Return the body on a line, taken out of what OpenAI's batch files put around it.

    Raises UsageError when there is none.
    """
    if line is None:
        raise UsageError(f"has more than {MAX_BYTES // 2**20} MB; log one request on each line")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("is not UTF-8") from None
    raw = decode_json(line, object, "is no JSON")
    if isinstance(raw, dict) and isinstance(raw.get("body"), dict) and "messages" not in raw:
        raw = raw["body"]
    if not isinstance(raw, dict) or not raw.keys() & {"messages", "input"}:
        raise UsageError(
            "is no request: an object with messages (chat completions, Anthropic) or input (Responses)"
        )
    if "messages" in raw and raw["messages"] == []:
        raise UsageError("has no messages; a request needs one at least")
    return raw
