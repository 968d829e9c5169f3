"""Limits on what a stranger's text may cost the process that judges; engines have theirs in their workers."""

from __future__ import annotations

import contextlib
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
# What takes longer with one text hangs; an ordinary one takes milliseconds.
COMPARE_S = 10.0
READ_S = 20.0
EXPLAIN_S = 20.0
EXPLAIN_ALL_S = 60.0
# An alarm that comes inside of a finaliser is lost: it repeats.
_REPEAT_S = 0.2


class TimeIsUpError(BaseException):
    """The time of `time_limit` is over; no Exception, so that nothing on the way swallows it."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUpError in the block when it takes longer; blocks may lie inside of each other.

    Python code and its regular expressions are interrupted, a call of other C code ends first. Only the main thread
    has an alarm: in others, where no command runs, there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    begin = time.monotonic()
    over = False

    def ring(_number: int, _frame: FrameType | None) -> None:
        if not over:
            raise TimeIsUpError

    before = signal.signal(signal.SIGALRM, ring)
    left, repeat = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _REPEAT_S)
    if 0 < left < seconds:  # the block around this one ends first
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left, repeat)
    try:
        try:
            yield
        finally:
            over = True
    finally:  # an alarm in the line above leaves the time until the next one
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 0.001), repeat)
