"""Every report says who judged, and on how many conversations that had no answer or one that nothing explains."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from conformance.report.base import Output
from conformance.report.github_markdown import markdown
from conformance.report.json_file import encode
from conformance.report.junit import write_junit
from conformance.report.model import Report
from conformance.report.sarif import write_sarif
from conformance.report.scoreboard import scoreboard_json, scoreboard_markdown
from conformance.report.terminal import TerminalWriter

from . import samples

CRASH = "openai-harmony crashed on a conversation: no entry"


def terminal(report: Report) -> str:
    out = io.StringIO()
    TerminalWriter(Console(file=out, width=400, no_color=True)).write(report)
    return out.getvalue()


@pytest.fixture
def gaps() -> Report:
    report = samples.report(samples.conforming())
    return replace(report, run=replace(report.run, unanswered={CRASH: 3}, layout_failures=1))


@pytest.mark.parametrize("write", [terminal, markdown, lambda report: scoreboard_markdown(report, "")])
def test_gaps_of_the_authority_are_told(gaps: Report, write) -> None:
    told = write(gaps)
    assert f"no answer on 3 conversations, which judged nobody: {CRASH}" in told
    assert "on 1 conversation of 2,000 the authority writes otherwise than our layout of its text" in told
    assert "udged by openai-harmony 0.0.8" in told
    whole = write(samples.report(samples.conforming()))
    assert "no answer" not in whole
    assert "layout" not in whole


def test_the_machine_readable_ones_say_it_too(gaps: Report, tmp_path: Path) -> None:
    output = Output(folder=tmp_path, console=Console(file=io.StringIO()))
    junit = write_junit(gaps, output).decode()
    assert junit.count('<property name="authority"') == 3
    (run,) = json.loads(write_sarif(gaps, output))["runs"]
    assert run["properties"]["authority"]["renders"] == "38" * 32
    report = json.loads(encode(gaps))
    assert set(report["authority"]) >= {"name", "version", "distribution", "sha256"}
    assert report["run"]["unanswered"] == {CRASH: 3}
    # What differs from platform to platform is not in what is published.
    assert "sha256" not in json.loads(scoreboard_json(gaps, ""))["authority"]


def test_nobody_judged_where_nothing_was_compared() -> None:
    report = replace(samples.report(samples.conforming()), authority=None)
    assert "judged by" not in terminal(report)
    assert "Judged without an authority" in markdown(report)
    assert json.loads(scoreboard_json(report, ""))["authority"] is None
