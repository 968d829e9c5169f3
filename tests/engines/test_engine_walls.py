"""Code that escaped from its engine runs as the user: what the walls of the kernel keep from it."""

import json
import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escaped_engine import EscapedEngine, EscapedStarter, reached

from conformance.engines import Engine, EngineHost, Rendered, Request, landlock, seccomp
from conformance.engines.confinement import walls

FILES = ("read", "empty", "truncate", "rename", "delete")

needs_walls = pytest.mark.skipif(
    landlock.abi() < 6 or not seccomp.available(),
    reason="this kernel lacks Landlock 6 or seccomp; `conformance doctor` says what holds here",
)


@pytest.fixture(name="aims")
def _aims(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Things of the user's that an escaped template might want: files, servers and a process."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text("precious")
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as victim,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        try:
            yield {
                "folder": str(folder),
                "port": server.getsockname()[1],
                "unix": str(tmp_path / "s"),
                "process": victim.pid,
            }
        finally:
            victim.kill()


def order(aims: dict[str, Any]) -> Request:
    return Request([{"role": "user", "content": json.dumps(aims)}], None, {}, False, "2025-06-28")


def results(engine: type[Engine], aims: dict[str, Any]) -> dict[str, str]:
    with EngineHost(engine) as host:
        outcome = host.render("", order(aims))
    assert isinstance(outcome, Rendered), outcome
    found: dict[str, str] = json.loads(outcome.text)
    return found


def unconfined(aims: dict[str, Any]) -> dict[str, str]:
    """The same attempts in a process without walls: what they can do where nothing stops them."""
    answers: Any = multiprocessing.get_context("spawn").SimpleQueue()
    process = multiprocessing.get_context("spawn").Process(target=_answer, args=(answers, aims))
    process.start()
    found: dict[str, str] = answers.get()
    process.join()
    return found


def _answer(answers: Any, aims: dict[str, Any]) -> None:
    answers.put(reached(aims))


@needs_walls
@pytest.mark.parametrize(
    ("engine", "open_to_it"),
    [(EscapedEngine, set()), (EscapedStarter, {"fork", "become a program"})],
)
def test_an_escaped_engine_reaches_nothing(
    engine: type[Engine], open_to_it: set[str], aims: dict[str, Any]
) -> None:
    found = results(engine, aims)
    assert {name for name, outcome in found.items() if outcome == "reached"} == open_to_it
    folder = Path(aims["folder"])
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(FILES, "precious")


@needs_walls
def test_the_same_attempts_succeed_without_walls(aims: dict[str, Any]) -> None:
    found = unconfined(aims)
    # Some systems refuse these to everybody.
    elsewhere_refused = {
        "trace another process",
        "read another process's memory",
        "read another process's memory by a system call",
        "make a user namespace",
    }
    assert {name for name, outcome in found.items() if outcome != "reached"} <= elsewhere_refused


def test_what_holds_here_is_said() -> None:
    said = walls()
    assert bool(landlock.abi()) == any(wall.startswith("Landlock") for wall in said)
    assert seccomp.available() == any(wall.startswith("seccomp") for wall in said)
