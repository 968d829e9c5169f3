"""`conformance diff` and `conformance replay`: one conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import FAST, NEWLINES, REFERENCE, normal, sentence
from command_line import Run
from syrupy.assertion import SnapshotAssertion

REQUEST = {
    "model": "gpt-oss-120b",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Call w.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun \U0001f31e"},
    ],
}


@pytest.fixture
def request_file(place: Path) -> Path:
    path = place / "request.json"
    path.write_text(json.dumps(REQUEST), encoding="utf-8")
    return path


def test_a_real_request_differs(run: Run, request_file: Path, snapshot: SnapshotAssertion) -> None:
    result = run("diff", "newlines.jinja", "--case", request_file, "--engine", "jinja2")
    assert (result.code, result.err) == (1, "")
    assert normal(result.out) == snapshot


def test_a_real_request_agrees(run: Run, request_file: Path) -> None:
    result = run("diff", "right.jinja", "--case", request_file, "--engine", "jinja2")
    assert (result.code, result.err) == (0, "")


def test_the_profile_decides_what_is_right(run: Run, request_file: Path) -> None:
    options = ("--case", request_file, "--engine", "jinja2", "--profile", "constrain")
    result = run("diff", "right.jinja", *options)
    assert result.code == 1
    assert "content-type-marker" in result.out


def test_a_reported_case_again_by_id_by_beginning_and_from_its_file(run: Run, place: Path) -> None:
    assert run("check", "newlines.jinja", *FAST, "--output", "o").code == 1
    (target,) = json.loads((place / "o" / "report.json").read_text())["targets"]
    example = target["divergences"][0]["example"]
    by_id = run("replay", example["case_id"], "--target", "newlines")
    assert (by_id.code, by_id.err) == (1, "")
    assert "instructions-trailing-newlines" in by_id.out
    assert run("replay", example["case_id"][:6]) == by_id
    assert run("replay", example["case_id"], "--run", "o") == by_id
    (place / "case.json").write_text(json.dumps(example["case"]))
    assert "instructions-trailing-newlines" in run("replay", "case.json", "--target", "newlines.jinja").out


def test_a_template_that_was_repaired_since_is_told(run: Run, place: Path) -> None:
    run("check", "newlines.jinja", *FAST, "--output", "o")
    (target,) = json.loads((place / "o" / "report.json").read_text())["targets"]
    identifier = target["divergences"][0]["example"]["case_id"]
    (place / "newlines.jinja").write_text((place / "right.jinja").read_text())
    repaired = run("replay", identifier)
    assert repaired.code == 0
    assert "newlines has changed since that run" in repaired.out
    (place / "newlines.jinja").unlink()
    assert "newlines.jinja" in sentence(run("replay", identifier))


def test_a_named_template_that_changed_is_replayed_and_not_the_default(run: Run, place: Path) -> None:
    """Otherwise the default, which is right, would stand for the one that is not."""
    folder = place / "model"
    named = folder / "additional_chat_templates"
    named.mkdir(parents=True)
    (folder / "chat_template.jinja").write_text(REFERENCE, encoding="utf-8")
    (named / "tool_use.jinja").write_text(NEWLINES, encoding="utf-8")
    run("check", "model", "--examples", 60, "--format", "json", "--output", "o")
    targets = json.loads((place / "o" / "report.json").read_text())["targets"]
    (wrong,) = [target for target in targets if "tool_use" in target["name"]]
    (place / "hi.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}', encoding="utf-8")
    shown = run("diff", folder, "--case", place / "hi.json", "--engine", "jinja2").out
    assert f"not shown: {wrong['name']}." in " ".join(shown.split())
    (named / "tool_use.jinja").write_text("{#- tried -#}\n" + NEWLINES, encoding="utf-8")
    case = wrong["divergences"][0]["example"]["case_id"]
    result = run("replay", case, "--target", wrong["name"], "--run", "o")
    assert result.code == 1
    assert "has changed since that run" in result.out
