"""Workers that are forked from a loaded one: what they save, and that neither hangs on the other."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.engines import EngineHost, Rendered, Request, sandbox
from conformance.engines.jinja2_plain import PlainJinja2Engine
from conformance.errors import UnjudgedError
from conformance.template.branch_probe import Jinja2Branches, TransformersBranches

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes under /proc")


class Louder(PlainJinja2Engine):
    """Says which process is its worker."""

    name = "louder"

    def load(self) -> None:
        """Remember the worker."""
        self.worker = os.getpid()

    def render(self, template: str, request: Request) -> Rendered:
        """Return the worker, its folder and what the template writes."""
        text = super().render(template, request)
        assert isinstance(text, Rendered)
        return Rendered(f"{self.worker} {os.environ['HOME']} {text.text}")


class Broken(PlainJinja2Engine):
    """Has a fault."""

    name = "broken"

    def load(self) -> None:
        """Fail as nobody expects."""
        raise RuntimeError("one of its own")


class Unwilling(PlainJinja2Engine):
    """Cannot be loaded."""

    name = "unwilling"

    def load(self) -> None:
        """Refuse."""
        raise UnjudgedError("not today")


@pytest.fixture
def plain() -> Iterator[EngineHost]:
    with EngineHost("jinja2") as host:
        host.version()
        yield host


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _ends(pid: int) -> bool:
    end = time.monotonic() + 5
    while _lives(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not _lives(pid)


def _asked(host: EngineHost, request_of: Callable[..., Request]) -> tuple[int, str]:
    made = host.render("{{ messages[0].content }}", request_of("said"))
    assert isinstance(made, Rendered)
    pid, folder, said = made.text.split()
    assert said == "said"
    return int(pid), folder


def test_a_loaded_relative_makes_the_worker(plain: EngineHost, request_of: Callable[..., Request]) -> None:
    with EngineHost(Louder, relatives=[plain]) as host:
        pid, folder = _asked(host, request_of)
        assert plain._process is not None
        assert _parent(pid) == plain._process._group
        assert os.getsid(pid) == pid
        assert Path(folder).is_dir()
        assert folder != str(plain._process.folder)
        assert plain.render("x", request_of("said")) == Rendered("x")
        assert host.version() == plain.version()
    assert _ends(pid)
    assert not Path(folder).exists()
    assert plain.render("y", request_of("said")) == Rendered("y")


def test_one_that_is_not_loaded_or_no_relative_is_left_alone(request_of: Callable[..., Request]) -> None:
    with EngineHost("minijinja") as other:
        other.version()
        for relatives in ([EngineHost("jinja2")], [other]):
            with EngineHost(Louder, relatives=relatives) as host:
                assert _parent(_asked(host, request_of)[0]) == os.getpid()
    with EngineHost("jinja2") as plain:
        plain.version()
        assert EngineHost(TransformersBranches, relatives=[plain])._relatives == []
        assert EngineHost(Jinja2Branches, relatives=[plain])._relatives == [plain]


def test_it_outlives_its_relative(request_of: Callable[..., Request]) -> None:
    with EngineHost("jinja2") as plain:
        plain.version()
        host = EngineHost(Louder, relatives=[plain])
        pid, _ = _asked(host, request_of)
    assert _asked(host, request_of)[0] == pid
    host.close()
    assert _ends(pid)


def test_one_that_is_killed_is_replaced(plain: EngineHost, request_of: Callable[..., Request]) -> None:
    with EngineHost(Louder, relatives=[plain]) as host:
        pid, _ = _asked(host, request_of)
        os.kill(pid, signal.SIGKILL)
        assert _ends(pid)
        second, _ = _asked(host, request_of)
        assert second != pid
        assert _parent(second) == os.getpid()


def test_a_relative_that_is_gone_makes_none(request_of: Callable[..., Request]) -> None:
    with EngineHost("jinja2") as plain:
        plain.version()
        assert plain._process is not None
        os.kill(plain._process._group, signal.SIGKILL)
        assert _ends(plain._process._group)
        with EngineHost(Louder, relatives=[plain]) as host:
            assert _parent(_asked(host, request_of)[0]) == os.getpid()


def test_one_that_is_stopped_ends_all_the_same(
    plain: EngineHost, request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_ORDER_S", 0.5)
    host = EngineHost(Louder, relatives=[plain])
    pid, folder = _asked(host, request_of)
    os.kill(pid, signal.SIGSTOP)
    host.close()
    assert _ends(pid)
    assert not Path(folder).exists()


def test_what_keeps_an_engine_from_loading_is_said(plain: EngineHost) -> None:
    with (
        EngineHost(Unwilling, relatives=[plain]) as host,
        pytest.raises(UnjudgedError, match="not today"),
    ):
        host.version()
    with EngineHost(Broken, relatives=[plain]) as host, pytest.raises(UnjudgedError, match="one of its own"):
        host.version()


def test_no_zombie_is_left(plain: EngineHost, request_of: Callable[..., Request]) -> None:
    assert plain._process is not None
    for _ in range(3):
        with EngineHost(Louder, relatives=[plain]) as host:
            pid, _ = _asked(host, request_of)
    # A worker buries those that ended when it hears of its parent the next time.
    end = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        plain._process.end_session()
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_a_case_is_not_blamed_for_workers_that_somebody_kills(request_of: Callable[..., Request]) -> None:
    long = "{% for i in range(1500) %}{% for j in range(1500) %}{% endfor %}{% endfor %}x"
    killed = []

    def kill(host: EngineHost) -> None:
        while len(killed) < 3:
            process = host._process
            if host._session is not None and process is not None and process._group not in killed:
                time.sleep(0.02)
                killed.append(process._group)
                os.kill(process._group, signal.SIGKILL)
            time.sleep(0.001)

    with EngineHost("jinja2") as host:
        assert host.render("x", request_of("said")) == Rendered("x")
        other = threading.Thread(target=kill, args=(host,))
        other.start()
        assert host.render(long, request_of("said")) == Rendered("x")
        other.join()
    assert len(set(killed)) == 3
