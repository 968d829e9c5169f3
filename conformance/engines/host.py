"""Where the parent hands requests to a worker and gets outcomes back, in order and without losing one."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from types import TracebackType
from typing import Protocol, Self

import msgspec

from conformance.bounds import charge
from conformance.engines import wire
from conformance.engines.base import (
    Engine,
    LimitExceeded,
    Limits,
    Outcome,
    Request,
    SyntaxProblem,
    engine_names,
    get_engine,
)
from conformance.engines.sandbox import WorkerGoneError, WorkerProcess, prepared
from conformance.errors import UnjudgedError, UsageError

_CHUNK = 16
# The session's own alarm comes first, which knows better what it was.
_LATER_S = 2.0
_NEW_WORKERS = 3
# A machine that froze for a moment looks like a slow template: what ran out of time is tried again, until so many
# cases of the template ran out of it twice.
_BELIEVED_AFTER = 3


class Ticket:
    """Requests that were handed in together; `done` when all of their outcomes are there."""

    __slots__ = ("_outcomes", "_remaining")

    def __init__(self, count: int) -> None:
        self._outcomes: list[wire.Reply | None] = [None] * count
        self._remaining = count

    @property
    def done(self) -> bool:
        """Whether every outcome is there."""
        return self._remaining == 0

    def settle(self, position: int, outcome: wire.Reply) -> None:
        """Put in the outcome of one request."""
        self._outcomes[position] = outcome
        self._remaining -= 1

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes in the order of the requests; only when done."""
        return [outcome for outcome in self._outcomes if isinstance(outcome, Outcome)]

    def answer(self) -> wire.Reply | None:
        """Return the reply to a ticket of one."""
        return self._outcomes[0]


class Host(Protocol):
    """What makes prompts for a campaign: an engine in a worker or in this process, a server, a renderer.

    `loses` says of a request what this host cannot express (see `Engine.loses`); None where it can express all.
    Servers and renderers have no use for the text of a template.
    """

    @property
    def loses(self) -> Callable[[Request], str | None] | None: ...  # noqa: D102
    def version(self) -> str: ...  # noqa: D102
    def compile_check(self, template: str) -> SyntaxProblem | None: ...  # noqa: D102
    def render_many(self, template: str, requests: Iterable[Request]) -> Iterator[Outcome]: ...  # noqa: D102
    def submit(self, template: str, requests: Sequence[Request]) -> Ticket: ...  # noqa: D102
    def collect(self, ticket: Ticket) -> list[Outcome]: ...  # noqa: D102


def losses(engine: Engine) -> Callable[[Request], str | None] | None:
    """Return what says which requests an engine cannot express, or None where it can express all."""
    return None if type(engine).loses is Engine.loses else engine.loses


class _Slot:
    """A request on its way: its frame is kept until the outcome is there, so that it can be sent again."""

    __slots__ = ("deaths", "frame", "late", "orphaned", "position", "template", "ticket")

    def __init__(self, frame: bytes, template: int, ticket: Ticket, position: int) -> None:
        self.frame = frame
        self.template = template
        self.ticket = ticket
        self.position = position
        self.deaths = 0
        self.orphaned = 0
        self.late = False


class EngineHost:
    """Runs one engine in a worker process; a context manager.

    The worker starts to load on entry and is waited for at the first result. A case that exceeds a limit or
    kills its worker costs its own case: the session is replaced and everything behind it is sent again. A
    session that died by itself or ran out of time gets a second chance with the same case first, so that no
    case is blamed for what came from outside. Not safe for use from several threads.
    """

    def __init__(
        self,
        engine: str | type[Engine],
        *,
        limits: Limits | None = None,
        window: int = 128,
        relatives: Iterable[Host] = (),
    ) -> None:
        """Prepare a host for an engine, by name or as its class.

        `window` is how many requests `render_many` keeps on their way. The worker is forked from a loaded one of the
        `relatives` whose engine is a base of this one, which saves to load the program again.

        Raises UsageError when there is no such engine.
        """
        if isinstance(engine, str) and engine not in engine_names():
            raise UsageError(f"There is no engine {engine!r}; choose from {', '.join(engine_names())}.")
        self._given = engine
        self.engine = engine if isinstance(engine, str) else engine.name
        self.limits = limits or Limits()
        self._window = window
        self._relatives = [
            host for host in relatives if isinstance(host, EngineHost) and host._is_base_of(engine)
        ]
        self._process: WorkerProcess | None = None
        self._session: socket.socket | None = None
        self._reader = wire.FrameReader()
        self._out = bytearray()
        self._waiting: deque[_Slot] = deque()
        self._templates: dict[str, int] = {}
        self._template_frames: list[bytes] = []
        self._sent: set[int] = set()
        self._twice_late: Counter[int] = Counter()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def loses(self) -> Callable[[Request], str | None] | None:
        """What the engine cannot express, asked in this process."""
        return losses(get_engine(self.engine))

    def start(self) -> None:
        """Begin to load the engine without waiting for it."""
        if self._process is None:
            self._process = (
                self._forked()
                or prepared(self._given, self.limits)
                or WorkerProcess(self._given, self.limits)
            )

    def _is_base_of(self, engine: str | type[Engine]) -> bool:
        own, other = (
            given if isinstance(given, type) else type(get_engine(given)) for given in (self._given, engine)
        )
        return issubclass(other, own)

    def _forked(self) -> WorkerProcess | None:
        """Return a worker that one of the relatives' made; None where none of them is loaded.

        It is asked once: what keeps ending can tell why only from a process of its own.
        """
        relatives, self._relatives = self._relatives, []
        for host in relatives:
            if host._process is not None and host._process.version is not None:
                with contextlib.suppress(WorkerGoneError):
                    return WorkerProcess(self._given, self.limits, host._process)
        return None

    def close(self) -> None:
        """End the worker; requests still on their way get no outcome, and the next request starts another."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._process is not None:
            self._process.close()
            self._process = None
        self._waiting.clear()
        self._out.clear()

    def version(self) -> str:
        """Return the version of the program that renders, as the worker found it.

        Raises UnjudgedError when the engine cannot be loaded.
        """
        for _ in range(_NEW_WORKERS - 1):
            try:
                return self._worker().wait_ready()
            except WorkerGoneError:
                self._worker().close()
                self._process = None
        try:
            return self._worker().wait_ready()
        except WorkerGoneError as error:
            raise UnjudgedError(f"The worker of the engine {self.engine} keeps ending: {error}.") from None

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps the engine from compiling the template, or None."""
        ticket = Ticket(1)
        identifier = self._template(template)
        self._hand_in(_Slot(self._frame(wire.COMPILE, identifier), identifier, ticket, 0))
        self._finish(ticket)
        reply = ticket.answer()
        if isinstance(reply, LimitExceeded):
            return SyntaxProblem(f"compiling it was ended: {reply.message}", None, ended=True)
        return reply if isinstance(reply, SyntaxProblem) else None

    def render(self, template: str, request: Request) -> Outcome:
        """Return the outcome of one request."""
        return self.collect(self.submit(template, [request]))[0]

    def render_many(self, template: str, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Yield the outcomes in order; takes requests as they are needed to keep the worker busy."""
        source = iter(requests)
        tickets: deque[Ticket] = deque()
        more = True
        while more or tickets:
            while more and len(tickets) * _CHUNK < self._window:
                chunk = list(islice(source, _CHUNK))
                more = len(chunk) == _CHUNK
                if chunk:
                    tickets.append(self.submit(template, chunk))
            if tickets:
                for position, outcome in enumerate(self.collect(tickets.popleft())):
                    # The consumer works between outcomes: keep the pipes moving, at a bearable price.
                    if position % 4 == 0:
                        self._exchange()
                    yield outcome

    def submit(self, template: str, requests: Sequence[Request]) -> Ticket:
        """Hand in requests without waiting; they are rendered in the order in which they were handed in.

        Raises ValueError when a request holds text that UTF-8 cannot carry.
        """
        identifier = self._template(template)
        ticket = Ticket(len(requests))
        frames = [self._frame(wire.RENDER, identifier, wire.encode(request)) for request in requests]
        for position, frame in enumerate(frames):
            self._hand_in(_Slot(frame, identifier, ticket, position))
        self._exchange()
        return ticket

    def collect(self, ticket: Ticket) -> list[Outcome]:
        """Wait for the outcomes of a ticket and return them in order.

        Raises UnjudgedError when the engine cannot be loaded, or its worker keeps ending before any case.
        """
        self._finish(ticket)
        return ticket.outcomes()

    # Handing in

    def _template(self, template: str) -> int:
        identifier = self._templates.setdefault(template, len(self._templates))
        if identifier == len(self._template_frames):
            self._template_frames.append(self._frame(wire.TEMPLATE, identifier, template.encode()))
        return identifier

    @staticmethod
    def _frame(kind: int, template: int, body: bytes = b"") -> bytes:
        return wire.frame(kind, wire.TEMPLATE_ID.pack(template), body)

    def _hand_in(self, slot: _Slot) -> None:
        self._waiting.append(slot)
        if self._session is not None:
            self._queue(slot)

    def _queue(self, slot: _Slot) -> None:
        if slot.template not in self._sent:
            self._sent.add(slot.template)
            self._out += self._template_frames[slot.template]
        self._out += slot.frame

    # Waiting

    def _finish(self, ticket: Ticket) -> None:
        patience = self.limits.hang_s + _LATER_S
        while not ticket.done:
            if self._session is None:
                self._open_session()
            before, session = len(self._waiting), self._session
            deadline = time.monotonic() + patience
            while len(self._waiting) == before and self._session is session:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._lose(LimitExceeded("time", f"it gave no answer for {patience:g} s and was killed"))
                else:
                    self._wait(left)
                    self._exchange()

    def _wait(self, seconds: float) -> None:
        assert self._session is not None
        poll = select.poll()
        poll.register(self._session, select.POLLIN | (select.POLLOUT if self._out else 0))
        poll.poll(seconds * 1000)

    def _exchange(self) -> None:
        """Send and receive what can be without waiting."""
        session = self._session
        if session is None:
            return
        try:
            if self._out:
                del self._out[: session.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            pass  # the session has ended; what it still said is read first
        try:
            data = session.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(None)
            return
        try:
            for kind, payload in self._reader.feed(data):
                if not self._receive(kind, payload):
                    return
        except (wire.MalformedFrameError, msgspec.MsgspecError, UnicodeDecodeError):
            self._lose(None, "it sent something that is no outcome")

    def _receive(self, kind: int, payload: bytes) -> bool:
        """Settle the oldest request; False when the session was replaced and nothing more comes from it.

        Raises MalformedFrameError when the reply does not fit the request.
        """
        if len(payload) < wire.SPENT.size:
            raise wire.MalformedFrameError("a reply that is too short")
        charge(wire.SPENT.unpack_from(payload)[0])
        reply = wire.decode_reply(memoryview(payload)[wire.SPENT.size :])
        if kind != wire.REPLY or not self._waiting:
            raise wire.MalformedFrameError("a reply that nobody asked for")
        slot = self._waiting[0]
        asked_to_compile = slot.frame[0] == wire.COMPILE
        fits = (
            isinstance(reply, SyntaxProblem | wire.Compiles)
            if asked_to_compile
            else isinstance(reply, Outcome)
        )
        if not fits and not isinstance(reply, LimitExceeded):
            raise wire.MalformedFrameError("a reply of the wrong kind")
        if isinstance(reply, LimitExceeded) and self._again(slot, reply):
            return False
        self._waiting.popleft()
        slot.ticket.settle(slot.position, reply)
        if isinstance(reply, LimitExceeded) and reply.limit != "output":
            # Its memory may be fragmented, its state half-written: the next case gets a fresh one.
            self._drop_session()
            self._resume()
            return False
        return True

    def _again(self, slot: _Slot, reply: LimitExceeded) -> bool:
        """Send a request that ran out of time for the first time to a fresh session; say whether that was done."""
        if reply.limit != "time":
            return False
        if slot.late or self._twice_late[slot.template] >= _BELIEVED_AFTER:
            self._twice_late[slot.template] += slot.late
            return False
        slot.late = True
        self._drop_session()
        self._resume()
        return True

    # Sessions

    def _worker(self) -> WorkerProcess:
        self.start()
        assert self._process is not None
        return self._process

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open_session(self) -> None:
        """Start a session and send it everything that waits."""
        for _ in range(_NEW_WORKERS):
            try:
                self._session = self._worker().open_session()
            except WorkerGoneError as error:
                reason = str(error)
                self._worker().close()
                self._process = None
            else:
                break
        else:
            raise UnjudgedError(f"The worker of the engine {self.engine} keeps ending: {reason}.")
        # JSON escapes a control character with six bytes, and the outcome's own keys need a few.
        self._reader = wire.FrameReader(limit=6 * self.limits.output_chars + (1 << 16))
        self._out = bytearray()
        self._sent = set()
        for slot in self._waiting:
            self._queue(slot)

    def _resume(self) -> None:
        if self._waiting:
            self._open_session()

    def _lose(self, blame: LimitExceeded | None, why: str | None = None) -> None:
        """Replace a session that ended or has to end; `blame` settles the oldest request."""
        self._drop_session()
        limits = self.limits
        orphaned = False
        try:
            status = self._worker().end_session()
        except WorkerGoneError as error:
            # The worker sees no template: who ended it came from outside, unless that goes on with one case.
            orphaned = True
            ended = f"its worker ended: {error}"
        else:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            ended = f"its worker ended with {how}"
            if blame is None and status == -signal.SIGXCPU:
                most = limits.time_s + limits.grace_s
                charge(most)
                blame = LimitExceeded("time", f"it did not stop within {most:g} s and was killed")
        if self._waiting:
            slot = self._waiting[0]
            slot.deaths += not orphaned
            slot.orphaned += orphaned
            if blame is None and (slot.deaths > 1 or slot.orphaned > _NEW_WORKERS):
                blame = LimitExceeded("worker-died", why or ended)
            if blame is not None and self._again(slot, blame):
                return
            if blame is not None:
                self._waiting.popleft()
                slot.ticket.settle(slot.position, blame)
        self._resume()
