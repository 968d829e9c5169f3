"""Reports that are broken, baselines that are wrong, places that cannot be written, terminals that show little."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import FAST, sentence, subprocess_run
from command_line import Run

ENTRY = '[[accepted]]\ntarget = "newlines"\nrule = "{rule}"\nreason = "known"\n'


@pytest.fixture
def report(run: Run, place: Path) -> Path:
    run("check", "newlines.jinja", *FAST, "--output", "kept")
    return place / "kept" / "report.json"


REPLAY, COMPARE = ("replay", "6235989a4e0d", "--run", "kept"), ("compare", "kept/report.json", "right.jinja")


@pytest.mark.parametrize("command", [REPLAY, COMPARE])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "is not a report"),
        (lambda text: "", "is not a report"),
        (lambda text: text.replace("conformance-report/1", "conformance-report/9"), "this version reads"),
        (lambda text: json.dumps({**json.loads(text), "targets": "none"}), "is a broken report"),
        (lambda text: "[" * 100_000, "is not a report"),
    ],
)
def test_a_broken_report_is_one_sentence(run: Run, report: Path, command, damage, said):
    report.write_text(damage(report.read_text()))
    result = run(*command)
    assert result.code == 2
    assert said in sentence(result)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY.format(rule="HT111").replace("reason", "raeson"), "did you mean reason"),
        (ENTRY.format(rule="HT1111"), "No rule"),
        (ENTRY.format(rule="HT111") * 2, "is there twice"),
        (ENTRY.format(rule="HT111") + "expires = 2026-13-01\n", "not"),
        (ENTRY.format(rule="HT111").replace("known", " "), "has no reason"),
        ("accepted = 3\n", "accepted"),
    ],
)
def test_a_baseline_that_is_wrong_ends_the_command_before_the_run(
    run: Run, place: Path, text: str, said: str
):
    (place / "known.toml").write_text(text)
    result = run("check", "newlines.jinja", *FAST, "--baseline", "known.toml", "--output", "out")
    assert result.code == 2
    assert said in sentence(result)
    assert not (place / "out" / "events.jsonl").exists()


def test_an_expired_and_an_unused_entry_end_the_command_with_2(run: Run, place: Path):
    (place / "known.toml").write_text(ENTRY.format(rule="HT111") + "expires = 2001-01-01\n")
    result = run("check", "newlines.jinja", *FAST, "--baseline", "known.toml")
    assert result.code == 2
    assert "expired on 2001-01-01" in sentence(result)
    (place / "known.toml").write_text(ENTRY.format(rule="HT111") + ENTRY.format(rule="HT203"))
    result = run("check", "newlines.jinja", *FAST, "--baseline", "known.toml")
    assert result.code == 2
    assert "HT203 is not found any more" in sentence(result)


@pytest.mark.parametrize("folder", ["/proc/conformance", "right.jinja/out"])
def test_an_output_folder_that_cannot_be_made_is_told_before_the_run(run: Run, folder: str):
    result = run("check", "newlines.jinja", *FAST, "--output", folder)
    assert result.code == 2
    assert "--output" in sentence(result)


def _little_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_on_a_full_disk_the_old_report_stays_whole(run: Run, report: Path, place: Path):
    before = report.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "check", "newlines.jinja", *FAST, "--output", "kept"],
        capture_output=True,
        preexec_fn=_little_room,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert b"Cannot write" in done.stderr
    assert b"Traceback" not in done.stderr
    assert report.read_bytes() == before
    assert {path.name for path in report.parent.iterdir()} <= {"report.json", "events.jsonl"}


@pytest.mark.parametrize("how", [("-m", "conformance"), ("-c", "from conformance.cli import main; main()")])
def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path, how: tuple[str, ...]):
    place = tmp_path / "gone"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", *how, "--version"],
        capture_output=True,
        text=True,
        cwd=place,
        preexec_fn=place.rmdir,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "conformance: the current folder is gone; change to one that exists\n"


@pytest.mark.parametrize(
    "terminal",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
        {"PYTHONIOENCODING": "latin-1", "COLUMNS": "40"},
        {"PYTHONIOENCODING": "cp437", "COLUMNS": "20"},
    ],
)
def test_narrow_terminals_of_other_encodings_show_the_verdict(terminal: dict[str, str]):
    done = subprocess_run("check", "newlines.jinja", *FAST, "--cards", "1", env=terminal)
    assert (done.returncode, done.stderr) == (1, b"")
    text = done.stdout.decode(terminal["PYTHONIOENCODING"])
    assert "diverges" in text
    assert "HT111" in text


@pytest.mark.parametrize("plain", [{"TERM": "dumb"}, {"TERM": "xterm-256color", "NO_COLOR": "1"}])
def test_a_terminal_without_colours_gets_none(plain: dict[str, str], place: Path):
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "conformance.cli", "explain", "HT203"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, **plain},
    )
    os.close(theirs)
    written = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(60) == 0
    assert b"default-comment-placement" in written
    assert b"\x1b[3" not in written, "no colour"
