"""A sweep over several templates: killed in the middle and gone on with, it ends in the same bytes."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import Run

from conformance.resources import resource
from conformance.sweep.store import Store

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
TEMPLATES = {
    "right": REFERENCE,
    "cutoff": REFERENCE.replace("Knowledge cutoff", "Knowledge cut-off"),
    "newline": REFERENCE.replace("# Valid channels", "\n# Valid channels"),
    "other": "{% for message in messages %}{{ message.content }}{% endfor %}",
    "broken": "{% for message in messages %}",
}
HOW = ("--engine", "jinja2", "--engine", "minijinja", "--examples", "24", "--offline")


@pytest.fixture(name="listed")
def _listed(plain_terminal: Path) -> Path:
    names = []
    for name, text in TEMPLATES.items():
        (plain_terminal / f"{name}.jinja").write_text(text, encoding="utf-8")
        names.append(f"{name}.jinja")
    path = plain_terminal / "list.txt"
    path.write_text("# what is judged\n" + "\n".join(names) + "\n\n", encoding="utf-8")
    return path


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "conformance", "sweep", *map(str, arguments)]


def _json(run: Run, file: str) -> str:
    result = run("sweep", "report", "--output", file, "--json")
    assert result.code == 0
    return result.out


def test_a_sweep_judges_every_template_on_every_engine(run: Run, listed: Path) -> None:
    assert run("sweep", "run", listed, *HOW).code == 0
    with Store(Path("sweep.sqlite")) as store:
        found = {(each.target, each.engine): each for each in store.records()}
    assert len(found) == len(TEMPLATES) * 2
    assert {found[name, "jinja2"].verdict for name in ("cutoff", "newline", "other")} == {"diverges"}
    assert found["right", "minijinja"].verdict == "conforms"
    assert found["right", "minijinja"].cases.total == 24
    assert found["broken", "jinja2"].verdict == "unreadable"
    assert not found["other", "jinja2"].harmony
    assert found["cutoff", "jinja2"].rules[0].rule == "system-text"
    page = run("sweep", "report").out
    assert "5 templates on 2 engines: 10 records" in page
    assert "| jinja2 | 1 | 2 | 1 | 1 |" in page


def test_killed_in_the_middle_it_goes_on_and_ends_in_the_same_bytes(run: Run, listed: Path) -> None:
    assert run("sweep", "run", listed, *HOW, "--output", "whole.sqlite").code == 0
    killed = subprocess.Popen(
        _command("run", listed, *HOW, "--output", "killed.sqlite"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and killed.poll() is None and _rows("killed.sqlite") == 0:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = _rows("killed.sqlite")
    assert 0 < before < len(TEMPLATES) * 2
    gone_on = run("sweep", "run", listed, *HOW, "--output", "killed.sqlite")
    assert gone_on.code == 0
    assert f"{len(TEMPLATES) * 2 - before} to judge" in gone_on.out
    assert _json(run, "killed.sqlite") == _json(run, "whole.sqlite")
    assert "0 to judge" in run("sweep", "run", listed, *HOW, "--output", "killed.sqlite").out


def _rows(file: str) -> int:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return int(database.execute("select count(*) from record").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_other_settings_are_another_sweep(run: Run, listed: Path) -> None:
    with Store(Path("sweep.sqlite"), {"seed": "1", "examples": "24", "profile": "harmony"}):
        pass
    result = run("sweep", "run", listed, *HOW)
    assert result.code == 2
    assert "holds a sweep with seed 1" in result.err


def test_what_is_no_sweep_is_said(run: Run, plain_terminal: Path) -> None:
    (plain_terminal / "text").write_text("no database at all, but longer than a header" * 9)
    (plain_terminal / "empty.txt").write_text("# nothing\n")
    assert run("sweep", "report", "--output", "none.sqlite").code == 2
    assert run("sweep", "report", "--output", "text").code == 2
    assert "names no target" in run("sweep", "run", "empty.txt").err


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="Dask is not installed")
def test_dask_with_a_worker_killed_in_the_middle_gives_the_same_bytes(run: Run, listed: Path) -> None:
    assert run("sweep", "run", listed, *HOW, "--output", "whole.sqlite").code == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = [sys.executable, "-m", "distributed.cli"]
    scheduler = subprocess.Popen(
        [
            *program[:2],
            f"{program[2]}.dask_scheduler",
            "--port",
            address.rpartition(":")[2],
            "--host",
            "127.0.0.1",
            "--no-dashboard",
        ],
        **quiet,  # type: ignore[call-overload]
    )
    worker = [
        *program[:2],
        f"{program[2]}.dask_worker",
        address,
        "--no-nanny",
        "--nthreads",
        "1",
        "--no-dashboard",
    ]
    workers = [subprocess.Popen(worker, **quiet, env={**os.environ}) for _ in range(2)]  # type: ignore[call-overload]
    try:
        sweep = subprocess.Popen(
            _command("run", listed, *HOW, "--output", "dask.sqlite", "--scheduler", address),
            **quiet,  # type: ignore[call-overload]
        )
        until = time.monotonic() + 90
        while time.monotonic() < until and sweep.poll() is None and _rows("dask.sqlite") == 0:
            time.sleep(0.05)
        workers[0].kill()
        assert sweep.wait(120) == 0
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
    assert _json(run, "dask.sqlite") == _json(run, "whole.sqlite")
