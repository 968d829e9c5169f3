"""From end to end: findings stand below the verdict and in the report, and count for the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from package_files import changed, good_values, integers, write_folder, write_gguf

from conformance.cli import main
from conformance.gate.exits import exit_code
from conformance.report import json_file
from conformance.report.model import Report, Target
from conformance.rules import catalogue


class Result(NamedTuple):
    code: object
    out: str
    report: Report
    target: Target


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(target: Path, *options: str) -> Result:
        output = str(tmp_path / "out")
        fast = ("--engine", "jinja2", "--examples", "10", "--output", output, "--offline")
        with pytest.raises(SystemExit) as ended:
            main(["check", str(target), *fast, *options])
        report = json_file.read(tmp_path / "out")
        return Result(ended.value.code, capsys.readouterr().out, report, report.targets[0])

    return run


def test_a_folder_that_does_not_stop(tmp_path: Path, check: Any) -> None:
    folder = write_folder(tmp_path / "m", changed("generation_config.json", eos_token_id=200_002))
    result = check(folder)
    assert result.code == 1
    assert result.target.verdict == "conforms"
    (finding,) = result.target.findings
    assert (finding.rule, finding.code, finding.severity) == ("stop-tokens", "HT854", "error")
    assert (finding.expected, finding.actual) == ("200002, 200012", "200002")
    assert "but 1 package finding" in result.out
    assert (
        "HT854 stop-tokens  generation_config.json: generation does not stop at <|call|> (200012)"
        in result.out
    )
    assert check(folder, "--fail-on", "never").code == 0


def test_a_warning_counts_where_warnings_do_and_a_missing_file_never(tmp_path: Path, check: Any) -> None:
    config = changed("config.json", max_position_embeddings=8_192, eos_token_id=None)
    changes = {"generation_config.json": None, **config}
    folder = write_folder(tmp_path / "m", changes)
    assert check(folder, "--fail-on", "warning").code == 1
    result = check(folder)
    assert result.code == 0
    assert "HT856 context-length (warning)  config.json: 8,192 tokens; gpt-oss has 131,072" in result.out
    assert "stop-tokens not checked: there is no readable generation_config.json" in result.out
    (missing,) = (finding for finding in result.target.findings if not finding.checked)
    report = replace(result.report, targets=[replace(result.target, findings=[missing], passes=None)])
    assert exit_code(report, "warning") == 0


def test_a_gguf_with_ordinary_tokens(tmp_path: Path, check: Any) -> None:
    values = {**good_values(), "tokenizer.ggml.token_type": (9, integers([1] * 201_088))}
    result = check(write_gguf(tmp_path / "m.gguf", values))
    assert result.code == 1
    assert [finding.rule for finding in result.target.findings] == ["special-token-type"]
    assert "HT853 special-token-type  tokenizer.ggml.tokens in m.gguf: stored as ordinary text" in result.out


def test_a_folder_and_its_gguf_are_one_target_with_the_findings_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "m", changed("generation_config.json", eos_token_id=200_002))
    path = write_gguf(tmp_path / "g.gguf", {**good_values(), "tokenizer.ggml.add_bos_token": (7, b"\x01")})
    fast = ("--engine", "jinja2", "--examples", "10", "--output", str(tmp_path / "out"))
    with pytest.raises(SystemExit):
        main(["check", str(folder), str(path), *fast])
    (target,) = json_file.read(tmp_path / "out").targets
    assert [finding.rule for finding in target.findings] == ["stop-tokens", "bos-added"]
    assert target.aliases == ["g"]
    assert "2 package findings" in capsys.readouterr().out


@pytest.mark.parametrize("rule", [rule.slug for rule in catalogue() if rule.family == "package"])
def test_every_rule_is_explained(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", rule])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("HT8")
    for label in ("What", "Why", "Spec", "Try"):
        assert label in out
