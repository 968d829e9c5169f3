"""Processes that take calls, each behind a pipe of its own: what becomes of one is no matter of another.

The executors of the standard library share queues and their locks among all processes: whoever is killed while it
holds one keeps the others from working, and from ending. Nothing here waits without end: a process that dies is
replaced and its call made again, so is one that gives no sign of life, and what does not end in time is killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from conformance.errors import UnjudgedError
from conformance.launch import close_to_others, when_parent_ends

T = TypeVar("T")

_BEAT_S = 1.0
_PATIENCE_S = 60.0  # without a sign of life; starting takes some seconds, also on a busy machine
_TRANSFER_S = 30  # for a message that has begun
_GRACE_S = 10.0  # for an idle process to end by itself; all that it found is here
_REPLACED = 3  # times that one call is made again
_BUFFER = 1 << 20
# To a process: there are no more calls. From it: it lives.
_NOTHING = b""

_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class _GoneError(Exception):
    """The process has ended, or gives no sign of life."""


class Processes(Executor):
    """An executor with `count` processes, which start with their first call after `begin(*arguments)` in each.

    A call whose process keeps ending raises UnjudgedError, as does one whose process cannot begin. `shutdown` ends the
    processes, `kill` does so at once.
    """

    def __init__(self, count: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()):
        self._begin: _Call | None = None if begin is None else (begin, arguments, {})
        self._count = count
        self._calls: queue.SimpleQueue[tuple[Future[Any], _Call] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._living: set[_Process] = set()
        self._starting = threading.Lock()
        self._over = threading.Event()
        # Before the interpreter waits for them.
        self._at_exit = Finalize(
            self, _kill_all, args=(self._starting, self._over, self._living), exitpriority=20
        )

    def submit(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Make a call in one of the processes."""
        if self._over.is_set():
            raise RuntimeError("the processes were ended")
        future: Future[T] = Future()
        self._calls.put((future, (function, arguments, named)))
        if len(self._threads) < self._count and not self._idle.acquire(blocking=False):
            thread = threading.Thread(target=self._attend, daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their calls are done, or cancel those that wait; one that does not end is killed."""
        if cancel_futures:
            self._cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()
            self._at_exit()

    def kill(self) -> None:
        """End the processes at once, whatever they do; calls that are not done are cancelled or raise."""
        self._cancel()
        self._at_exit()
        self.shutdown()

    def _cancel(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (waiting := self._calls.get_nowait()) is not None:
                    waiting[0].cancel()

    def _attend(self) -> None:
        """Make calls in one process after another, until there are no more."""
        process: _Process | None = None
        while (given := self._calls.get()) is not None:
            future, call = given
            if future.set_running_or_notify_cancel():
                for _ in range(1 + _REPLACED):
                    try:
                        process = process or self._start()
                        done, found = process.call(call)
                        break
                    except _GoneError:
                        if process is not None:
                            self._bury(process)
                            process = None
                    except Exception as error:  # the system has no more processes, or the call cannot be sent
                        done, found = False, error
                        break
                else:
                    done, found = False, UnjudgedError(self._lost())
                if done:
                    future.set_result(found)
                else:
                    future.set_exception(found)
            self._idle.release()
        if process is not None:
            process.end()
            self._bury(process)

    def _lost(self) -> str:
        if self._over.is_set():
            return "The processes that judge were ended."
        return f"The processes of --jobs {self._count} keep ending from outside; is there memory for so many?"

    def _start(self) -> _Process:
        with self._starting:
            if self._over.is_set():
                raise _GoneError
            process = _Process()
            self._living.add(process)
        try:
            if self._begin is not None:
                begun, error = process.call(self._begin)
                if not begun:
                    raise error
        except BaseException:
            self._bury(process)
            raise
        return process

    def _bury(self, process: _Process) -> None:
        process.kill()
        self._living.discard(process)


def _kill_all(starting: threading.Lock, over: threading.Event, living: set[_Process]) -> None:
    with starting:
        over.set()
    for process in list(living):
        process.kill()


class _Process:
    """One process, and this side of its pipe."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _TRANSFER_S, 0))
        self._pipe = Connection(ours.detach())
        with Connection(theirs.detach()) as given:
            self._process = multiprocessing.get_context("spawn").Process(
                target=_serve, args=(given, os.getpid()), daemon=True
            )
            self._process.start()

    def call(self, call: _Call) -> tuple[bool, Any]:
        """Return whether a call was done, and what it returned or raised; raises _GoneError without an answer."""
        order = ForkingPickler.dumps(call)
        silent = 0.0
        try:
            self._pipe.send_bytes(order)
            while silent < _PATIENCE_S:
                if not self._pipe.poll(_BEAT_S):
                    # Counted, not measured: this process may have been stopped itself.
                    silent += _BEAT_S
                elif answer := self._pipe.recv_bytes():
                    break
                else:
                    silent = 0.0
            else:
                raise _GoneError
        except (EOFError, OSError) as error:
            raise _GoneError from error
        found: tuple[bool, Any] = pickle.loads(answer)
        return found

    def end(self) -> None:
        """Let the process end by itself, if it does so in time."""
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(_NOTHING)
            self._process.join(_GRACE_S)

    def kill(self) -> None:
        """End the process at once, if it still runs."""
        self._process.kill()
        self._process.join(_GRACE_S)


def _serve(pipe: Connection, parent: int) -> None:
    """Be the process: make calls until there are no more, or until the one that started this is gone."""
    close_to_others()
    when_parent_ends(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # What is typed or hung up reaches the whole group; the parent decides what happens then.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    sending = threading.Lock()
    threading.Thread(target=_listen, args=(pipe, calls, sending), daemon=True).start()
    while call := calls.get():
        try:
            function, arguments, named = pickle.loads(call)
            answer = ForkingPickler.dumps((True, function(*arguments, **named)))
        except Exception as error:
            answer = _failed(error)
        with sending:
            pipe.send_bytes(answer)


def _failed(error: Exception) -> memoryview:
    """Return the answer of a call that raised; not every error can travel."""
    try:
        pickle.loads(answer := ForkingPickler.dumps((False, error)))
    except Exception:
        return ForkingPickler.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return answer


def _listen(pipe: Connection, calls: queue.SimpleQueue[bytes], sending: threading.Lock) -> None:
    """Take in calls while others are made, so that sending one never waits, and give signs of life."""
    try:
        while True:
            if pipe.poll(_BEAT_S):
                calls.put(call := pipe.recv_bytes())
                if not call:
                    return
            elif sending.acquire(blocking=False):
                try:
                    if select.select([], [pipe], [], 0)[1]:
                        pipe.send_bytes(_NOTHING)
                finally:
                    sending.release()
    except (EOFError, OSError):  # the parent is gone
        os._exit(1)
