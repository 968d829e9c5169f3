"""`conformance check` from beginning to end: verdicts, exit codes, what is printed and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import FAST, REFERENCE, normal, sentence, with_fault
from command_line import Run
from syrupy.assertion import SnapshotAssertion

from conformance.campaign import runner

# Deliberately wrong templates, each with the rule that has to be found.
WRONG = {
    "instructions-trailing-newlines": (
        "{{- '# Instructions\\n\\n' ~ instructions -}}",
        "{{- '# Instructions\\n\\n' ~ instructions ~ '\\n' -}}",
    ),
    "functions-note": ("{{- '\\nCalls to these tools must", "{{- '\\nCalls to those tools must"),
    "generation-prompt": ("{{- '<|start|>assistant' -}}", "{{- '<|start|>assistant<|channel|>analysis' -}}"),
    "section-order": ("'# Tools\\n\\n## functions\\n\\nnamespace", "'## functions\\n\\nnamespace"),
    "return-or-end": ("{%- set final_end = '<|return|>' if", "{%- set final_end = '<|end|>' if"),
    "final-channel-missing": (
        "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~",
        "{{- '<|start|>assistant<|message|>' ~ content ~",
    ),
}


def test_a_right_template_conforms(run: Run, snapshot: SnapshotAssertion) -> None:
    result = run("check", "right.jinja", *FAST)
    assert (result.code, result.err) == (0, "")
    assert normal(result.out) == snapshot


def test_a_wrong_template_diverges(run: Run, snapshot: SnapshotAssertion) -> None:
    result = run("check", "newlines.jinja", *FAST)
    assert (result.code, result.err) == (1, "")
    assert normal(result.out) == snapshot


def test_a_template_of_another_family_gets_one_line(run: Run, snapshot: SnapshotAssertion) -> None:
    result = run("check", "other.jinja", *FAST)
    assert (result.code, result.err) == (1, "")
    assert normal(result.out) == snapshot


@pytest.mark.parametrize("rule", WRONG)
def test_deliberate_faults_are_caught_by_name(run: Run, place: Path, rule: str) -> None:
    (place / "t.jinja").write_text(with_fault(*WRONG[rule]), encoding="utf-8")
    options = ("--engine", "jinja2", "--examples", 60, "--format", "json", "--output", "o")
    assert run("check", "t.jinja", *options).code == 1
    (target,) = json.loads(Path("o/report.json").read_text())["targets"]
    assert rule in {divergence["rule"] for divergence in target["divergences"]}


def test_the_default_engine_is_transformers(run: Run) -> None:
    result = run("check", "right.jinja", "--examples", 20)
    assert result.code == 0
    assert "engines transformers" in result.out


def test_two_engines_judge_together(run: Run) -> None:
    result = run("check", "right.jinja", "--engine", "jinja2", "--engine", "transformers", "--examples", 20)
    assert result.code == 0
    assert "engines jinja2, transformers" in result.out


@pytest.mark.parametrize(("fail_on", "code"), [("error", 1), ("warning", 1), ("never", 0)])
def test_fail_on_chooses_what_fails(run: Run, fail_on: str, code: int) -> None:
    assert run("check", "newlines.jinja", *FAST, "--fail-on", fail_on).code == code


def test_json_has_standard_output_to_itself(run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, "--format", "json", "--output", "o")
    assert (result.code, result.err) == (1, "")
    assert result.out == Path("o", "report.json").read_text()
    assert sorted(path.name for path in Path("o").iterdir()) == ["events.jsonl", "report.json"]


def test_json_alone_says_where_when_nobody_chose_the_folder(run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, "--format", "json")
    assert result.code == 1
    path = Path(result.err.removeprefix("Report: ").strip())
    assert path.read_text() == result.out
    assert json.loads(result.out)["schema"] == "conformance-report/1"


def test_beside_json_what_is_for_people_goes_to_standard_error(run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, "--format", "json", "--format", "terminal")
    assert json.loads(result.out)["targets"][0]["verdict"] == "diverges"
    assert "instructions-trailing-newlines" in result.err


def test_cards_limits_cards_only(run: Run) -> None:
    none = run("check", "newlines.jinja", *FAST, "--cards", 0).out
    assert "Reproduce with conformance replay" not in none
    assert "instructions-trailing-newlines" in none


def test_the_same_seed_gives_the_same_report(run: Run) -> None:
    for folder in ("a", "b"):
        run("check", "newlines.jinja", *FAST, "--seed", 7, "--format", "json", "--output", folder)
    first, second = (json.loads(Path(folder, "report.json").read_text()) for folder in ("a", "b"))
    assert first["run"].pop("elapsed_s") >= 0
    assert second["run"].pop("elapsed_s") >= 0
    assert first == second


def test_several_targets_the_worst_decides(run: Run, snapshot: SnapshotAssertion) -> None:
    result = run("check", "right.jinja", "newlines.jinja", *FAST, "--cards", 1)
    assert result.code == 1
    assert normal(result.out) == snapshot


def test_an_unreadable_target_among_others_is_told_and_left_out(run: Run) -> None:
    result = run("check", "right.jinja", "gone.jinja", *FAST, "--output", "o")
    assert result.code == 2
    assert sentence(result) == "no such file or folder: gone.jinja"
    assert "right  conforms" in result.out
    assert "left out gone.jinja" in result.out
    (left,) = json.loads(Path("o/report.json").read_text())["left_out"]
    assert left["name"] == "gone.jinja"


def test_a_target_that_does_not_compile_among_others_is_reported(run: Run, place: Path) -> None:
    (place / "broken.jinja").write_text("line one\n{% if %}", encoding="utf-8")
    result = run("check", "newlines.jinja", "broken.jinja", *FAST, "--cards", 0)
    assert result.code == 2
    assert "newlines  diverges" in result.out
    assert "line 2" in result.out


def test_two_files_of_one_name_are_told_apart(run: Run, place: Path) -> None:
    for folder, text in (("a", REFERENCE), ("b", REFERENCE.replace("Reasoning: ", "Thinking: "))):
        (place / folder).mkdir()
        (place / folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    result = run("check", "a/chat_template.jinja", "b/chat_template.jinja", *FAST, "--output", "o")
    assert result.code == 1
    names = [target["name"] for target in json.loads(Path("o/report.json").read_text())["targets"]]
    assert names == ["a/chat_template.jinja", "b/chat_template.jinja"]


def test_equal_texts_are_judged_once(run: Run, place: Path) -> None:
    (place / "copy.jinja").write_text(REFERENCE, encoding="utf-8")
    result = run("check", "right.jinja", "copy.jinja", *FAST)
    assert result.code == 0
    assert result.out.count("covered") == 1
    assert "copy" in result.out


def test_a_run_whose_time_is_up_proves_nothing(run: Run) -> None:
    options = ("--engine", "jinja2", "--examples", 10**6, "--seconds", 1.5, "--output", "o")
    result = run("check", "right.jinja", *options)
    assert result.code == 3
    assert "conforms" not in result.out
    assert "Incomplete: ended after" in result.out
    footer = json.loads(Path("o/events.jsonl").read_text().splitlines()[-1])
    assert (footer["event"], footer["complete"], footer["reason"]) == ("footer", False, "its time was up")


@pytest.mark.parametrize("wrong", [(3,), (0, "--seconds", 1), (10**7, "--seconds", 1)])
def test_a_least_number_that_makes_no_sense(run: Run, wrong: tuple[object, ...]) -> None:
    result = run("check", "right.jinja", "--at-least", *wrong)
    assert result.code == 2
    assert "--at-least" in result.err


def test_an_endless_template_costs_its_own_cases(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_TIME_LIMITS", 1)
    endless = "{%- for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    (place / "endless.jinja").write_text(endless, encoding="utf-8")
    result = run("check", "endless.jinja", "--engine", "jinja2", "--examples", 4)
    assert result.code in (1, 3)
    assert "resource-limit" in result.out
    assert "Traceback" not in result.out + result.err


def test_what_a_template_writes_never_reaches_the_terminal_raw(run: Run, place: Path) -> None:
    text = REFERENCE.replace("Reasoning: ", "Reasoning: \x1b[31m\x1b]0;title\x07\u202e")
    (place / "\x1b[2Jname.jinja").write_text(text, encoding="utf-8")
    result = run("check", "\x1b[2Jname.jinja", *FAST)
    assert result.code == 1
    assert not set(result.out) & set("\x1b\x07\u202e")
