"""What the processes of the tests are asked to do; in a file of its own, so that they can import it."""

import os
import signal
import stat
import time
from pathlib import Path


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def stop_once(mark: str) -> str:
    """Be stopped in the middle of a call, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return "done"


def half_an_answer(mark: str, number: int) -> str:
    """Be killed or stopped in the middle of an answer, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, (1000).to_bytes(4, "big") + b"half")
            except OSError:
                continue
        os.kill(os.getpid(), number)
    return "done"


class StubbornError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def fail(kind: str) -> None:
    raise StubbornError("no", "luck") if kind == "stubborn" else ValueError(kind)


def refuse() -> None:
    raise ValueError("cannot begin")
