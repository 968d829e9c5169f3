"""What people try without reading: -h, -V, -q, a template through a pipe, replaying from anywhere, marks that fit."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from cli_helpers import FAST, NEWLINES, sentence
from command_line import Run

from conformance import __version__
from conformance.rules import catalogue


def _report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("command", [(), ("check",), ("precision",), ("templates", "list")])
def test_h_is_help(run: Run, command: tuple[str, ...]):
    assert run(*command, "-h").out == run(*command, "--help").out


def test_the_version_has_a_short_name(run: Run):
    assert run("-V").out == f"conformance {__version__}\n"


def test_quiet_says_nothing_and_the_exit_code_and_the_files_tell(run: Run):
    result = run("check", "newlines.jinja", "-q", *FAST, "--output", "out", "--format", "terminal")
    assert (result.code, result.out, result.err) == (1, "", "")
    assert _report(Path("out"))["targets"][0]["verdict"] == "diverges"
    assert run("check", "gone.jinja", "-q").err.startswith("conformance: "), "what went wrong is still said"


def test_quiet_says_that_a_run_was_ended(run: Run):
    result = run("check", "newlines.jinja", "-q", *FAST, "--output", "out", "--seconds", "0.001")
    assert (result.code, result.out) == (3, "")
    assert sentence(result).startswith("incomplete: ended after 0 conversations")


def test_a_template_comes_through_a_pipe(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NEWLINES.encode())))
    result = run("check", "-", *FAST)
    assert result.code == 1
    assert "HT111" in result.out
    assert "stdin" in result.out


def test_nothing_piped_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", None)
    result = run("check", "-")
    assert result.code == 2
    assert "nothing is piped" in sentence(result)


def test_a_case_of_any_kept_run_is_replayed_from_any_folder(run: Run, place: Path, monkeypatch):
    run("check", "newlines.jinja", *FAST, "--output", "first")
    found = _report(Path("first"))["targets"][0]["divergences"][0]["example"]
    run("check", "newlines.jinja", *FAST)
    run("check", "right.jinja", *FAST)  # the newest run has no such case
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = run("replay", found["case_id"])
    assert result.code == 1
    assert "# Instructions" in result.out
    assert '"messages":[' in result.out, "what the template was handed is shown"


def test_the_kept_runs_are_as_many_as_was_said(run: Run, place: Path, monkeypatch):
    monkeypatch.setenv("CONFORMANCE_RUNS", str(place / "runs"))
    for _ in range(3):
        run("check", "right.jinja", "--engine", "jinja2", "--examples", "1", "--keep-runs", "2")
    kept = [path for path in (place / "runs").iterdir() if path.is_dir()]
    assert len(kept) == 2
    assert "None of the 2 kept runs" in sentence(run("replay", "0123456789ab"))
    assert "--keep-runs is 0" in sentence(run("check", "right.jinja", "--keep-runs", "0"))


def test_the_report_holds_what_the_template_was_handed(run: Run):
    run("check", "newlines.jinja", *FAST, "--output", "out")
    example = _report(Path("out"))["targets"][0]["divergences"][0]["example"]
    roles = {message["role"] for message in example["handed"]["messages"]}
    assert roles & {"system", "developer"}
    assert example["handed"]["add_generation_prompt"] in (True, False)
    assert Path(_report(Path("out"))["run"]["directory"]) == Path.cwd()


def test_explain_lists_the_catalogue_for_programs(run: Run):
    listed = json.loads(run("explain", "--format", "json").out)
    assert [rule["code"] for rule in listed] == [rule.code for rule in catalogue()]
    assert all(rule["good"] and rule["bad"] and rule["impact"] for rule in listed)
    assert json.loads(run("explain", "HT203", "--format", "json").out)["slug"] == "default-comment-placement"
    assert run("explain", "--format", "yaml").code == 2


def test_a_feature_that_a_report_names_is_explained(run: Run):
    assert "tools" in run("explain", "tools-none").out


def test_examples_of_a_rule_stand_in_its_explanation(run: Run):
    out = run("explain", "HT203").out
    assert "Good" in out
    assert "Bad" in out


@pytest.mark.parametrize(
    ("template", "options", "code", "mark", "words"),
    [
        ("right.jinja", (), 0, "✓", "conforms"),
        ("newlines.jinja", (), 1, "✗", "diverges"),
        ("newlines.jinja", ("--fail-on", "never"), 0, "✓", "passes this gate, diverges"),
        ("newlines.jinja", ("--fail-on", "content"), 0, "✓", "passes this gate, diverges"),
    ],
)
def test_the_mark_goes_with_the_exit_code(run: Run, template, options, code, mark, words):
    result = run("check", template, *FAST, *options)
    assert result.code == code
    verdict = next(line for line in result.out.splitlines() if words in line)
    assert verdict.startswith(mark)


def test_a_package_that_is_wrong_is_no_pass(run: Run, place: Path):
    folder = place / "model"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text((place / "right.jinja").read_text())
    (folder / "generation_config.json").write_text('{"eos_token_id": [200007]}')
    (folder / "config.json").write_text('{"model_type": "gpt_oss"}')
    result = run("check", "model", *FAST)
    assert result.code == 1
    assert not any(line.startswith("✓") for line in result.out.splitlines()), result.out


def test_the_words_of_a_report_need_no_glossary(run: Run):
    out = run("check", "newlines.jinja", *FAST).out
    assert "generated stress conversations are identical" in out.replace("\n    ", " ").replace("\n  ", " ")
    for jargon in ("oracle", "inexpressible", "  Reads ", "  Again ", "  But ", "  Also "):
        assert jargon not in out
