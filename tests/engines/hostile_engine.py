"""An engine that does what the first message tells it; its class is registered, as a program would do it."""

import ctypes
import json
import os
import select
import signal
import socket
import stat
import time
from pathlib import Path
from typing import ClassVar

from conformance.engines import Crashed, Engine, Outcome, Rejected, Rendered, Request, SyntaxProblem
from conformance.errors import UnjudgedError


class HostileEngine(Engine):
    name: ClassVar[str] = "hostile"

    def version(self) -> str:
        return "666"

    def load(self) -> None:
        # All sessions share the one byte: the first to take it dies.
        self._deaths, giver = os.pipe()
        os.write(giver, b"x")

    def compile_check(self, template: str) -> SyntaxProblem | None:
        if template == "hang":
            spin()
        return SyntaxProblem("bad", 3) if template == "bad" else None

    def render(self, template: str, request: Request) -> Outcome:
        order, _, argument = request.messages[0]["content"].partition(":")
        match order:
            case "ok":
                return Rendered(argument)
            case "echo":
                return Rendered(json.dumps([template, request.messages, request.tools, request.kwargs]))
            case "reject":
                return Rejected(argument, 2)
            case "raise":
                raise KeyError(argument)
            case "hang":
                spin()
            case "stubborn":  # the first alarm is swallowed, as a finaliser would
                try:
                    spin()
                except BaseException:
                    spin()
            case "idle":  # no alarm, no processor time: as one that was stopped
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
                time.sleep(600)
            case "deaf":  # no alarm arrives, as in a long call of C code
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
                spin()
            case "memory":
                return Rendered("a" * (1 << 36))
            case "exit":
                os._exit(7)
            case "segfault":
                ctypes.string_at(0)
            case "garbage":
                channel().sendall(b"\xff" * 64)
                time.sleep(60)
            case "forged":  # a well-formed frame with a reply that is none
                channel().sendall(b'\x04\x0f\x00\x00\x00{"type":"owned"')
                time.sleep(60)
            case "endless":  # announces a frame of 4 GB
                channel().sendall(b"\x04\xff\xff\xff\xff")
                time.sleep(60)
            case "wrong":
                return SyntaxProblem("not an outcome", None)  # type: ignore[return-value]
            case "print":
                print("x" * 100_000, flush=True)
                os.write(2, b"y" * 100_000)
                return Rendered("printed")
            case "die-once":
                if select.select([self._deaths], [], [], 0)[0]:
                    os.read(self._deaths, 1)
                    os._exit(9)
                return Rendered("alive")
            case "stop-once":
                if select.select([self._deaths], [], [], 0)[0]:
                    os.read(self._deaths, 1)
                    os.kill(os.getpid(), signal.SIGSTOP)
                return Rendered("alive")
            case "sleep":  # as on a machine that does something else
                time.sleep(float(argument))
                return Rendered("awake")
            case "freeze-once":  # as when the machine stops for a moment
                if select.select([self._deaths], [], [], 0)[0]:
                    os.read(self._deaths, 1)
                    spin()
                return Rendered("thawed")
            case "world":
                return Rendered(json.dumps([dict(os.environ), time.tzname[0], os.getsid(0)]))
            case "write":
                Path(argument).write_text("stolen")
            case "open":
                handles = [open(os.devnull) for _ in range(100)]  # noqa: SIM115
                return Rendered(str(len(handles)))
        return Crashed("ValueError", order, None)


class NeverLoads(HostileEngine):
    name: ClassVar[str] = "never-loads"

    def load(self) -> None:
        time.sleep(60)


class BreaksOnLoad(HostileEngine):
    name: ClassVar[str] = "breaks-on-load"

    def load(self) -> None:
        raise RuntimeError("no luck")


class NotUnderstood(HostileEngine):
    name: ClassVar[str] = "not-understood"

    def load(self) -> None:
        raise UnjudgedError("The engine hostile is too old; upgrade it.")


class NotInstalled(HostileEngine):
    name: ClassVar[str] = "not-installed"

    def available(self) -> str | None:
        return "it is not installed: pip install hostility"


def spin() -> None:
    while True:
        pass


def channel() -> socket.socket:
    """Find the socket to the parent, as an escaped template could."""
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return socket.socket(fileno=descriptor)
        except OSError:
            continue
    raise RuntimeError("no socket")
