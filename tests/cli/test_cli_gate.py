"""The gate on the command line: baselines, rules that count, and exit codes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cli_helpers import FAST, REFERENCE, sentence
from command_line import Run


def test_turned_on_for_a_template_with_known_faults(run: Run) -> None:
    assert run("check", "newlines.jinja", *FAST).code == 1
    assert run("check", "newlines.jinja", *FAST, "--write-baseline").code == 0
    baseline = Path("conformance-baseline.toml")
    baseline.write_text(baseline.read_text().replace("known when", "issue 7: known when"))
    result = run("check", "newlines.jinja", *FAST, "--baseline", baseline)
    assert result.code == 0
    assert "✓ newlines" in result.out
    assert "1 rule accepted by the baseline" in result.out
    # One more fault: red.
    text = Path("newlines.jinja").read_text().replace("Knowledge cutoff: 2024-06", "Knowledge cutoff: 2023")
    Path("newlines.jinja").write_text(text)
    result = run("check", "newlines.jinja", *FAST, "--baseline", baseline)
    assert result.code == 1
    assert "✗ newlines" in result.out
    assert "HT101" in result.out
    assert run("check", "newlines.jinja", *FAST, "--baseline", baseline, "--write-baseline").code == 0
    assert "issue 7: known when" in baseline.read_text()
    # Mended: the entries are of no use any more.
    Path("newlines.jinja").write_text(REFERENCE)
    result = run("check", "newlines.jinja", *FAST, "--baseline", baseline)
    assert result.code == 2
    assert result.err.count("remove the entry") == 2
    assert run("check", "newlines.jinja", *FAST, "--baseline", baseline, "--write-baseline").code == 0
    assert "[[accepted]]" not in baseline.read_text()


def test_what_expired_is_an_error(run: Run) -> None:
    day = datetime.date.today() - datetime.timedelta(days=1)
    entry = f"[[accepted]]\ntarget = 'newlines'\nrule = 'HT111'\nreason = 'r'\nexpires = {day}\n"
    Path("b.toml").write_text(entry)
    result = run("check", "newlines.jinja", *FAST, "--baseline", "b.toml")
    assert result.code == 2
    assert f"expired on {day}" in result.err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--ignore", "HT111"), 0),
        (("--ignore", "developer"), 0),
        (("--select", "HT111"), 1),
        (("--select", "HT5"), 0),
        (("--severity", "HT111=warning"), 0),
        (("--severity", "HT111=warning", "--fail-on", "warning"), 1),
        (("--fail-on", "wording"), 0),
        (("--fail-on", "white-space"), 1),
    ],
)
def test_rules_that_count(options: tuple[str, ...], code: int, run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, *options)
    assert result.code == code
    assert ("✓ newlines" in result.out, "✗ newlines" in result.out) == (code == 0, code == 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--select", "HT999"), "No rule, family or beginning"),
        (("--severity", "HT111"), "not RULE=SEVERITY"),
        (("--select", ""), "leave no rule"),
        (("--select", "HT203", "--ignore", "HT2"), "leave no rule"),
        (("--ignore", "all"), "leave no rule"),
        (("--baseline", "nowhere.toml"), "write it with --write-baseline"),
    ],
)
def test_what_does_not_exist_is_refused_before_the_run(options: tuple[str, ...], said: str, run: Run) -> None:
    result = run("check", "newlines.jinja", *FAST, *options)
    assert result.code == 2
    assert said in sentence(result)
