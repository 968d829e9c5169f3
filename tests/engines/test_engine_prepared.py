"""Workers that are started before anybody has use for them."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.engines import EngineHost, Limits, Rendered, Request, sandbox
from conformance.engines.sandbox import prepare

LIMITS = Limits(time_s=3)


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """End what was prepared and not taken, by tests before this one too."""
    sandbox._close_prepared()
    yield
    sandbox._close_prepared()


def test_whoever_asks_first_gets_it(request_of: Callable[..., Request]) -> None:
    prepare("jinja2", LIMITS)
    prepare("jinja2", LIMITS)
    (waiting,) = sandbox._prepared.values()
    with EngineHost("jinja2", limits=LIMITS) as first, EngineHost("jinja2", limits=LIMITS) as second:
        assert first._process is waiting
        assert second._process is not waiting
        assert first.render("{{ messages[0].content }}", request_of("x")) == Rendered("x")
    assert not waiting.folder.exists()


def test_one_with_other_limits_is_nobodys() -> None:
    prepare("jinja2", LIMITS)
    with EngineHost("jinja2") as host:
        assert host._process not in sandbox._prepared.values()
    assert len(sandbox._prepared) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes under /proc")
@pytest.mark.parametrize("ready", [True, False])
def test_one_that_nobody_asks_for_ends_with_the_program(ready: bool, tmp_path: Path) -> None:
    program = f"""
        from conformance.engines import Limits, sandbox
        sandbox.prepare("jinja2", Limits())
        (worker,) = sandbox._prepared.values()
        if {ready}:
            worker.wait_ready()
        print(worker._group, worker.folder, flush=True)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    pid, folder = said.stdout.split()
    assert said.stderr == ""
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(folder).exists()


def test_the_command_is_imported_without_what_judges() -> None:
    program = (
        "import sys, conformance.cli.check; print([m for m in sys.modules if 'conformance.campaign' in m])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "[]"
