"""What a run leaves behind: a report that its schema allows, an event log that says when it was cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from cli_helpers import FAST
from command_line import Run
from report import samples

from conformance.report.events import read_events
from conformance.report.json_file import write


@pytest.mark.parametrize("template", ["right", "newlines", "other"])
def test_the_report_is_what_the_published_schema_says(run: Run, template: str) -> None:
    schema = json.loads(run("schema", "report").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    run("check", f"{template}.jinja", *FAST, "--output", "o")
    report = json.loads(Path("o/report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
    (target,) = report["targets"]
    counts = target["cases"]
    parts = ("equal", "different", "rejected", "crashed")
    assert counts["total"] == sum(counts[part] for part in parts)
    assert counts["total"] + counts["inexpressible"] <= report["run"]["cases"]
    cases = json.loads(run("schema", "case").out)
    for divergence in target["divergences"]:
        jsonschema.validate(divergence["example"]["case"], cases, cls=jsonschema.Draft202012Validator)


def test_the_event_log_is_whole_and_says_when_it_is_not(run: Run) -> None:
    run("check", "newlines.jinja", *FAST, "--output", "o")
    path = Path("o/events.jsonl")
    whole = read_events(path)
    assert (whole.complete, whole.truncated, whole.unfinished, whole.passed) == (True, False, [], False)
    assert "instructions-trailing-newlines" in whole.divergences["newlines"]
    data = path.read_bytes()
    path.write_bytes(data[: data.rstrip(b"\n").rindex(b"\n") + 1])
    cut = read_events(path)
    assert (cut.complete, cut.truncated, cut.passed) == (False, True, False)


def test_a_right_template_passes_by_its_events_too(run: Run) -> None:
    run("check", "right.jinja", *FAST, "--output", "o")
    assert read_events(Path("o")).passed


def _started(output: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a long campaign and wait until it has found something."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "conformance.cli", "check", "newlines.jinja", "--engine", "jinja2"),
            *("--examples", "1000000", "--output", str(output), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Where the tests themselves run in the background, SIGINT is ignored, and children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    log = output / "events.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (log.is_file() and b"divergence-found" in log.read_bytes()):
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    return child


def _of_session(session: int) -> list[str]:
    """Return the living processes of a session, by their commands."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            # State, parent, group, session; what only waits to be reaped is gone.
            if fields[0] != "Z" and int(fields[3]) == session:
                found.append(command)
    return found


def _nobody_left(session: int) -> None:
    if Path("/proc").is_dir():
        end = time.monotonic() + 10
        while _of_session(session) and time.monotonic() < end:
            time.sleep(0.05)
        assert _of_session(session) == []


@pytest.mark.parametrize(("presses", "options"), [(1, ()), (3, ()), (1, ("--jobs", "2"))])
def test_ctrl_c_reports_what_was_found_and_leaves_nobody_behind(
    place: Path, presses: int, options: tuple[str, ...]
) -> None:
    child = _started(place / "o", *options)
    for _ in range(presses):
        os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    complaints = [line for line in err.splitlines() if not line.startswith(b"conformance: note:")]
    assert (child.returncode, complaints) == (3, [])
    assert b"Incomplete: ended after" in out
    assert b"instructions-trailing-newlines" in out
    report = json.loads((place / "o" / "report.json").read_text())
    assert report["run"]["complete"] is False
    events = read_events(place / "o")
    assert (events.complete, events.truncated, events.reason) == (False, False, "interrupted")
    _nobody_left(child.pid)


@pytest.mark.parametrize("options", [(), ("--jobs", "2")])
def test_a_terminated_run_reports_too(place: Path, options: tuple[str, ...]) -> None:
    """SIGTERM reaches the command alone, unlike Ctrl-C: `kill`, and wrappers with a time limit."""
    child = _started(place / "o", *options)
    child.terminate()
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 3
    assert b"Incomplete: ended after" in out
    assert read_events(place / "o").reason == "interrupted"
    _nobody_left(child.pid)


@pytest.mark.parametrize("options", [(), ("--jobs", "2")])
def test_a_killed_run_is_truncated_and_its_workers_end(place: Path, options: tuple[str, ...]) -> None:
    child = _started(place / "o", *options)
    child.kill()
    child.communicate(timeout=60)
    assert read_events(place / "o").truncated
    _nobody_left(child.pid)


def test_a_kept_report_is_shown_again_in_another_format(run: Run) -> None:
    run("check", "newlines.jinja", *FAST, "--output", "o")
    shown = run("report", "o", "--format", "markdown", "--format", "html=page.html")
    assert shown.code == 1
    assert "HT301" in shown.out or "instructions-trailing-newlines" in shown.out
    assert Path("page.html").read_bytes().startswith(b"<!doctype html>")
    assert run("report").code == 1, "the newest run"


def test_a_precision_run_stands_beside_or_alone(run: Run) -> None:
    write(samples.report(samples.conforming()), Path("o"))
    Path("precision.json").write_text(json.dumps(samples.precision()), encoding="utf-8")
    shown = run("report", "o", "precision.json", "--format", "html=page.html", "--format", "terminal")
    assert shown.code == 1, "the precision run has a surprise"
    assert "Reproduce with: conformance precision --preset tiny" in shown.out
    page = Path("page.html").read_text(encoding="utf-8")
    assert "alpha is 1.7" in page
    assert "gpt-oss" in page
    assert "nothing was judged" not in run("report", "precision.json").out.lower()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("nowhere",), "nowhere"),
        (("o", "o"), "both reports of judged targets"),
        (("bad.json",), "broken precision report"),
        (("right.jinja",), "is not a report"),
    ],
)
def test_what_is_no_report_is_one_sentence(run: Run, files: tuple[str, ...], said: str) -> None:
    write(samples.report(samples.conforming()), Path("o"))
    Path("bad.json").write_text(json.dumps({**samples.precision(), "rows": [{"path": 1}]}), encoding="utf-8")
    shown = run("report", *files)
    assert shown.code == 2
    assert said in shown.err
    assert shown.err.count("\n") == 1
