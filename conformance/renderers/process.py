"""Run somebody's renderer as a process: one line of JSON in, one line out, whatever it does instead.

The process is a stranger's: it may crash, hang, flood, write half a line or garbage. Each costs the answer
to one vector, and a fresh process goes on with the next.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeAlias

import msgspec

from conformance.decode import NO_JSON
from conformance.errors import UnjudgedError, UsageError, printable

LIMIT_S = 10.0
MAX_BYTES = 16 * 2**20
# The first answer of a process waits for an interpreter to start or a vocabulary to load.
_START_UP = 3.0
_TAIL = 4_000
# So many hangs, or deaths before any answer at all, and the renderer is given up.
MOST_TIME_LIMITS, MOST_DEAD_STARTS = 5, 50

Kind: TypeAlias = Literal["refused", "error", "time", "output", "died", "broken"]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a renderer answered: a text, tokens or both."""

    text: str | None
    tokens: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer.

    The renderer says that it cannot say this (refused) or that this is an error, took too long, wrote too much, died,
    or wrote nonsense.
    """

    kind: Kind
    message: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None = None
    text: str | None = None
    tokens: tuple[int, ...] | None = None
    error: str | None = None
    refused: str | None = None


class _GoneError(Exception):
    """The process is no longer of use; holds the failure, and whether half an answer was there."""

    def __init__(self, failure: Failed, *, half: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.half = half


class Renderer:
    """A renderer's command, started when first asked and again after each failure; a context manager.

    Raises UsageError when the command cannot be started, UnjudgedError when it never answers anything.
    """

    def __init__(self, command: str, *, limit_s: float = LIMIT_S) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--command cannot be read as words of a shell: {error}.") from None
        if not self.words:
            raise UsageError(
                "--command is empty; name the program that renders, such as 'node renderer.mjs'."
            )
        self.limit_s = limit_s
        self.time_limits = 0
        self.ever_answered = False
        # Vectors before which it had ended by itself, and how; they were asked again.
        self.early_exits: list[tuple[str, str]] = []
        self._dead_starts = 0
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and whatever it started itself."""
        if self._process is not None:
            self._process.end()
            self._process = None

    @property
    def given_up(self) -> bool:
        """Whether it hung so often that asking on would only take time."""
        return self.time_limits >= MOST_TIME_LIMITS

    def ask(self, identity: str, line: str) -> Answered | Failed:
        """Return the renderer's answer to one line, which has this id, or why there is none."""
        if self._process is not None:
            try:
                return self._exchange(self._process, identity, line, self.limit_s)
            except _GoneError as gone:
                self.close()
                if gone.failure.kind != "died" or gone.half:
                    return self._failed(gone.failure)
                # It may have ended after its last answer: only a fresh process that ends, too, is this vector's doing.
                self.early_exits.append((identity, gone.failure.message))
        self._process = _Process(self.words)
        try:
            return self._exchange(self._process, identity, line, self.limit_s * _START_UP)
        except _GoneError as gone:
            self.close()
            if self.early_exits and self.early_exits[-1][0] == identity:
                self.early_exits.pop()
            return self._failed(gone.failure)

    def _exchange(self, process: _Process, identity: str, line: str, limit_s: float) -> Answered | Failed:
        answer = _decoded(process.exchange(f"{line}\n".encode("ascii"), limit_s), identity)
        self.ever_answered = True
        return answer

    def _failed(self, failure: Failed) -> Failed:
        self.time_limits += failure.kind == "time"
        if failure.kind == "died" and not self.ever_answered:
            self._dead_starts += 1
            if self._dead_starts >= MOST_DEAD_STARTS:
                raise UnjudgedError(f"The renderer never answered: {failure.message}.")
        return failure


def _decoded(line: bytes, asked: str) -> Answered | Failed:
    """Read an answer's line.

    Raises _GoneError for what is no answer to this vector: nobody knows what the process writes next.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken(f"its answer is not UTF-8 (byte {error.start} of the line)") from None
    try:
        answer = msgspec.json.decode(text, type=_Answer)
    except NO_JSON as error:
        raise _broken(f"its answer is not the JSON asked for ({error}): {printable(text, 60)}") from None
    if answer.id != asked:
        told = "has no id" if answer.id is None else f"has the id {printable(answer.id, 20)}"
        raise _broken(f"its answer {told}, but {asked} was asked")
    if answer.refused is not None:
        return Failed("refused", printable(answer.refused, 400))
    if answer.error is not None:
        return Failed("error", printable(answer.error, 400))
    if answer.text is None and answer.tokens is None:
        raise _broken("its answer has neither text nor tokens nor an error nor a refusal")
    return Answered(answer.text, answer.tokens)


def _broken(message: str) -> _GoneError:
    return _GoneError(Failed("broken", message))


class _Process:
    """One running renderer. Its three pipes are served together, so that no side waits for the other."""

    def __init__(self, words: list[str]) -> None:
        try:
            # A group of its own, to end what a wrapper script started, too.
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"Cannot start the renderer {printable(words[0])}: {reason}; see --command."
            ) from None
        self._read = bytearray()
        self._errors = bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe, name in ((self._process.stdout, "out"), (self._process.stderr, "err")):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def exchange(self, request: bytes, limit_s: float) -> bytes:
        """Write one line and return the one line that comes back, without its newline.

        Raises _GoneError when no such line comes.
        """
        deadline = time.monotonic() + limit_s
        stdin = self._process.stdin
        assert stdin is not None
        self._drained()
        if self._read.strip():
            raise _broken(f"it wrote more after its answer to the line before: {_shown(self._read)}")
        left = memoryview(request)
        self._selector.register(stdin, selectors.EVENT_WRITE, "in")
        try:
            while True:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise _GoneError(Failed("time", self._why_late(limit_s)))
                for key, _ in self._selector.select(min(rest, 0.5)):
                    if key.data != "in":
                        self._receive(key.fileobj, key.data)
                    elif left:
                        left = self._write(stdin, left)
                if not left and stdin in self._selector.get_map():
                    self._selector.unregister(stdin)
                line = self._line()
                if line is not None:
                    self._drained()
                    if left:
                        raise _broken(f"it answered before it had read its line: {_shown(line)}")
                    if self._read.strip():
                        raise _broken(f"it wrote more than one line: {_shown(line)}")
                    return line
                if self._process.poll() is not None and not self._drained():
                    raise _GoneError(Failed("died", self._why_dead()), half=bool(self._read.strip()))
        finally:
            if stdin in self._selector.get_map():
                self._selector.unregister(stdin)

    def _line(self) -> bytes | None:
        """Take the first line that is not blank out of what was read."""
        while (end := self._read.find(b"\n")) >= 0:
            line = bytes(self._read[:end])
            del self._read[: end + 1]
            if line.strip():
                return line
        return None

    def _write(self, stdin: IO[bytes], left: memoryview) -> memoryview:
        try:
            return left[os.write(stdin.fileno(), left[:65536]) :]
        except BlockingIOError:
            return left
        except OSError:  # it closed its input: whether it still answers, and why it ended, the rest will show
            return left[len(left) :]

    def _receive(self, pipe: Any, name: str) -> int:
        try:
            data = os.read(pipe.fileno(), 65536)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(pipe)
            if name == "out" and not self._read.strip() and self._process.poll() is None:
                # It will never answer again, so nothing is lost by waiting a moment for its exit code.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.5)
                raise _GoneError(Failed("died", self._why_dead()), half=bool(self._read.strip()))
            return 0
        if name == "err":
            self._errors += data
            del self._errors[:-_TAIL]
        else:
            self._read += data
            if len(self._read) > MAX_BYTES:
                raise _GoneError(
                    Failed("output", f"it wrote more than {MAX_BYTES // 2**20} MB without ending its line")
                )
        return len(data)

    def _drained(self) -> bool:
        """Read what a dead process left in its pipes; return whether there was anything."""
        got = 0
        for key in list(self._selector.get_map().values()):
            if key.data in ("out", "err"):
                got += self._receive(key.fileobj, key.data)
        return got > 0

    def _why_late(self, limit_s: float) -> str:
        half = f" but half a line ({_shown(self._read)})" if self._read.strip() else ""
        return f"it wrote nothing{half} for {limit_s:g} s; does it flush its output after every line?"

    def _why_dead(self) -> str:
        code = self._process.poll()
        if code is None:
            how = "it closed its output"
        elif code < 0:
            how = f"it was ended by signal {-code} ({_signal_name(-code)})"
        else:
            how = f"it exited with code {code}"
        if self._read.strip():
            how += f" after half a line ({_shown(self._read)})"
        lines = [
            line for line in self._errors.decode("utf-8", "replace").splitlines() if line[:1] not in ("", " ")
        ]
        said = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "")
        return how + (f": {printable(said, 200)}" if said else "")

    def end(self) -> None:
        """Kill the process and its group, and close the pipes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _shown(data: bytes | bytearray) -> str:
    return printable(bytes(data[:200]).decode("utf-8", "replace"), 60)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
