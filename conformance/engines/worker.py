"""The child's main: loads one engine, then forks a session whenever the parent asks for one.

A session renders; this process never sees a template. So a session that a template killed, blocked or filled
is replaced in milliseconds, without importing anything again, and by one that no template has touched.

Standard input is the control socket. The parent orders a session by sending its socket, or the end of one;
either way the session before is killed first and its exit status sent back. It may also order another worker, for a
relative of the engine: that is a fork too, with a control socket of its own, and need not load the program again. When
the parent is gone, the worker ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback

import msgspec

from conformance.engines import wire
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
    get_engine,
    load_class,
)
from conformance.engines.confinement import Guard, confine
from conformance.engines.jinja_common import describe
from conformance.errors import EXIT_UNJUDGED, ConformanceError, UnjudgedError
from conformance.launch import when_parent_ends

# Messages may quote a whole conversation; a report needs no more than this.
_MESSAGE_CHARS = 2000


def main(arguments: list[str]) -> int:
    """Be the worker that the argument, a `wire.Task` as JSON, asks for."""
    when_parent_ends(signal.SIGCONT)  # one that was stopped has to see that the socket is closed
    control = socket.socket(fileno=os.dup(0))
    # A template that finds a way to read or print must not reach the control socket.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return _main(wire.decode_task(arguments[0]), control)


def _main(task: wire.Task, control: socket.socket) -> int:
    """Work in a folder of its own, with nothing in it; return the exit code."""
    os.environ["HOME"] = task.folder
    os.mkdir(task.folder, 0o700)
    try:
        os.chdir(task.folder)
        return _work(task, control)
    except ConnectionError:  # the parent is gone
        return 0
    finally:
        # The parent does so too, unless somebody killed it.
        with contextlib.suppress(OSError):
            os.rmdir(task.folder)


def _work(task: wire.Task, control: socket.socket) -> int:
    """Load the engine and serve it until the parent is gone; return the exit code."""
    try:
        engine = load_class(task.place) if task.place else get_engine(task.engine)
        if (reason := engine.available()) is not None:
            raise UnjudgedError(f"The engine {task.engine} cannot be used: {reason}.")
        engine.load()
    except ConformanceError as error:
        control.sendall(wire.frame(wire.REPLY, wire.encode(wire.NotReady(str(error)))))
        return EXIT_UNJUDGED
    gc.collect()
    gc.freeze()  # sessions share what is loaded; their collector need not walk it
    control.sendall(wire.frame(wire.REPLY, wire.encode(wire.Ready(engine.version()))))
    _serve(control, engine, task.limits)
    return 0


def _serve(control: socket.socket, engine: Engine, limits: Limits) -> None:
    session: int | None = None
    siblings: list[int] = []
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        siblings = [each for each in siblings if os.waitpid(each, os.WNOHANG) == (0, 0)]
        if order == wire.SIBLING:
            sibling = os.fork()
            if sibling == 0:
                _be_sibling(control, descriptors[0])
            siblings.append(sibling)
            os.close(descriptors[0])
            control.sendall(wire.EXIT_STATUS.pack(sibling))
            continue
        status = _end(session)
        session = None
        if not order:
            return
        control.sendall(wire.EXIT_STATUS.pack(status))
        if order == wire.END:
            continue
        session = os.fork()
        if session == 0:
            _run_session(control, descriptors[0], engine, limits)
        os.close(descriptors[0])


def _end(session: int | None) -> int:
    """Kill a session if it still runs; return its exit code (negative: the signal), 0 when there was none."""
    if session is None:
        return 0
    os.kill(session, signal.SIGKILL)  # a no-op for one that has ended: it is a zombie until waited for
    _, status = os.waitpid(session, 0)
    return os.waitstatus_to_exitcode(status)


def _be_sibling(parents: socket.socket, descriptor: int) -> None:
    """Be another worker, in a process group of its own; never returns."""
    code = 1
    try:
        os.setsid()
        when_parent_ends(signal.SIGCONT)
        parents.close()
        control = socket.socket(fileno=descriptor)
        reader, frames = wire.FrameReader(), list[tuple[int, bytes]]()
        while not frames:
            if not (data := control.recv(1 << 16)):
                raise ConnectionError("the parent is gone")
            frames += reader.feed(data)
        code = _main(wire.decode_task(frames[0][1]), control)
    except ConnectionError:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run_session(control: socket.socket, descriptor: int, engine: Engine, limits: Limits) -> None:
    """Be the session; never returns, or there would be two workers on one control socket."""
    code = 1
    try:
        when_parent_ends(signal.SIGKILL)
        control.close()
        confine(engine)
        engine.open()
        guard = Guard(
            limits,
            own_memory_limit=engine.own_memory_limit,
            cost=engine.cost,
            programs=bool(engine.programs()),
        )
        Session(engine, guard, limits).run(socket.socket(fileno=descriptor))
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the parent has lost interest
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class Session:
    """Answers frames in order, one reply a request."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits) -> None:
        self._engine = engine
        self._guard = guard
        self._limits = limits
        self._templates: dict[int, str] = {}

    def run(self, channel: socket.socket) -> None:
        """Serve until the parent closes the channel."""
        reader = wire.FrameReader()
        spent = self._engine.cost()
        while data := channel.recv(1 << 17):
            for kind, payload in reader.feed(data):
                identifier = wire.TEMPLATE_ID.unpack_from(payload)[0]
                body = payload[wire.TEMPLATE_ID.size :]
                if kind == wire.TEMPLATE:
                    self._templates[identifier] = body.decode()
                else:
                    reply = self._answer(kind, self._templates[identifier], body)
                    before, spent = spent, self._engine.cost()
                    channel.sendall(wire.frame(wire.REPLY, wire.SPENT.pack(spent - before), reply))

    def _answer(self, kind: int, template: str, body: bytes) -> bytes:
        outcome: wire.Reply
        if kind == wire.COMPILE:
            outcome = self._guard.run(lambda: self._engine.compile_check(template) or wire.Compiles())
        else:
            request = wire.decode_request(body)
            outcome = self._guard.run(lambda: render(self._engine, template, request))
        try:
            return wire.encode(presentable(outcome, self._limits))
        except MemoryError:
            return wire.encode(self._guard.out_of_memory())


def render(engine: Engine, template: str, request: Request) -> Outcome:
    """Return the outcome of one request, also when the engine itself raises.

    Raises MemoryError, which is a matter of limits.
    """
    try:
        return engine.render(template, request)
    except MemoryError:
        raise
    except Exception as error:
        return Crashed(type(error).__name__, describe(error), None)


def presentable(outcome: wire.Reply, limits: Limits) -> wire.Reply:
    """Return an outcome that can be sent and reported: bounded, and text that UTF-8 can carry."""
    if isinstance(outcome, Rendered):
        if len(outcome.text) > limits.output_chars:
            return LimitExceeded("output", f"it wrote more than {limits.output_chars} characters")
        try:
            outcome.text.encode()
        except UnicodeEncodeError as error:
            # No tokenizer takes such text either: the program that renders fails one step later.
            return Crashed("UnicodeEncodeError", f"the text cannot be encoded: {error}", None)
    elif isinstance(outcome, (Rejected, Crashed, LimitExceeded, SyntaxProblem)):
        message = outcome.message[:_MESSAGE_CHARS].encode(errors="backslashreplace").decode()
        if message != outcome.message:
            return msgspec.structs.replace(outcome, message=message)
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
