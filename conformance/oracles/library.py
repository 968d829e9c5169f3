"""A Harmony library, ready to be asked: in this process, or in one of its own that a limit can end."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from conformance.errors import UnjudgedError, printable
from conformance.oracles import calls, vocabulary
from conformance.oracles.authorities import Authority

CALL_SECONDS = 10.0
# The library's time grows with the square of a word's length: one of so many characters of JSON takes half a second,
# and as many short ones next to nothing. What has a longer one, or is very long as a whole, is asked of a process
# that can be ended.
LONG, VERY_LONG = 30_000, 500_000
_ESCAPED = 6  # characters of JSON for one that is not ASCII


class OracleRefusedError(Exception):
    """The authority did not render a case; the message is the library's."""


class OracleFailedError(OracleRefusedError):
    """The authority crashed or hung on a case; the message says so in one sentence."""


class Heard(NamedTuple):
    """One message as the library's parser reads it."""

    role: str
    name: str | None
    channel: str | None
    recipient: str | None
    content_type: str | None
    text: str


class Library:
    """The functions of a Harmony library that this project uses.

    All of them raise OracleRefusedError when the library refuses, OracleFailedError when it crashes or hangs.
    """

    authority: Authority
    lenient: bool

    def _ask(self, method: str, *arguments: Any, size: int) -> Any:
        """Call a method of `calls.Calls`; `size` is about how many characters it has to read."""
        raise NotImplementedError

    def render(self, messages: Sequence[dict[str, Any]], *, training: bool, auto_drop: bool) -> list[int]:
        """Return the tokens of messages in Harmony's JSON; `auto_drop` lets the library drop earlier thinking."""
        wire = json.dumps({"messages": messages})
        return cast("list[int]", self._ask("render", wire, training, auto_drop, size=len(wire)))

    def render_message(self, message: dict[str, Any], *, function_tools: bool) -> list[int]:
        """Return the tokens of one message; a system message gets the note on function tools where asked."""
        wire = json.dumps(message)
        return cast("list[int]", self._ask("render_message", wire, function_tools, size=len(wire)))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the tokens of a text; with `special`, special tokens are recognised wherever they stand."""
        return cast("list[int]", self._ask("encode", text, special, size=_size(text)))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; what is no UTF-8 becomes U+FFFD."""
        return cast("str", self._ask("decode", list(tokens), size=0))

    def decode_utf8(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens that end where characters end."""
        return cast("str", self._ask("decode_utf8", list(tokens), size=0))

    def special_tokens(self) -> dict[str, int]:
        """Return the special tokens of the vocabulary, from text to id."""
        return cast("dict[str, int]", self._ask("special_tokens", size=0))

    def parse(self, tokens: Sequence[int], *, strict: bool = False) -> list[Heard]:
        """Return the messages that the library's own parser reads."""
        return [Heard(*message) for message in self._ask("parse", list(tokens), strict, size=0)]

    def namespace(self, name: str) -> dict[str, Any]:
        """Return a built-in tool namespace, `browser` or `python`, as the library defines it."""
        return cast("dict[str, Any]", self._ask("namespace", name, size=0))


class InProcess(Library):
    """The installed module in this process, which is fastest; what is long goes to a process that can be ended."""

    def __init__(self) -> None:
        self._calls = calls.Calls()
        self.lenient = self._calls.lenient
        self._guarded: Separate | None = None

    def _ask(self, method: str, *arguments: Any, size: int) -> Any:
        if size > LONG and _may_take_long(str(arguments[0]), size):
            if self._guarded is None:
                self._guarded = Separate(self.authority.name)
            return self._guarded._ask(method, *arguments, size=size)
        try:
            return getattr(self._calls, method)(*arguments)
        except Exception as error:  # the binding raises HarmonyError and plain ValueError alike
            raise OracleRefusedError(str(error)) from None
        except BaseException as error:
            if calls.is_panic(error):
                raise OracleFailedError(crashed(self.authority.name, str(error))) from None
            raise


class Separate(Library):
    """A library in a process of its own: the module in `folder`, or the installed one.

    A call that takes too long or crashes ends that process, and the next call starts another.
    Raises UnjudgedError when it cannot be loaded.
    """

    def __init__(self, name: str, folder: Path | None = None, *, seconds: float = CALL_SECONDS) -> None:
        self.name = name
        self._folder = folder
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as this)
        atexit.register(self.close)
        self._start()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(OSError):
                self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        folder = [] if self._folder is None else [str(self._folder)]
        # The same packages as here, wherever they come from; the library needs pydantic beside it.
        path = os.pathsep.join(dict.fromkeys(entry for entry in sys.path if os.path.isabs(entry)))
        self._process = subprocess.Popen(
            [sys.executable, "-P", calls.__file__, str(self._seconds), *folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="ascii",
            env={**os.environ, "PYTHONPATH": path},
        )
        kind, said = self._read(self._process)
        if kind != calls.READY:
            self.close()
            why = said or self._last_words()
            raise UnjudgedError(
                f"{self.name} cannot be loaded ({printable(why, 300)}); {vocabulary.WAY_OUT}."
            )
        file, self.lenient = said
        if self._folder is not None and not Path(file).is_relative_to(self._folder):
            self.close()
            raise UnjudgedError(f"{self.name} was not loaded from {self._folder}, but from {file}.")
        return self._process

    def _ask(self, method: str, *arguments: Any, size: int) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps([method, arguments]) + "\n")
            process.stdin.flush()
            kind, said = self._read(process)
        except BrokenPipeError:
            kind, said = "", None
        except BaseException:  # interrupted: the answer to come is nobody's
            self.close()
            raise
        if kind == calls.ANSWER:
            return said
        if kind == calls.REFUSED:
            raise OracleRefusedError(said)
        # Whatever it was, this process is over.
        code = process.wait() if kind == "" else 0
        self.close()
        if code == -signal.SIGALRM:
            raise OracleFailedError(
                f"{self.name} took longer than {self._seconds:g} s for a conversation and was ended"
            )
        raise OracleFailedError(crashed(self.name, said or self._last_words() or f"exit status {code}"))

    def _read(self, process: subprocess.Popen[str]) -> tuple[str, Any]:
        """Return the kind of an answer and the answer; an empty kind when the process is gone."""
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.endswith("\n"):
            return "", None
        kind, said = json.loads(line)
        return kind, said

    def _last_words(self) -> str:
        """Return the last line that the process wrote to standard error."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _size(text: str) -> int:
    return len(text) if text.isascii() else _ESCAPED * len(text)


def _may_take_long(text: str, size: int) -> bool:
    """Say whether a text of more than LONG characters is very long, or its words or blanks together take as long."""
    blanks = 2 * text.count("  ")
    return size > VERY_LONG or blanks > LONG or sum(_size(word) ** 2 for word in text.split()) > LONG**2


def crashed(name: str, why: str) -> str:
    """Return the sentence about a library that crashed."""
    return f"{name} crashed on a conversation: {printable(why.splitlines()[0] if why else '', 200)}"
