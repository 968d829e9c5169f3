"""Programs as targets: the whole campaign, declared refusals, and all the ways in which a program may end."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Run

from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, EXIT_USAGE
from conformance.report.json_file import read
from conformance.report.model import Target

PROGRAM = Path(__file__).with_name("program.py")


def command(mode: str) -> str:
    return shlex.join([sys.executable, str(PROGRAM), mode])


def target(place: Path) -> Target:
    (found,) = read(place / "out").targets
    return found


def check(run: Run, mode: str, *more: object, examples: int = 30) -> tuple[int, str]:
    result = run("check", "--command", command(mode), "--examples", examples, "--output", "out", *more)
    return result.code, " ".join(result.out.split())


def test_a_program_that_is_right_conforms(run: Run, place: Path) -> None:
    code, _ = check(run, "right")
    assert code == EXIT_CONFORMS
    found = target(place)
    assert found.cases.equal == found.cases.total == 30
    assert found.cases.inexpressible == 0
    assert found.source == {"kind": "renderer", "location": found.name, "version": None}
    assert str(PROGRAM.parent) not in found.name


def test_a_fault_is_shrunk_and_its_line_can_be_pasted(run: Run, place: Path) -> None:
    code, out = check(run, "low", examples=40)
    assert code == EXIT_DIVERGES
    (effort,) = [each for each in target(place).divergences if each.rule == "reasoning-effort"]
    assert effort.example.minimal
    assert len(effort.example.case.conversation.messages) == 1
    assert effort.example.reproduce.startswith("echo '{")
    done = subprocess.run(
        ["/bin/sh", "-c", effort.example.reproduce], capture_output=True, check=True, timeout=120, text=True
    )
    assert "Reasoning: Low" in done.stdout
    assert "renderer" in out


def test_what_a_program_cannot_say_is_counted_apart(run: Run, place: Path) -> None:
    code, out = check(run, "no-tools")
    assert code == EXIT_CONFORMS
    found = target(place)
    (refusal,) = found.refusals
    assert refusal.message == "this program cannot say tools"
    assert refusal.case.conversation.tools
    assert found.cases.total + found.cases.refused == 30
    assert "refused, though Harmony renders them (not counted)" in out


def test_a_program_that_refuses_everything_is_no_pass(run: Run) -> None:
    code, out = check(run, "refuses")
    assert code == EXIT_UNJUDGED
    assert "it refused every conversation" in out


def test_refusals_in_vectors_check(run: Run) -> None:
    result = run("vectors", "check", "--command", command("no-tools"), "--family", "ends", "--format", "json")
    assert '"refused": ' in result.out or '"refused":' in result.out
    assert "this program cannot say tools" in result.out


@pytest.mark.parametrize(
    ("mode", "rule", "says"),
    [
        ("late", "resource-limit", "it wrote nothing for 2 s"),
        ("out-of-order", "template-crashed", "its answer has the id"),
    ],
)
def test_programs_that_hang_or_answer_out_of_order(
    run: Run, place: Path, mode: str, rule: str, says: str
) -> None:
    code, _ = check(run, mode, "--timeout", "2", examples=20)
    assert code in (EXIT_DIVERGES, EXIT_UNJUDGED)
    (found,) = target(place).divergences
    assert found.rule == rule
    assert says in (found.example.failure or "")


def test_a_program_that_ends_is_started_anew(run: Run, place: Path) -> None:
    code, _ = check(run, "gone")
    assert code == EXIT_CONFORMS
    assert target(place).cases.equal == 30


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "--command is empty"),
        ("'", "cannot be read as words"),
        ("/no/such/program", "Cannot start the renderer"),
    ],
)
def test_what_cannot_be_started(run: Run, words: str, says: str) -> None:
    result = run("check", "--command", words)
    assert result.code == EXIT_USAGE
    assert says in result.err


def test_a_program_that_never_answers(run: Run) -> None:
    result = run("check", "--command", shlex.join([sys.executable, "-c", "raise SystemExit('no')"]))
    assert result.code == EXIT_UNJUDGED
    assert "never answered" in result.err + result.out


def test_neither_target_nor_program(run: Run) -> None:
    result = run("check")
    assert result.code == EXIT_USAGE
    assert "Name a target" in result.err
