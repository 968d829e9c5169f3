"""Ctrl-C once, for some terminals deliver one key press two or three times; SIGTERM and SIGHUP end a run as it does."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from conformance.launch import leave

_SAME_S = 2.0


@contextlib.contextmanager
def one_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT, SIGTERM or SIGHUP in the block, and not again within two seconds.

    In that time what was found is reported; a later Ctrl-C ends the command without a report.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # What kills the command alone, as `kill` and wrappers with a time limit do, must not leave its workers behind.
        # Another handler is another program's own way with signals.
        # Under `nohup` SIGHUP is ignored, and stays so.
        usual: dict[int, Any] = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL)
        usual[signal.SIGINT] = signal.default_int_handler
        # `leave` was this program's own way while it loaded.
        before = {
            number: handler
            for number, handler in usual.items()
            if signal.getsignal(number) in (handler, leave)
        }
    last = -_SAME_S

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SAME_S:
            last = now
            raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
