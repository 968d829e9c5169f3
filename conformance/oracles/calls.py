"""What is asked of a Harmony library, in plain JSON values: the same in this process and in one of its own.

This file runs by itself, too, with nothing but the library beside it: `python calls.py SECONDS [FOLDER]` answers
requests on standard input, one line of JSON each. A call that takes longer than SECONDS ends the process.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from typing import Any

LOAD_SECONDS = 60
READY, ANSWER, REFUSED, CRASHED = "ready", "answer", "refused", "crashed"


class _Wire:
    """What the library's functions ask of a conversation or message: its JSON.

    Building the library's pydantic models first would double the time of a render and end in the same JSON.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def to_json(self) -> str:
        return self._text


class Calls:
    """The library that this process imports as `openai_harmony`, loaded with its vocabulary."""

    def __init__(self) -> None:
        import openai_harmony as library

        self._library: Any = library
        self._encoding: Any = library.load_harmony_encoding(library.HarmonyEncodingName.HARMONY_GPT_OSS)
        self._configs = [library.RenderConversationConfig(auto_drop_analysis=drop) for drop in (False, True)]
        parser = inspect.signature(self._encoding.parse_messages_from_completion_tokens)
        self.lenient = "strict" in parser.parameters

    def render(self, conversation: str, training: bool, auto_drop: bool) -> list[int]:
        """Return the tokens of a conversation, given as JSON."""
        config, wire = self._configs[auto_drop], _Wire(conversation)
        if training:
            return self._encoding.render_conversation_for_training(wire, config)  # type: ignore[no-any-return]
        role = self._library.Role.ASSISTANT
        return self._encoding.render_conversation_for_completion(wire, role, config)  # type: ignore[no-any-return]

    def render_message(self, message: str, function_tools: bool) -> list[int]:
        """Return the tokens of one message, given as JSON, with or without the note on function tools."""
        options = self._library.RenderOptions(conversation_has_function_tools=function_tools)
        return self._encoding.render(_Wire(message), options)  # type: ignore[no-any-return]

    def encode(self, text: str, special: bool) -> list[int]:
        """Return the tokens of a text, in which special tokens are recognised or are text like any other."""
        if special:
            return self._encoding.encode(text, allowed_special="all")  # type: ignore[no-any-return]
        return self._encoding.encode(text, disallowed_special=())  # type: ignore[no-any-return]

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens; what is no UTF-8 becomes U+FFFD."""
        return self._encoding.decode(tokens)  # type: ignore[no-any-return]

    def decode_utf8(self, tokens: list[int]) -> str:
        """Return the text of tokens that end where characters end."""
        return self._encoding.decode_utf8(tokens)  # type: ignore[no-any-return]

    def special_tokens(self) -> dict[str, int]:
        """Return the special tokens of the vocabulary, from text to id."""
        texts = sorted(self._encoding.special_tokens_set)
        return dict(zip(texts, self.encode("".join(texts), True), strict=True))  # a call each takes 0.2 s

    def parse(self, tokens: list[int], strict: bool) -> list[list[str | None]]:
        """Return for each message: role, name, channel, recipient, content type, text.

        Versions before 0.0.5 know one way to parse only.
        """
        how = {"strict": strict} if self.lenient else {}
        return [
            [
                message.author.role.value,
                message.author.name,
                message.channel,
                message.recipient,
                message.content_type,
                "".join(getattr(content, "text", "") for content in message.content),
            ]
            for message in self._encoding.parse_messages_from_completion_tokens(tokens, None, **how)
        ]

    def namespace(self, name: str) -> dict[str, Any]:
        """Return a built-in tool namespace, `browser` or `python`, as the library defines it."""
        config = getattr(self._library.ToolNamespaceConfig, name)()
        return config.model_dump(exclude_none=True)  # type: ignore[no-any-return]


def is_panic(error: BaseException) -> bool:
    """Say whether an exception is a panic of the library's Rust code, which is no Exception."""
    return type(error).__name__ == "PanicException"


def _serve(seconds: float) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def answer(kind: str, value: Any) -> None:
        print(json.dumps([kind, value]), file=answers, flush=True)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    # The alarm ends the process by itself: no Python code runs while the library is busy.
    signal.setitimer(signal.ITIMER_REAL, LOAD_SECONDS)
    try:
        calls = Calls()
        import openai_harmony

        answer(READY, [openai_harmony.__file__, calls.lenient])
    except BaseException as error:  # a panic is one, and the parent has to hear of it
        answer(CRASHED, f"{type(error).__name__}: {error}")
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    for line in sys.stdin:
        method, arguments = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            value = getattr(calls, method)(*arguments)
        except Exception as error:  # the binding raises HarmonyError and plain ValueError alike
            kind, value = REFUSED, str(error)
        except BaseException as error:  # a panic: what is left of the library is not to be trusted
            answer(CRASHED, f"{type(error).__name__}: {error}")
            return
        else:
            kind = ANSWER
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer(kind, value)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    _serve(float(sys.argv[1]))
