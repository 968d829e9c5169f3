"""Processes that somebody kills or stops, at each stage: their calls are made again, and every end is bounded."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_calls import fail, half_an_answer, pid_after, refuse, stop_once

from conformance import processes
from conformance.errors import UnjudgedError
from conformance.processes import Processes


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(processes, "_PATIENCE_S", 3.0)
    monkeypatch.setattr(processes, "_TRANSFER_S", 1)
    monkeypatch.setattr(processes, "_GRACE_S", 0.5)
    with contextlib.closing(_Closing(Processes(2))) as closing:
        yield closing.pool


class _Closing:
    def __init__(self, pool: Processes) -> None:
        self.pool = pool

    def close(self) -> None:
        self.pool.kill()


def test_calls_are_made_and_what_they_raise_comes_back(pool: Processes) -> None:
    assert [*pool.map(abs, [-1, -2, 3])] == [1, 2, 3]
    assert pool.submit(os.getpid).result() != os.getpid()
    with pytest.raises(ValueError, match="oh"):
        pool.submit(fail, "oh").result()
    with pytest.raises(RuntimeError, match="StubbornError: no luck"):
        pool.submit(fail, "stubborn").result()
    with pytest.raises(Exception, match=r"pickle|local object"):
        pool.submit(lambda: None).result()
    assert pool.submit(abs, -4).result() == 4


def test_a_process_that_cannot_begin_says_why() -> None:
    pool = Processes(1, refuse)
    with pytest.raises(ValueError, match="cannot begin"):
        pool.submit(abs, 1).result()
    pool.kill()


def test_one_that_keeps_dying_costs_its_own_call(pool: Processes) -> None:
    lost, kept = pool.submit(signal.raise_signal, signal.SIGKILL), pool.submit(abs, -1)
    assert kept.result() == 1
    with pytest.raises(UnjudgedError, match="keep ending from outside"):
        lost.result()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_hit_while_idle_is_replaced(pool: Processes, number: int) -> None:
    first = pool.submit(os.getpid).result()
    os.kill(first, number)
    assert pool.submit(pid_after, 0).result() != first
    assert not _runs(first)


def test_a_process_that_is_stopped_in_a_call_is_replaced(pool: Processes, tmp_path: Path) -> None:
    assert pool.submit(stop_once, str(tmp_path / "mark")).result() == "done"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_hit_in_an_answer_is_replaced(pool: Processes, tmp_path: Path, number: int) -> None:
    assert pool.submit(half_an_answer, str(tmp_path / "mark"), number).result() == "done"


def test_a_process_that_was_stopped_is_killed_when_the_others_end(pool: Processes) -> None:
    stopped = pool.submit(os.getpid).result()
    os.kill(stopped, signal.SIGSTOP)
    pool.shutdown()
    assert not _runs(stopped)


def test_what_still_works_is_killed_at_once(pool: Processes) -> None:
    begin = time.monotonic()
    working = pool.submit(pid_after, 600)
    waiting = [pool.submit(abs, 1) for _ in range(5)]
    pool.kill()
    assert time.monotonic() - begin < 60
    assert all(future.done() for future in [working, *waiting])
    with pytest.raises(RuntimeError, match="ended"):
        pool.submit(abs, 1)


_PROGRAM = """
    import os, signal, sys, time
    from conformance.processes import Processes
    if __name__ == "__main__":
        pool = Processes(2)
        pid = pool.submit(os.getpid).result()
        pool.submit(time.sleep, 600)
        os.kill(pid, signal.SIGSTOP)
        print(pid, flush=True)
        if sys.argv[1] == "wait":
            time.sleep(600)
"""


@pytest.mark.parametrize("how", ["leave", "wait"])
def test_a_stopped_process_ends_with_its_program(tmp_path: Path, how: str) -> None:
    """A program that ends without a word to its processes does end, and one that is killed leaves nobody behind."""
    (tmp_path / "program.py").write_text(textwrap.dedent(_PROGRAM))
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), how], stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        stopped = int(program.stdout.readline())
        if how == "wait":
            program.kill()
        program.wait(60)
    until = time.monotonic() + 30
    while _runs(stopped) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(stopped)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
