"""The formats for other programs: each is read back by a program or a schema that is not ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
from junitparser import Error, Failure, JUnitXml

from conformance.report.base import Output, writer
from conformance.report.github_markdown import LIMIT, markdown
from conformance.report.issues import issues
from conformance.report.model import LeftOut, Report

from . import samples
from .sarif_schema import sarif_schema

FORMATS = ("sarif", "junit", "markdown", "github", "gitlab", "json")


def written(name: str, report: Report) -> bytes:
    found = writer(name)(report, Output(folder=Path("unused")))
    assert isinstance(found, bytes)
    return found


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a template and a tokenizer_config.json in it, as the current folder."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a b.jinja").write_text("x\n" * 400)
    (tmp_path / "model" / "tokenizer_config.json").write_text('{\n "a": 1,\n "chat_template": "x"\n}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at(location: str, kind: str = "file", member: str | None = None) -> Report:
    source = {"kind": kind, "location": location, "member": member}
    return samples.report(msgspec.structs.replace(samples.diverging(), source=source))


REPORTS = {
    "full": samples.full(),
    "hostile": samples.report(samples.hostile_target()),
    "incomplete": samples.report(samples.conforming(), complete=False),
    "nothing": samples.report(),
    "conforms": samples.report(samples.conforming()),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_sarif_is_valid(report: Report) -> None:
    schema = sarif_schema()
    if isinstance(schema, str):
        pytest.skip(schema)
    jsonschema.validate(json.loads(written("sarif", report)), schema, jsonschema.Draft7Validator)


def test_sarif_points_at_lines_of_files_in_the_repository(clone: Path) -> None:
    run = json.loads(written("sarif", at(str(clone / "model" / "a b.jinja"))))["runs"][0]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"model/a%20b.jinja"}
    lines = {
        result["ruleId"]: place.get("region") for result, place in zip(run["results"], places, strict=True)
    }
    assert lines["HT203"] == {"startLine": 136}
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert rules[result["ruleIndex"]]["help"]["text"]
        assert rules[result["ruleIndex"]]["properties"]["tags"]


def test_a_template_in_json_is_annotated_where_it_is_in_that_file(clone: Path) -> None:
    for report in (at("model/tokenizer_config.json"), at("model", "model-folder", "tokenizer_config.json")):
        assert {(issue.place.uri, issue.place.line) for issue in issues(report)} == {
            ("model/tokenizer_config.json", 3)
        }


def test_fingerprints_stay_when_lines_and_shares_move_and_tell_everything_apart(clone: Path) -> None:
    def prints(report: Report) -> list[str]:
        return [issue.fingerprint for issue in issues(report)]

    before = at("model/a b.jinja")
    target = before.targets[0]
    moved = [
        msgspec.structs.replace(
            divergence, share=0.5, example=msgspec.structs.replace(divergence.example, template_line=7)
        )
        for divergence in target.divergences
    ]
    after = samples.report(msgspec.structs.replace(target, divergences=moved))
    assert set(prints(before)) == set(prints(after))
    everything = prints(samples.full())
    assert len(set(everything)) == len(everything)


def test_an_independent_reader_counts_what_sarif_says(tmp_path: Path) -> None:
    pytest.importorskip("sarif", reason="sarif-tools is not installed")
    (tmp_path / "x.sarif").write_bytes(written("sarif", samples.report(samples.diverging())))
    done = subprocess.run(
        [sys.executable, "-m", "sarif", "summary", "x.sarif"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = samples.diverging().divergences
    for level in ("error", "warning"):
        assert f"{level}: {sum(found.severity == level for found in listed)}" in done.stdout


def test_junit_is_read_back(tmp_path: Path) -> None:
    report = samples.full()
    read = JUnitXml.fromstring(written("junit", report))
    suites = {suite.name: suite for suite in read}
    worst = suites["openai-gpt-oss-120b"]
    assert worst.failures == sum(found.severity != "note" for found in samples.diverging().divergences)
    assert suites["gpt-oss"].tests == 1
    assert suites["gpt-oss"].failures == suites["gpt-oss"].errors == 0
    results = [result for suite in read for case in suite for result in case.result]
    assert {type(result) for result in results} == {Failure, Error}
    # What could not be judged is no pass: the broken target, and the one that was left out.
    assert read.errors == 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "report",
    [
        samples.report(samples.broken()),
        samples.report(samples.conforming(), complete=False),
        samples.report(),
    ],
)
def test_what_was_not_judged_reads_as_a_failure_in_every_format(name: str, report: Report) -> None:
    text = written(name, report).decode()
    failed = {
        "sarif": '"executionSuccessful": false',
        "junit": "<error",
        "markdown": "❌",
        "github": "::error ",
        "gitlab": '"blocker"',
        "json": '"targets"',
    }
    assert failed[name] in text


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_text_is_inert(name: str) -> None:
    report = samples.report(
        samples.hostile_target(), left_out=[LeftOut(name="::error::x", reason="%0A::add-mask::y")]
    )
    text = written(name, report).decode()
    if name == "json":
        json.loads(text)
        return
    assert all(char == "\n" or char.isprintable() for char in text)
    assert "\x1b" not in text
    if name == "github":
        lines = text.splitlines()
        assert all(re.match(r"::(error|warning|notice) (?:[a-z]+=[^,:\n]*,?)+::", line) for line in lines)
    if name == "markdown":
        assert "<b" not in text.replace("<br", "")


def test_markdown_fits_a_comment(snapshot: object) -> None:
    assert markdown(samples.full()) == snapshot
    many = [samples.default_comment() for _ in range(3000)]
    text = markdown(samples.report(samples.target("x", "diverges", many)))
    assert len(text) <= LIMIT
    assert re.search(r"[\d,]+ more in `report.json`", text)
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0


def test_github_annotations_and_gitlab_code_quality(clone: Path, snapshot: object) -> None:
    report = at("model/a b.jinja")
    assert written("github", report).decode() == snapshot(name="github")  # type: ignore[operator]
    found = json.loads(written("gitlab", report))
    assert {violation["severity"] for violation in found} == {"major", "minor"}
    for violation in found:
        assert violation.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert violation["location"]["lines"]["begin"] >= 1
