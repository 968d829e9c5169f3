"""What the system refuses is said as that, with what to do, and is no fault of this program's and no verdict."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from conformance.campaign.assemble import environment, tool_info
from conformance.cli.guard import guarded
from conformance.cli.interrupt import one_interrupt
from conformance.launch import close_to_others
from conformance.report.events import EventLog, Header, read_events


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOSPC, "--output and TMPDIR"),
        (errno.EFBIG, "ulimit -f"),
        (errno.ENOMEM, "ulimit -v"),
        (errno.EAGAIN, "ulimit -u"),
    ],
)
def test_what_the_system_has_no_more_of(capsys: pytest.CaptureFixture[str], number: int, advice: str) -> None:
    def command() -> int:
        raise OSError(number, os.strerror(number), "/some/file")

    assert guarded(command) == 3
    said = capsys.readouterr().err
    assert advice in said
    assert "fault of conformance" not in said


def test_memory(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise MemoryError

    assert guarded(command) == 3
    assert "out of memory" in capsys.readouterr().err


def test_another_error_of_the_system_is_still_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise OSError(errno.EBADF, "bad file descriptor")

    assert guarded(command) == 3
    assert "fault of conformance" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_good_order(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), one_interrupt():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    header = Header(tool=tool_info(), environment=environment(), seed=0, profile="harmony", targets=[])
    with EventLog(tmp_path / "events.jsonl", header) as log:
        log.note("written")
        assert log._file is not None
        log._file.close()
        log._file = open("/dev/full", "wb")  # noqa: SIM115 (the log closes it)
        log.note("not written")
        assert log.failure is not None
        assert "no space left" in log.failure
    found = read_events(tmp_path / "events.jsonl")
    assert found.truncated
    assert found.notes == ["written"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc here")
def test_other_processes_cannot_read_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFORMANCE_TRACEBACK", raising=False)
    child = os.fork()
    if child == 0:
        import ctypes

        close_to_others()
        os._exit(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
