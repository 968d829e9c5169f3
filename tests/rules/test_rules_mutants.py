"""Planted faults: each is caught under the right name within the default budget, in a small conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance.campaign.settings import DEFAULT_CASES
from conformance.errors import UsageError
from conformance.resources import resource
from conformance.rules import catalogue
from tools import mutants
from tools.mutants import Mutant, Outcome, Score
from tools.mutants.report import write_report

MUTANTS = mutants.load()
# The mutants of one part share the oracle's answers. One part, a sample of every sixth, is a test of every day.
PARTS = 6
MESSAGES, TOOLS, TEXT = 3, 1, 40


def _complaint(outcome: Outcome) -> str | None:
    mutant = outcome.mutant
    if not outcome.rightly_named:
        return f"{mutant.name}: {mutant.rule} was meant, found was {outcome.found or 'nothing'}"
    if mutant.needs_more:
        return None
    if outcome.shrunk is None:
        return f"{mutant.name}: its case does not show {mutant.rule} again"
    size = mutants.size(outcome.shrunk.case)
    if size.messages > MESSAGES or size.tools > TOOLS or size.text > TEXT:
        return f"{mutant.name}: its smallest case is large: {size}"
    return None if outcome.shrunk.minimal else f"{mutant.name}: shrinking came to no end"


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, PARTS))])
def test_each_planted_fault_is_caught_under_its_rule_in_a_small_case(part: int) -> None:
    score = mutants.run(MUTANTS[part::PARTS], cases=DEFAULT_CASES)
    print(f"caught {score.caught} of {score.planted}, rightly named {score.rightly_named} of {score.planted}")
    assert [complaint for complaint in map(_complaint, score.outcomes) if complaint] == []


def test_every_rule_that_a_template_can_cause_has_an_obvious_and_a_subtle_fault() -> None:
    kinds = {(mutant.rule, mutant.kind) for mutant in MUTANTS}
    rules = [rule.slug for rule in catalogue() if rule.slug not in mutants.NOT_PLANTED]
    assert [
        (slug, kind) for slug in rules for kind in ("obvious", "subtle") if (slug, kind) not in kinds
    ] == []
    assert len(MUTANTS) >= 80


def test_the_published_score_is_that_of_these_faults() -> None:
    """`python -m tools.mutants` writes it anew."""
    report = json.loads(resource("reports", "mutants.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["rule"]) for row in report["mutants"]] == [(m.name, m.rule) for m in MUTANTS]
    assert report["caught"] == report["rightly_named"] == report["planted"] == len(MUTANTS)


def test_a_report_is_the_same_every_time(tmp_path: Path) -> None:
    few = [mutant for mutant in MUTANTS if mutant.name in ("identity-reworded", "first-call-only")]
    for name in ("one", "two"):
        write_report(mutants.run(few, cases=60), tmp_path / name)
    for file in ("mutants.json", "mutants.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert "Rightly named: **2 of 2**" in (tmp_path / "one" / "mutants.md").read_text(encoding="utf-8")


def _mutant(find: str, replace: str = "x", nth: int | None = None) -> Mutant:
    return Mutant("m", "system-text", "obvious", "a test", find, replace, nth)


def test_an_edit_is_made_in_the_place_that_is_meant() -> None:
    assert mutants.apply(_mutant("b"), "abc") == "axc"
    assert mutants.apply(_mutant("b", nth=2), "abcb") == "abcx"


@pytest.mark.parametrize(
    ("mutant", "problem"),
    [
        (_mutant("z"), "finds no place: `z`"),
        (_mutant("b"), "finds 2 places"),
        (_mutant("b", nth=3), "wants place 3, but `b` stands in 2"),
        (_mutant("a", "a"), "changes nothing"),
    ],
)
def test_an_edit_without_its_place_is_refused(mutant: Mutant, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        mutants.apply(mutant, "abcb")


ROW = """[[mutant]]
name = "m"
rule = "system-text"
kind = "obvious"
why = "a test"
find = "a"
replace = "b"
"""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[mutant]\n", "faults.toml is not a file of planted faults"),
        (ROW.replace('"obvious"', '"loud"'), "Invalid enum value 'loud'"),
        (ROW + "more = 1\n", "unknown field `more`"),
        (ROW.replace("system-text", "system-txt"), "did you mean system-text"),
        (ROW.replace("system-text", "token-mismatch"), "cannot show token-mismatch"),
        (ROW + ROW, "two planted faults are called m"),
        ("", "There are no planted faults"),
    ],
)
def test_a_bad_file_of_faults_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "faults.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        mutants.load(tmp_path)


def test_a_fault_is_rightly_named_when_no_other_rule_is_seen_more_often() -> None:
    mutant = _mutant("a")
    assert Outcome(mutant, 10, {"system-text": 2, "role-header": 2}).rightly_named
    assert not Outcome(mutant, 10, {"role-header": 3, "system-text": 2}).rightly_named
    assert not Outcome(mutant, 10, {}).caught
    assert Score([Outcome(mutant, 10, {"role-header": 3})], 0, 10, "transformers").caught == 1
