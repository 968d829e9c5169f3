"""Processes of `--jobs` that somebody kills are replaced, and their cases judged again, each counted once."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal

import pytest

from conformance import processes
from conformance.campaign.parallel import Pool
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.generate import Hints
from conformance.resources import resource
from conformance.sources import Provenance, Template

SETTINGS = Settings(cases=200, engines=("jinja2",), jobs=2)


def test_killed_and_stopped_processes_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is killed while it judges; another is stopped at the end, and does not hear that it can go."""
    monkeypatch.setattr(processes, "_GRACE_S", 0.5)
    text = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8").replace("# Tools", "# Tool")
    digest = hashlib.sha256(text.encode()).hexdigest()
    target = Template("t", text, digest, Provenance(kind="file", location="t.jinja"), harmony=True)
    killed: list[int] = []

    def kill_one() -> None:
        if not killed:
            pid = multiprocessing.active_children()[0].pid
            assert pid is not None
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    with Runner(SETTINGS) as runner:
        alone = runner.run([target], 0, 200)
        part = runner.new_part([target])
        pool = Pool(SETTINGS, [target])
        try:
            pool.run([0], part, 0, 200, hints=Hints(), on_merged=kill_one)
            stopped = multiprocessing.active_children()[0].pid
            assert stopped is not None
            os.kill(stopped, signal.SIGSTOP)
        finally:
            pool.close()
    assert killed
    assert part.cases == 200
    assert part.tallies[0].counts == alone.tallies[0].counts
    assert {key: seen.count for key, seen in part.tallies[0].rules.items()} == {
        key: seen.count for key, seen in alone.tallies[0].rules.items()
    }
    assert multiprocessing.active_children() == []
