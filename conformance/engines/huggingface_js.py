"""The engine `huggingface-js`: the npm package @huggingface/jinja in node, as transformers.js and LM Studio use it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from conformance.engines.base import (
    Crashed,
    Engine,
    LimitExceeded,
    Limits,
    Outcome,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    cut_by_caller,
    register,
)
from conformance.engines.javascript_values import losses
from conformance.engines.jinja_common import SPECIAL_TOKENS
from conformance.engines.npm_package import NpmPackage
from conformance.errors import UnjudgedError

PACKAGE = NpmPackage(
    name="@huggingface/jinja",
    version="0.5.11",
    integrity="sha512-YzEzwM5oQf4r0vs7ifWQ+yuVR1YkAHrjERQ+a8WRsStHHp4NRBg+NesjiFc+X2AFUpRvvrIeHDS1xFy9jY/IjQ==",
    member="package/dist/index.js",
    sha256="c8871915dfa68f976c11540c33fc9341c0810ebe29adb7027b8d51f2a8044936",
)
# Of February 2026, as LM Studio shipped it: without the test `sequence`, for one.
OLD_PACKAGE = NpmPackage(
    name="@huggingface/jinja",
    version="0.5.5",
    integrity="sha512-xRlzazC+QZwr6z4ixEqYHo9fgwhTZ3xNSdljlKfUFGZSdlvt166DljRELFUfFytlYOYvo3vTisA/AFOuOAzFQQ==",
    member="package/dist/index.js",
    sha256="6b1fd9d6250602b894228b5f5a0827f57cd9f771bfef7617ea4afba8f2bac968",
)

_DRIVER = Path(__file__).with_suffix(".mjs")
_OLDEST_NODE = 18
_HEAP_MIB = Limits().memory_bytes >> 20
# What V8 says before it ends the process.
_OUT_OF_MEMORY = ("heap out of memory", "invalid size error")
_PR_SET_PDEATHSIG = 1


@register
class HuggingFaceJsEngine(Engine):
    """Hands messages, tools and keywords to the package as transformers.js' `apply_chat_template` does.

    That is: absent tools and documents are null, the special tokens are variables, every other absent key is
    absent. Node runs without access to files, without `eval`, and with a heap as large as the memory limit; it
    dies with its session.
    """

    name: ClassVar[str] = "huggingface-js"
    shapes: ClassVar[tuple[str, ...]] = ("lm-studio",)
    own_memory_limit: ClassVar[bool] = True
    package: ClassVar[NpmPackage] = PACKAGE

    def __init__(self) -> None:
        self._command: list[str] = []
        self._greeting = b""
        self._node: _Node | None = None
        self._spent = 0.0  # by node processes that have ended

    def version(self) -> str:
        """Return the version of the package."""
        return self.package.version

    def available(self) -> str | None:
        """Return what is missing, node or the package, and how to get it."""
        if shutil.which("node") is None:
            return "node is not installed: install Node.js 18 or newer"
        if self.package.read() is None:
            return f"{self.package.name} is not fetched: conformance engines fetch {self.name}"
        return None

    def fetch(self) -> bool:
        """Fetch the package through the user's npm; return False when it was here already.

        Raises UsageError saying why it cannot be had.
        """
        return self.package.fetch()

    def loses(self, request: Request) -> str | None:
        """Return what of the arguments and defaults of a request JavaScript cannot carry, or None."""
        return cut_by_caller(request) or next(losses(request), None)

    def programs(self) -> Sequence[str]:
        """Return node's path."""
        return [os.path.realpath(self._command[0])]

    def load(self) -> None:
        """Check node and the package, and that both do as they should.

        Raises UnjudgedError when node is too old, or the package is missing or altered.
        """
        source = self.package.read()
        if source is None:
            raise UnjudgedError(
                f"The engine {self.name} cannot be used: {self.package.path()} is missing or altered; "
                f"run `conformance engines fetch {self.name}`."
            )
        self._command = _node_command()
        start = {"package": source.decode(), "special_tokens": SPECIAL_TOKENS}
        self._greeting = msgspec.json.encode(start) + b"\n"
        probe = Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29")
        answer = self.render("{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}", probe)
        self._close()
        if answer != Rendered("2024-02-29 x"):
            raise UnjudgedError(
                f"The engine {self.name} does not work in this node (a probe gave {answer}); install another "
                "version of Node.js."
            )

    def open(self) -> None:
        """Start node; a session has its own."""
        self._node = _Node(self._command, self._greeting)

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps the package from parsing the template, or None; it never knows the line."""
        reply = self._ask({"source": template})
        if isinstance(reply, LimitExceeded):
            return SyntaxProblem(f"compiling it was ended: {reply.message}", None)
        if (failure := reply.get("failed")) is None:
            return None
        kind, message = failure["kind"], failure["message"]
        return SyntaxProblem(message if kind == "SyntaxError" else f"{kind}: {message}", None)

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request; the package never knows the line of an error."""
        clock = int(request.moment.replace(tzinfo=UTC).timestamp() * 1000)
        reply = self._ask({"source": template, "request": request, "clock": clock})
        if isinstance(reply, LimitExceeded):
            return reply
        if "rendered" in reply:
            return Rendered(reply["rendered"])
        if "rejected" in reply:
            return Rejected(reply["rejected"]["message"], None)
        if "failed" in reply:
            return Crashed(reply["failed"]["kind"], reply["failed"]["message"], None)
        if "too_long" in reply:
            return LimitExceeded("output", f"it wrote more than {reply['too_long']} characters")
        return LimitExceeded("time", f"it ran longer than {reply['too_slow']} s")

    def _ask(self, order: dict[str, Any]) -> dict[str, Any] | LimitExceeded:
        """Return node's reply; a node that dies gets a second chance, as a session does."""
        for _ in range(2):
            if self._node is None:
                self.open()
            assert self._node is not None
            try:
                return self._node.ask(order)
            except _NodeDiedError as death:
                limit = death.limit
            finally:
                # A reply that was not read would answer the next order.
                if not self._node.idle:
                    self._close()
            if limit.limit == "memory":
                break
        return limit

    def cost(self) -> float:
        """Return what this session and its node processes spent."""
        return super().cost() + self._spent + (0.0 if self._node is None else self._node.cost())

    def _close(self) -> None:
        if self._node is not None:
            self._spent += self._node.cost()
            self._node.close()
            self._node = None


@register
class OldHuggingFaceJsEngine(HuggingFaceJsEngine):
    """The same in an older version of the package: programs keep one for months after the next is out."""

    name: ClassVar[str] = "huggingface-js-0.5.5"
    package: ClassVar[NpmPackage] = OLD_PACKAGE


class _NodeDiedError(Exception):
    def __init__(self, limit: LimitExceeded) -> None:
        super().__init__(limit.message)
        self.limit = limit


class _Node:
    """A node process that answers orders, one at a time; `idle` is false from an order to its reply."""

    def __init__(self, command: list[str], greeting: bytes) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Month names are those of the locale; the system's settings of OpenSSL lie outside the session's walls.
            env={"TZ": "UTC", "LC_ALL": "en_US.UTF-8", "OPENSSL_CONF": os.devnull},
            preexec_fn=_confine(),
        )
        self._clock = _clock_of(self._process.pid)
        self._begin = time.monotonic()
        self._spent = 0.0
        self._received = bytearray()
        self.idle = False
        try:
            self._exchange(greeting)
        except BaseException as error:
            self.close()
            if isinstance(error, _NodeDiedError):
                raise UnjudgedError(f"node does not start: {error}.") from None
            raise
        self.idle = True

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Return the reply to an order; raises _NodeDiedError when there is none."""
        self.idle = False
        # Not msgspec: a template can write half of a surrogate pair, which only Python's json reads.
        reply: dict[str, Any] = json.loads(self._exchange(msgspec.json.encode(order) + b"\n"))
        self.idle = True
        return reply

    def cost(self) -> float:
        """Return the processor time that node has spent; where the system does not tell, all time that passes."""
        if self._clock is None:
            return time.monotonic() - self._begin
        with contextlib.suppress(OSError):  # it has ended
            self._spent = time.clock_gettime(self._clock)
        return self._spent

    def close(self) -> None:
        """End node and bury it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                # An order that was never read waits in the buffer of standard input.
                with contextlib.suppress(OSError):
                    stream.close()

    def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        while not self._received.endswith(b"\n"):
            data = os.read(self._process.stdout.fileno(), 1 << 18)
            if not data:
                raise self._death()
            self._received += data
        reply = bytes(self._received)
        self._received.clear()
        return reply

    def _death(self) -> _NodeDiedError:
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode(errors="replace")
        status = self._process.wait()
        if any(words in said for words in _OUT_OF_MEMORY):
            return _NodeDiedError(LimitExceeded("memory", f"it needed more than {_HEAP_MIB} MiB of memory"))
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        return _NodeDiedError(LimitExceeded("worker-died", f"node ended with {how}"))


def _clock_of(pid: int) -> int | None:
    """Return the clock of another process's processor time, or None on a system that has none."""
    clock = ctypes.c_int()
    with contextlib.suppress(AttributeError):
        if ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)) == 0:
            return clock.value
    return None


def _node_command() -> list[str]:
    """Return how to start node: without eval, and from version 20 on without files and child processes."""
    node = shutil.which("node")
    if node is None:
        raise UnjudgedError("node is not installed; install Node.js 18 or newer.")
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnjudgedError(f"node cannot be started: {error}.") from None
    found = re.match(r"v(\d+)\.(\d+)\.", done.stdout)
    if found is None or int(found[1]) < _OLDEST_NODE:
        raise UnjudgedError(f"node is {done.stdout.strip() or 'broken'}; install Node.js 18 or newer.")
    version = int(found[1]), int(found[2])
    permission = []
    if version >= (23, 5) or (22, 13) <= version < (23, 0):
        permission = ["--permission"]
    elif version >= (20, 0):
        permission = ["--experimental-permission"]
    return [
        *(os.path.realpath(node), *permission, "--no-warnings", "--no-addons", "--disable-proto=delete"),
        *("--disallow-code-generation-from-strings", f"--max-old-space-size={_HEAP_MIB}"),
        *("--input-type=module", "--eval", _DRIVER.read_text(encoding="utf-8")),
    ]


def _confine() -> Callable[[], None]:
    """Return what node does before it is node: no core dumps, no files, and on Linux death with its parent.

    Elsewhere a node whose session was killed ends when it next reads, or when its rendering takes too long.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    return confine
