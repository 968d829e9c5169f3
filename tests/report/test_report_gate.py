"""Which rules count, how much, and what a baseline accepts."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conformance.errors import UsageError
from conformance.gate.baseline import Baseline, Entry, renewed
from conformance.gate.policy import FailOn, Policy
from conformance.gate.selectors import all_named, rules_named
from conformance.report.model import Report
from conformance.rules import catalogue
from conformance.rules.impacts import IMPACTS

from . import samples

TODAY = datetime.date(2026, 11, 27)


def write(path: Path, *entries: str) -> Path:
    path.write_text("".join(f"[[accepted]]\n{entry}\n" for entry in entries))
    return path


def judged(policy: Policy, report: Report | None = None) -> Report:
    return policy.apply(report or samples.report(samples.diverging()))


def test_every_impact_is_that_of_some_rule() -> None:
    assert {rule.loss.impact for rule in catalogue()} == set(IMPACTS)


def test_rules_are_named_by_code_prefix_slug_and_family() -> None:
    assert rules_named("HT203") == rules_named("default-comment-placement") == {"default-comment-placement"}
    assert rules_named("ht2") == rules_named("tool definitions") == rules_named("tool-definitions")
    assert len(all_named(["HT203,HT204", "ends"])) == 2 + len(rules_named("ends"))
    with pytest.raises(UsageError, match="did you mean default-comment-placement"):
        rules_named("default-coment-placement")


@pytest.mark.parametrize(
    ("fail_on", "rules", "passes"),
    [
        ("error", ["default-comment-placement"], False),
        ("error", ["thinking-retention"], True),
        ("warning", ["thinking-retention"], False),
        ("structure", ["default-comment-placement", "instructions-trailing-newlines"], True),
        ("content", ["thinking-retention"], False),
        ("content", ["default-comment-placement"], True),
        ("wording", ["default-comment-placement"], False),
        ("wording", ["instructions-trailing-newlines"], True),
        ("white-space", ["instructions-trailing-newlines"], False),
        ("structure", ["template-crashed"], False),
        ("never", ["template-crashed"], True),
    ],
)
def test_severity_or_impact_decides(fail_on: str, rules: list[str], passes: bool) -> None:
    policy = Policy(select=frozenset(rules), fail_on=FailOn(fail_on))
    (target,) = judged(policy).targets
    assert target.passes is passes
    assert {found.rule for found in target.divergences} == set(rules)
    assert "return-or-end" in target.ignored


def test_severities_are_set_by_rule_and_family() -> None:
    policy = Policy.of(None, ["HT5,HT6,HT8"], ["developer=note", "HT2=warning"], None, "error")
    (target,) = judged(policy).targets
    assert {found.severity for found in target.divergences} == {"note", "warning"}
    assert target.passes
    with pytest.raises(UsageError, match="not RULE=SEVERITY"):
        Policy.of(None, None, ["HT2=fatal"], None, "error")


def test_a_baseline_accepts_what_it_names_in_every_shape_and_engine(tmp_path: Path) -> None:
    base = 'target = "openai-gpt-oss-120b"\nreason = "known"\nrule = '
    path = write(
        tmp_path / "b.toml", f'{base}"HT203"', f'{base}"HT111"\nshape = "hf"', f'{base}"HT2"\ncause = "x"'
    )
    baseline = Baseline.read(path, TODAY)
    (target,) = judged(Policy(baseline=baseline)).targets
    # HT111 was seen in two shapes, and one of them is not accepted.
    assert {found.code for found in target.divergences if found.accepted} == {"HT203"}
    assert [problem.split(": ")[1] for problem in baseline.problems()] == [
        "openai-gpt-oss-120b HT2 x is not found any more, or never was; remove the entry"
    ]


def test_written_baselines_make_the_gate_green_and_one_more_fault_red(tmp_path: Path) -> None:
    report = samples.report(samples.diverging(), samples.conforming())
    path = tmp_path / "b.toml"
    path.write_bytes(renewed(report, [], TODAY))
    baseline = Baseline.read(path, TODAY)
    assert all(
        target.passes for target in judged(Policy(baseline=baseline, fail_on=FailOn.warning), report).targets
    )
    assert not list(baseline.problems())
    more = [*samples.diverging().divergences, samples.hostile()]
    worse = samples.report(replace(samples.diverging(), divergences=more), samples.conforming())
    assert [target.passes for target in judged(Policy(baseline=baseline), worse).targets] == [False, True]


def test_reasons_that_stand_are_kept_and_others_go(tmp_path: Path) -> None:
    old = [
        Entry(target="openai-gpt-oss-120b", rule="HT203", reason="waiting for upstream", expires=TODAY),
        Entry(
            target="openai-gpt-oss-120b",
            rule="HT111",
            reason="was",
            expires=TODAY - datetime.timedelta(days=1),
        ),
        Entry(target="gone", rule="HT203", reason="nobody"),
    ]
    path = tmp_path / "b.toml"
    path.write_bytes(renewed(samples.report(samples.diverging()), old, TODAY))
    entries = {entry.rule: entry for entry in Baseline.read(path, TODAY).entries}
    assert entries["HT203"] == old[0]
    assert entries["HT111"].expires is None
    assert entries["HT111"].reason != "was"
    assert {entry.target for entry in entries.values()} == {"openai-gpt-oss-120b"}


def test_what_expired_is_no_longer_accepted_and_is_told(tmp_path: Path) -> None:
    entry = 'target = "openai-gpt-oss-120b"\nreason = "r"\nrule = "HT203"\nexpires = 2026-11-26'
    baseline = Baseline.read(write(tmp_path / "b.toml", entry), TODAY)
    (target,) = judged(Policy(baseline=baseline)).targets
    assert not any(found.accepted for found in target.divergences)
    assert [problem for problem in baseline.problems() if "expired on 2026-11-26" in problem]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("accepted = 1", "Expected `array`"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'HT203'", "missing required field `reason`"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'HT203'\nreason = ''", "has no reason"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'HT203'\nreson = 'x'", "did you mean reason"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'nope'\nreason = 'x'", "No rule, family"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'HT203'\nreason = 'x'\n" * 2, "is there twice"),
        ("[[accepted]]\ntarget = 'x'\nrule = 'HT203'\nreason = 'x'\nexpires = 'soon'", "Invalid RFC3339"),
        ("[[accept", "is not valid TOML"),
        ("\udcff", "is not valid TOML"),
    ],
)
def test_a_broken_baseline_is_one_sentence(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=said) as refused:
        Baseline.read(path, TODAY)
    assert "b.toml" in str(refused.value)


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_any_name_and_reason_survive_being_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, reason: str
) -> None:
    name, reason = (text.encode("utf-8", "replace").decode() for text in (name, reason))
    target = replace(samples.diverging(), name=name)
    old = [Entry(target=name, rule="HT203", reason=reason)]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(renewed(samples.report(target), old, TODAY))
    assert old[0] in Baseline.read(path, TODAY).entries
