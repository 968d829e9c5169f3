"""`conformance check --any`: templates of any family, without the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from cli_helpers import normal, sentence
from command_line import Run
from syrupy.assertion import SnapshotAssertion

from conformance.report.model import report_schema

FAST = ("--engine", "jinja2", "--examples", 2)
# Loses what stands beside a call, and only the note about tools is left without the branch for calls.
LOSES = """\
{%- for message in messages -%}
<{{ message.role }}>
{%- if message.tool_calls -%}
{{ message.tool_calls | tojson }}
{%- elif message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content or [] -%}{{ part.text }}{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if tools -%}{{ tools | tojson }}{%- endif -%}
{%- if add_generation_prompt -%}<assistant>{%- endif -%}
"""
PLAIN = """\
{%- for message in messages -%}
<{{ message.role }}>
{%- if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content or [] -%}{{ part.text }}{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<assistant>{%- endif -%}
"""


def test_findings_are_cards_with_the_smallest_conversation(
    run: Run, place: Path, snapshot: SnapshotAssertion
) -> None:
    (place / "loses.jinja").write_text(LOSES, encoding="utf-8")
    result = run("check", "--any", "loses.jinja", *FAST)
    assert (result.code, result.err) == (1, "")
    assert normal(result.out) == snapshot


def test_a_template_with_nothing_worse_than_notes_conforms(
    run: Run, place: Path, snapshot: SnapshotAssertion
) -> None:
    (place / "plain.jinja").write_text(PLAIN, encoding="utf-8")
    result = run("check", "--any", "plain.jinja", *FAST)
    assert (result.code, result.err) == (0, "")
    assert normal(result.out) == snapshot


def test_the_reference_template_loses_nothing_and_keeps_its_prefixes(run: Run) -> None:
    result = run("check", "--any", "right.jinja", "--examples", 5, "--format", "json", "--output", "o")
    assert result.code == 0, result
    (target,) = json.loads(Path("o/report.json").read_text())["targets"]
    assert {divergence["severity"] for divergence in target["divergences"]} <= {"note", "warning"}


def test_the_report_fits_the_published_schema(run: Run, place: Path) -> None:
    (place / "loses.jinja").write_text(LOSES, encoding="utf-8")
    run("check", "--any", "loses.jinja", *FAST, "--format", "json", "--output", "o")
    report = json.loads(Path("o/report.json").read_text())
    jsonschema.validate(report, report_schema())
    (target,) = report["targets"]
    assert target["verdict"] == "diverges"
    assert (
        sum(target["cases"][kind] for kind in ("equal", "different", "rejected", "crashed"))
        == target["cases"]["total"]
    )
    (lost,) = [divergence for divergence in target["divergences"] if divergence["rule"] == "text-lost"]
    assert (lost["check"], lost["example"]["region"]) == ("texts", "preamble")


def test_json_alone_says_where_when_nobody_chose_the_folder(run: Run, place: Path) -> None:
    (place / "loses.jinja").write_text(LOSES, encoding="utf-8")
    result = run("check", "--any", "loses.jinja", *FAST, "--format", "json")
    assert result.code == 1
    assert Path(result.err.removeprefix("Report: ").strip()).read_text() == result.out


def test_fail_on_holds_for_properties_too(run: Run, place: Path) -> None:
    (place / "loses.jinja").write_text(LOSES, encoding="utf-8")
    assert run("check", "--any", "loses.jinja", *FAST, "--fail-on", "never").code == 0


def test_the_same_text_under_two_names_is_tried_once(run: Run, place: Path) -> None:
    for name in ("one.jinja", "two.jinja"):
        (place / name).write_text(PLAIN, encoding="utf-8")
    run("check", "--any", "one.jinja", "two.jinja", *FAST, "--format", "json", "--output", "o")
    (target,) = json.loads(Path("o/report.json").read_text())["targets"]
    assert (target["name"], target["aliases"]) == ("one", ["two"])


def test_options_of_the_oracle_are_refused(run: Run) -> None:
    result = run("check", "--any", "right.jinja", "--profile", "documented")
    assert result.code == 2
    assert "--profile" in sentence(result)


def test_wrong_numbers_and_engines_are_refused(run: Run) -> None:
    assert "--examples" in sentence(run("check", "--any", "right.jinja", "--examples", -1))
    assert "--seed" in sentence(run("check", "--any", "right.jinja", "--seed", -1))
    assert "no-such" in sentence(run("check", "--any", "right.jinja", "--engine", "no-such"))


def test_a_template_that_does_not_compile_is_no_target(run: Run, place: Path) -> None:
    (place / "broken.jinja").write_text("{% for %}", encoding="utf-8")
    result = run("check", "--any", "broken.jinja", *FAST)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_a_template_that_never_ends_costs_a_few_limits_only(run: Run, place: Path) -> None:
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (place / "endless.jinja").write_text(endless, encoding="utf-8")
    result = run("check", "--any", "endless.jinja", *FAST, "--format", "json", "--output", "o")
    assert result.code == 3
    (target,) = json.loads(Path("o/report.json").read_text())["targets"]
    assert [divergence["rule"] for divergence in target["divergences"]] == ["resource-limit"]
    assert target["verdict"] == "error"
