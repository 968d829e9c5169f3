"""What a worker puts on itself before it sees a template: walls of the kernel, and limits on time and memory.

Limits end what runs away. The walls are for code that got out of the engine's own sandbox: it runs as the user, and
behind them it can read the interpreter and its packages, and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TypeVar

from conformance.engines import landlock, seccomp
from conformance.engines.base import Engine, LimitExceeded, Limits

T = TypeVar("T")

# A raise inside code that cannot propagate it (a finaliser) is lost: the alarm repeats until the case ends.
_REPEAT_S = 0.1
_SOONEST_S = 0.01

# Lazy imports of the template library need a file for a moment; a template never does.
_OPEN_FILES = 32


# Where systems keep libraries, locales and time zones: files that are the same on every machine.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom")


def unguarded() -> list[str]:
    """Return what code that got out of an engine could reach here: files, TCP, signals, sockets, processes."""
    abi = landlock.abi()
    holds = {
        "files": abi > 0,
        "TCP": abi >= landlock.TCP_ABI or seccomp.available(),
        "signals": abi >= landlock.SCOPE_ABI,
        "sockets": seccomp.available(),
        "processes": seccomp.available(),
    }
    return [name for name, held in holds.items() if not held]


def walls() -> list[str]:
    """Return the kernel's walls that stand around a session here, with their versions."""
    abi = landlock.abi()
    return [*([f"Landlock {abi}"] if abi else []), *(["seccomp"] if seccomp.available() else [])]


def confine(engine: Engine) -> None:
    """Raise, for good, every wall that this system has around the session of an engine.

    Raises OSError when the kernel has one and refuses to raise it.
    """
    programs = [Path(program) for program in engine.programs()]
    if landlock.abi() > 0:
        landlock.restrict(_readable(engine), [*programs, *(_loaders() if programs else ())])
    if seccomp.available():
        seccomp.restrict(starts_programs=bool(programs))


def _readable(engine: Engine) -> Iterator[Path]:
    """Yield what late imports may need: the system's libraries, Python, installed packages and the engine's own."""
    yield from map(Path, _SYSTEM)
    yield from {Path(sys.prefix), Path(sys.base_prefix)}
    yield Path("/proc/self")  # the session's own; its parent's stays closed
    for entry in map(Path, sys.path):
        # A clone or a current folder may hold anything: of those only packages that are already in use.
        if entry.name in ("site-packages", "dist-packages"):
            yield entry
    for name in ("conformance", type(engine).__module__.partition(".")[0]):
        module = sys.modules.get(name)
        if module is not None and module.__file__ is not None:
            file = Path(module.__file__)
            yield file.parent if file.name == "__init__.py" else file


def _loaders() -> Iterator[Path]:
    """Yield the dynamic loaders, which a program needs to start."""
    for folder in ("/lib", "/lib64"):
        yield from Path(folder).glob("ld-linux*")
        yield from Path(folder).glob("*/ld-linux*")


class TimeUp(BaseException):
    """The case's time is over; no Exception, so that nothing between here and the template swallows it."""


class Guard:
    """Runs calls under the soft limits of time and memory, in the main thread of a worker."""

    def __init__(
        self,
        limits: Limits,
        *,
        own_memory_limit: bool = False,
        cost: Callable[[], float] = time.process_time,
        programs: bool = False,
    ) -> None:
        """`cost` says what a session has spent; one with `programs` does not render itself."""
        self._limits = limits
        self._cost = cost
        # For code that hears no alarm; a program would inherit it. The kernel counts whole seconds.
        self._most = None if programs else resource.getrlimit(resource.RLIMIT_CPU)
        self._end = self._until = 0.0
        self._armed = False
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_FSIZE, 0)
        self._rss_limit: int | None = None
        if not own_memory_limit:
            _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
            if hasattr(resource, "RLIMIT_NPROC"):
                _lower(resource.RLIMIT_NPROC, 0)
            used = _address_space()
            if used is None or not _lower(resource.RLIMIT_AS, used + limits.memory_bytes):
                # macOS does not enforce a limit on address space: look at the resident size from time to
                # time.
                self._rss_limit = _peak_resident() + limits.memory_bytes
        signal.signal(signal.SIGALRM, self._on_alarm)

    def run(self, call: Callable[[], T]) -> T | LimitExceeded:
        """Return what the call returns, or the limit that ended it."""
        try:
            try:
                self._arm()
                return call()
            finally:
                self._disarm()
        except TimeUp:
            self._disarm()
            return LimitExceeded("time", f"it ran longer than {self._limits.time_s:g} s")
        except MemoryError:
            return self.out_of_memory()

    def out_of_memory(self) -> LimitExceeded:
        """Return the outcome of a case that took too much memory."""
        return LimitExceeded("memory", f"it needed more than {self._limits.memory_bytes >> 20} MiB of memory")

    def _arm(self) -> None:
        limits = self._limits
        self._end = self._cost() + limits.time_s
        self._until = time.monotonic() + limits.hang_s
        self._armed = True
        if self._most is not None:
            soft = math.ceil(self._end + limits.grace_s)
            if soft != self._most[0]:
                self._most = soft, self._most[1]
                with contextlib.suppress(ValueError, OSError):  # this system lets nobody, or less is allowed
                    resource.setrlimit(resource.RLIMIT_CPU, self._most)
        first = limits.time_s if self._rss_limit is None else min(_REPEAT_S, limits.time_s)
        signal.setitimer(signal.ITIMER_REAL, first, _REPEAT_S)

    def _disarm(self) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if not self._armed:
            return
        left = self._end - self._cost()
        if left <= 0 or time.monotonic() >= self._until:
            raise TimeUp
        if self._rss_limit is None:
            signal.setitimer(signal.ITIMER_REAL, max(left, _SOONEST_S), _REPEAT_S)
        if self._rss_limit is not None and _peak_resident() > self._rss_limit:
            raise MemoryError


def _lower(kind: int, value: int) -> bool:
    """Lower a limit for good; False where this system refuses, for example because it is lower already."""
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        return False
    return True


def _address_space() -> int | None:
    """Return the bytes of address space in use (Linux: /proc/self/statm, first field, in pages)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _peak_resident() -> int:
    """Return the largest resident size so far in bytes (getrusage counts kB, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
