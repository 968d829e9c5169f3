"""Code that got out of its engine: what can it reach?"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from conformance.engines import Engine, Outcome, Rendered, Request, SyntaxProblem


class EscapedEngine(Engine):
    name: ClassVar[str] = "escaped"

    def version(self) -> str:
        return "1"

    def compile_check(self, template: str) -> SyntaxProblem | None:
        return None

    def render(self, template: str, request: Request) -> Outcome:
        return Rendered(json.dumps(reached(json.loads(request.messages[0]["content"]))))


class EscapedStarter(EscapedEngine):
    """One that may start a program of its own, as the engine in node does."""

    name: ClassVar[str] = "escaped-starter"

    def programs(self) -> Sequence[str]:
        return [sys.executable]


def reached(aims: dict[str, str | int]) -> dict[str, str]:
    """Try every way out; return what came of each: "reached", or the error that stopped it."""
    found = {}
    for name, attempt in attempts(aims).items():
        try:
            attempt()
        except OSError as error:
            found[name] = type(error).__name__
        else:
            found[name] = "reached"
    return found


def attempts(aims: dict[str, str | int]) -> dict[str, Callable[[], object]]:
    """Return the ways out; `aims` names a folder of the user's, a port, a Unix socket and a process of theirs."""
    folder, port = Path(str(aims["folder"])), int(aims["port"])
    victim, unix = int(aims["process"]), str(aims["unix"])
    return {
        "read the password file": Path("/etc/passwd").read_bytes,
        "read a file of the user's": (folder / "read").read_bytes,
        "list a folder of the user's": lambda: os.listdir(folder),
        "read another process's environment": Path(f"/proc/{victim}/environ").read_bytes,
        "read another process's memory": lambda: os.close(os.open(f"/proc/{victim}/mem", os.O_RDONLY)),
        "read another process's memory by a system call": lambda: _read_memory(victim),
        "trace another process": lambda: _call("ptrace", 16, victim, 0, 0),  # PTRACE_ATTACH
        "signal another process": lambda: os.kill(victim, 0),
        "end another process": lambda: os.kill(victim, signal.SIGTERM),
        "write a file": lambda: (folder / "written").write_bytes(b""),
        "empty a file": lambda: (folder / "empty").open("w").close(),
        "truncate a file": lambda: os.truncate(folder / "truncate", 0),
        "rename a file": lambda: (folder / "rename").rename(folder / "renamed"),
        "delete a file": lambda: (folder / "delete").unlink(),
        "link a file": lambda: os.link(folder / "read", folder / "linked"),
        "change a file's mode": lambda: (folder / "read").chmod(0o777),
        "change a file's times": lambda: os.utime(folder / "read", (0, 0)),
        "connect to a port": lambda: socket.create_connection(("127.0.0.1", port), 5).close(),
        "connect to a Unix socket": lambda: _connect(unix),
        "listen on a port": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
            b"x", ("127.0.0.1", port)
        ),
        "fork": _fork,
        "start a program": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        "become a program": _execute,
        "make a user namespace": lambda: _call("unshare", 0x10000000),
    }


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def _read_memory(process: int) -> None:
    # Nothing is asked for: the call says whether it would be allowed.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(process, None, 0, None, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _execute() -> None:
    """Ask for a program that is not there: "not found" says that one which is there would have started."""
    try:
        os.execv("/proc/self/nothing", ["nothing"])
    except FileNotFoundError:
        return
