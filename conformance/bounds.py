"""Limits on what a stranger's text may cost the process that judges; engines have theirs in their workers."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Templates are read for hints, branches and lines up to so many characters; the longest known one has a third.
READ_CHARS = 250_000
# No generated conversation has a prompt of half as many characters: what is longer is too long by mistake.
PROMPT_CHARS = 250_000
# So much of a text is kept in a report, around the place where it parts from the other.
KEPT_CHARS = 24_000
# What takes more processor time with one text hangs; an ordinary one takes milliseconds.
COMPARE_S = 10.0
READ_S = 20.0
EXPLAIN_S = 20.0
EXPLAIN_ALL_S = 60.0
# So many times as long may pass on the clock: a busy machine takes longer for the same work, and finds the same.
_PATIENCE = 15
# An alarm that comes inside of a finaliser is lost: it repeats.
_REPEAT_S = 0.2
_SOONEST_S, _LOOK_S = 0.01, 1.0

_elsewhere = 0.0


class TimeIsUpError(BaseException):
    """The time of `time_limit` is over; no Exception, so that nothing on the way swallows it."""


def charge(seconds: float) -> None:
    """Count processor time that a worker says it spent for this process; one that lies costs itself."""
    global _elsewhere
    if 0 <= seconds < 1e6:
        _elsewhere += seconds


def cost() -> float:
    """Return the seconds of processor time that this process and its workers spent so far."""
    return time.process_time() + _elsewhere


class _Block:
    __slots__ = ("cost", "over", "until")

    def __init__(self, seconds: float, wall_s: float) -> None:
        self.over = False
        self.cost = cost() + seconds
        self.until = time.monotonic() + wall_s

    def left(self) -> float:
        """Return how many seconds it takes at least until the time is up."""
        return math.inf if self.over else min(self.cost - cost(), self.until - time.monotonic())


_blocks: list[_Block] = []


def _set_alarm() -> None:
    """Have the alarm ring when the first block's time may be up; workers may bring that nearer at any time."""
    left = min(block.left() for block in _blocks)
    signal.setitimer(signal.ITIMER_REAL, min(max(left, _SOONEST_S), _LOOK_S), _REPEAT_S)


def _ring(_number: int, _frame: FrameType | None) -> None:
    if any(block.left() <= 0 for block in _blocks):
        raise TimeIsUpError
    if _blocks:
        _set_alarm()


@contextlib.contextmanager
def time_limit(seconds: float, *, wall_s: float = math.inf) -> Iterator[None]:
    """Raise TimeIsUpError in the block when it costs more processor time; blocks may lie inside of each other.

    What hangs without costing any is ended too, after many times as long or `wall_s` on the clock. Python code and its
    regular expressions are interrupted, a call of other C code ends first. Only the main thread has an alarm: in
    others, where no command runs, there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    depth = len(_blocks)
    begin = time.monotonic()
    block = _Block(seconds, min(wall_s, _PATIENCE * seconds))
    _blocks.append(block)
    before = signal.signal(signal.SIGALRM, _ring)
    foreign, repeat = signal.getitimer(signal.ITIMER_REAL)
    _set_alarm()
    try:
        try:
            yield
        finally:
            block.over = True
    finally:  # an alarm in the line above leaves the time until the next one
        signal.setitimer(signal.ITIMER_REAL, 0)
        del _blocks[depth:]
        signal.signal(signal.SIGALRM, before)
        if _blocks:
            _set_alarm()
        elif foreign > 0:  # another program's alarm
            signal.setitimer(signal.ITIMER_REAL, max(foreign - (time.monotonic() - begin), 0.001), repeat)
