"""`--format NAME` and `--format NAME=FILE`: where each report goes, and what is refused before a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cli_helpers import FAST, sentence, subprocess_run
from command_line import Run

from conformance.report.files import FolderLock


def test_every_format_goes_where_it_was_sent(run: Run) -> None:
    result = run(
        "check", "newlines.jinja", *FAST, "--format", "sarif=a/x.sarif", "--format", "junit=x.xml", "--format",
        "markdown=x.md", "--format", "terminal=x.txt", "--format", "json=x.json",
    )  # fmt: skip
    assert result.code == 1
    assert "HT111" in result.out  # the terminal too, since nothing else has standard output
    assert json.loads(Path("a/x.sarif").read_text())["version"] == "2.1.0"
    assert ET.parse("x.xml").getroot().get("failures") == "1"
    assert "| ❌ newlines |" in Path("x.md").read_text()
    assert "HT111" in Path("x.txt").read_text()
    assert json.loads(Path("x.json").read_text())["targets"][0]["name"] == "newlines"


def test_formats_for_programs_have_standard_output(run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, "--format", "github", "--format", "terminal")
    assert result.out.startswith("::error file=newlines.jinja,line=")
    assert all(line.startswith("::") for line in result.out.splitlines())
    assert "HT111" in result.err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--format", "sarif="), "names no file"),
        (("--format", "nope=x"), "There is no report format 'nope'"),
        (("--format", "sarif=."), "it is a folder"),
        (("--format", "sarif=new/"), "names a folder"),
        (("--format", "sarif", "--format", "json"), "sarif and json would be mixed"),
        (("--format", "sarif=right.jinja/x"), "Cannot write"),
        (("--format", "sarif=x", "--format", "junit=x"), "Two formats go to one file"),
        (("--format", "sarif=link"), "it is a link"),
        (("--output", ""), "--output is empty"),
        (("--cards", "-1"), "--cards is -1"),
    ],
)
def test_what_would_fail_after_the_run_is_refused_before_it(
    option: tuple[str, ...], said: str, run: Run
) -> None:
    Path("link").symlink_to("right.jinja")
    before = sorted(os.listdir())
    result = run("check", "newlines.jinja", *FAST, *option)
    assert result.code == 2
    assert said in sentence(result)
    assert sorted(os.listdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(run: Run) -> None:
    Path("closed").mkdir(mode=0o500)
    result = run("check", "newlines.jinja", *FAST, "--format", "sarif=closed/x")
    assert result.code == 2
    assert "read-only" in sentence(result)


def test_two_runs_do_not_mix_in_one_folder(run: Run) -> None:
    Path("out").mkdir()
    lock = FolderLock(Path("out"))
    done = subprocess_run("check", "newlines.jinja", *FAST, "--output", "out")
    assert done.returncode == 2
    assert b"Another run is writing into out" in done.stderr
    lock.release()
    for _ in range(2):
        assert run("check", "newlines.jinja", *FAST, "--output", "out").code == 1


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.long)])
def test_three_of_many_targets_cannot_be_read(run: Run, count: int) -> None:
    good, bad = Path("right.jinja").read_text(), b"\xff\xfe\x00"
    unread = (1, count // 2, count - 1)
    for number in range(count):
        Path(f"t{number:03}.jinja").write_bytes(
            bad if number in unread else f"{good}{{# {number} #}}".encode()
        )
    targets = sorted(str(path) for path in Path().glob("t*.jinja"))
    result = run("check", *targets, "--engine", "jinja2", "--examples", "1", "--format", "json")
    assert result.code == 2
    report = json.loads(result.out)
    assert [left["name"] for left in report["left_out"]] == [f"t{number:03}.jinja" for number in unread]
    assert len(report["targets"]) == count - 3
