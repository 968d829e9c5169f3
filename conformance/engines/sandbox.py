"""The parent's end of a worker process: a scrubbed environment, a control socket, sessions."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import conformance
from conformance.engines import npm_package, wire
from conformance.engines.base import Engine, Limits, class_path
from conformance.errors import UnjudgedError

_STDERR_BYTES = 8192
# A loaded worker forks in milliseconds; one that somebody stopped never does.
_ORDER_S = 15.0

# Enough for Python and node to start; tokens, proxies and credentials are not on it.
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
)


class WorkerGoneError(Exception):
    """The worker process has ended; what it last wrote to stderr is the message."""


def worker_environment(home: Path) -> dict[str, str]:
    """Return the environment of a worker: an allowlist, one time zone, no network, no threads of its own."""
    package = str(Path(conformance.__file__).parent.parent)
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        # The same packages as here, wherever the parent got them from.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*filter(os.path.isabs, sys.path), package])),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "TZ": "UTC",
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        npm_package.FOLDER_VARIABLE: str(npm_package.folder()),
        # numpy's thread pools would take address space and make forking unsafe.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "VECLIB_MAXIMUM_THREADS": "1",
    }


_prepared: dict[tuple[str, Limits], WorkerProcess] = {}


def prepare(engine: str, limits: Limits) -> None:
    """Start the worker of an engine for whoever asks for it first: it loads while this process does something else."""
    if (engine, limits) not in _prepared:
        if not _prepared:
            atexit.register(_close_prepared)
        _prepared[engine, limits] = WorkerProcess(engine, limits)


def prepared(engine: str | type[Engine], limits: Limits) -> WorkerProcess | None:
    """Return the worker that was prepared for this, once; None where there is none."""
    return _prepared.pop((engine, limits), None) if isinstance(engine, str) else None


def _close_prepared() -> None:
    while _prepared:
        _prepared.popitem()[1].close()


class WorkerProcess:
    """One loaded engine that gives out sessions, one at a time; started at once, waited for when needed."""

    def __init__(
        self, engine: str | type[Engine], limits: Limits, relative: WorkerProcess | None = None
    ) -> None:
        """Start a worker; where a loaded `relative` is given that has imported what this engine needs, by its fork.

        Raises WorkerGoneError when the relative has ended.
        """
        self.engine = engine if isinstance(engine, str) else engine.name
        self.version: str | None = None
        self._limits = limits
        self._started = time.monotonic()
        # The worker makes it and removes it: it outlives this process where somebody kills that.
        self.folder = Path(tempfile.gettempdir()) / f"conformance-{secrets.token_hex(8)}"
        task = wire.encode(wire.Task(self.engine, class_path(engine) or "", limits, str(self.folder)))
        self._control, theirs = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None
        # A fork writes to where its relative does.
        self._stderr: bytearray = bytearray() if relative is None else relative._stderr
        self._drain: threading.Thread | None = None
        with theirs:
            if relative is not None:
                self._control.sendall(wire.frame(wire.REPLY, task))
                try:
                    self._group = relative._order(wire.SIBLING, [theirs.fileno()])
                except WorkerGoneError:
                    self._control.close()
                    raise
                return
            self._process = subprocess.Popen(
                [*(sys.executable, "-P", "-m", "conformance.engines.worker"), task.decode()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=worker_environment(self.folder),
                start_new_session=True,  # Ctrl-C is the parent's; and the whole group can be killed
            )
        self._group = self._process.pid
        self._drain = threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def wait_ready(self) -> str:
        """Return the engine's version once it is loaded.

        Raises UnjudgedError when it cannot be used here, ends, or takes longer than the start-up limit; WorkerGoneError
        when somebody killed it.
        """
        if self.version is not None:
            return self.version
        reader = wire.FrameReader(limit=1 << 16)
        while True:
            left = self._started + self._limits.startup_s - time.monotonic()
            try:
                self._control.settimeout(min(max(left, 0.001), _ORDER_S))
                data = self._control.recv(4096)
            except TimeoutError:
                if left > _ORDER_S:
                    # Somebody may have stopped it; to be told to go on does no harm to one that loads.
                    self._signal(signal.SIGCONT)
                    continue
                raise UnjudgedError(
                    f"The engine {self.engine} did not start within {self._limits.startup_s:g} s."
                ) from None
            except ConnectionError:
                data = b""
            if not data:
                # What ended a fork nobody here is told.
                status = -signal.SIGKILL if self._process is None else self._process.wait()
                if status < 0:  # by a signal, and so from outside
                    raise WorkerGoneError(f"it was ended by signal {-status} while it started")
                raise UnjudgedError(f"The engine {self.engine} did not start: {self._last_words()}")
            for _, payload in reader.feed(data):
                greeting = wire.decode_greeting(payload)
                if isinstance(greeting, wire.NotReady):
                    raise UnjudgedError(greeting.reason)
                version = self.version = str(greeting.version)
                return version

    def open_session(self) -> socket.socket:
        """Return the non-blocking channel of a new session; one that still runs is killed.

        Raises WorkerGoneError when the worker process itself has ended.
        """
        self.wait_ready()
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            try:
                self._order(wire.START, [theirs.fileno()])
            except WorkerGoneError:
                ours.close()
                raise
        ours.setblocking(False)
        return ours

    def end_session(self) -> int:
        """Kill the session if it still runs; return its exit code, or the signal that ended it as a negative number.

        Raises WorkerGoneError when the worker process itself has ended.
        """
        return self._order(wire.END, [])

    def _order(self, order: bytes, descriptors: list[int]) -> int:
        try:
            self._control.settimeout(_ORDER_S)
            socket.send_fds(self._control, [order], descriptors)
            status = self._control.recv(wire.EXIT_STATUS.size)
        except OSError:
            status = b""
        if len(status) != wire.EXIT_STATUS.size:
            raise WorkerGoneError(self._last_words())
        code: int = wire.EXIT_STATUS.unpack(status)[0]
        return code

    def close(self) -> None:
        """End the worker and its session."""
        # A loaded worker sees that nothing more comes and buries its session; else that stays a zombie.
        ended = self.version is not None and self._hangs_up()
        self._control.close()
        # Once a fork has ended, its number may be somebody else's; that of a child is kept until it is waited for.
        if not ended or self._process is not None:
            self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            assert self._drain is not None
            self._drain.join(timeout=1)
            if self._process.stderr is not None:
                self._process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    def _hangs_up(self) -> bool:
        """Say that nothing more comes; return whether the worker has ended within a second."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            self._control.settimeout(1)
            while self._control.recv(4096):
                pass
            return True
        return False

    def _read_stderr(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 4096):
                self._stderr += data
                del self._stderr[:-_STDERR_BYTES]

    def _last_words(self) -> str:
        if self._drain is not None:
            self._drain.join(timeout=1)
        lines = self._stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a message"
