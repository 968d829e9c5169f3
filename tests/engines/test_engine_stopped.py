"""Workers and their sessions that somebody stops, at each stage: a case is judged again, and every end is bounded."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_engine import HostileEngine
from msgspec.structs import replace

from conformance.engines import EngineHost, Rendered, Request, host, sandbox
from conformance.engines.base import Limits

REGISTERED_ENGINES = (HostileEngine,)
LIMITS = Limits(hang_s=0.5)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_LATER_S", 0.5)
    monkeypatch.setattr(sandbox, "_ORDER_S", 0.5)


def test_a_session_that_is_stopped_in_a_case_is_replaced(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile", limits=LIMITS) as engine:
        assert engine.render("", request_of("stop-once")) == Rendered("alive")


def test_a_worker_that_is_stopped_is_replaced_with_its_session(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile", limits=LIMITS) as engine:
        assert engine.render("", request_of("ok:before")) == Rendered("before")
        stopped = _stop(engine)
        # The next one ends its session, and only the worker could give another.
        asked = [request_of("exit"), request_of("ok:after")]
        assert [*engine.render_many("", asked)][1] == Rendered("after")
        assert not _runs(stopped)


def test_a_worker_that_is_stopped_while_it_loads_goes_on(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile", limits=replace(LIMITS, startup_s=60)) as engine:
        _stop(engine)
        begin = time.monotonic()
        assert engine.render("", request_of("ok:x")) == Rendered("x")
        assert time.monotonic() - begin < 30


def test_closing_ends_a_worker_and_a_session_that_are_stopped(request_of: Callable[..., Request]) -> None:
    engine = EngineHost("hostile", limits=replace(LIMITS, hang_s=30))
    assert engine.render("", request_of("ok:x")) == Rendered("x")
    engine.submit("", [request_of("stop-once")])
    stopped = _stop(engine)
    sessions = _below(stopped)
    engine.close()
    assert sessions
    assert not any(map(_runs, [stopped, *sessions]))


def _stop(engine: EngineHost) -> int:
    assert engine._process is not None
    pid = engine._process._process.pid
    os.kill(pid, signal.SIGSTOP)
    return pid


_PROGRAM = """
    import time
    from conformance.engines import EngineHost, Request
    from conformance.template.branch_probe import Jinja2Branches
    host = EngineHost("jinja2")
    forked = EngineHost(Jinja2Branches, relatives=[host])
    for each in (host, forked):
        each.render("x", Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29"))
        print(each._process._group, each._process.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells a stopped process")
def test_a_program_that_is_killed_leaves_no_stopped_worker_behind() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_PROGRAM)], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        said = [program.stdout.readline().split() for _ in range(2)]
        everyone = sorted({each for pid, _ in said for each in (int(pid), *_below(int(pid)))})
        folders = [Path(folder) for _, folder in said]
        assert all(folder.is_dir() for folder in folders)
        for each in everyone:
            os.kill(each, signal.SIGSTOP)
        program.kill()
    until = time.monotonic() + 30
    while any([*map(_runs, everyone), *(folder.exists() for folder in folders)]) and time.monotonic() < until:
        time.sleep(0.05)
    # Two workers, each with a session.
    assert len(everyone) == 4
    assert not any(map(_runs, everyone))
    assert not any(folder.exists() for folder in folders)


def _stat(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def _runs(pid: int) -> bool:
    return _stat(str(pid))[0] not in "ZX"


def _below(parent: int) -> list[int]:
    names = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(name) for name in names if _stat(name)[1] == str(parent)]
