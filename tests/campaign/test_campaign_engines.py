"""Campaigns over several engines: each judged alone, all compared with each other."""

import json

import pytest
from choosy_engine import Choosy, Picky, Squeezing

from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.report.engines_matrix import engines_json, engines_markdown
from conformance.report.model import Report
from conformance.resources import resource
from conformance.sources import resolve

REGISTERED_ENGINES = (Choosy, Squeezing, Picky)


def judged(*engines: str, cases: int = 120, jobs: int = 1) -> Report:
    templates = resolve(str(resource("templates", "gpt-oss.jinja")))
    return check(templates, Settings(cases=cases, engines=engines, jobs=jobs))


def test_what_an_engine_cannot_express_is_counted_apart_and_not_rendered() -> None:
    report = judged("jinja2", Choosy.name)
    target = report.targets[0]
    assert target.verdict == "conforms"
    plain, choosy = target.by_engine
    assert choosy.cases.inexpressible > 10
    assert choosy.inexpressible == {"it knows no tools": choosy.cases.inexpressible}
    assert choosy.cases.total + choosy.cases.inexpressible == plain.cases.total == target.cases.total
    assert choosy.right_under["harmony"] == plain.right_under["harmony"] == 1.0


def test_a_case_that_no_engine_can_express_is_inexpressible() -> None:
    target = judged(Choosy.name).targets[0]
    assert target.cases.inexpressible >= target.by_engine[0].cases.inexpressible > 10
    assert target.cases.total == target.by_engine[0].cases.total


def test_engines_that_disagree_are_named_with_the_cause_and_a_small_case() -> None:
    target = judged("jinja2", Squeezing.name, cases=100).targets[0]
    assert target.verdict == "diverges"
    found = [divergence for divergence in target.divergences if divergence.rule == "engine-disagrees"]
    assert {divergence.cause for divergence in found} == {"whitespace"}
    (divergence,) = found
    assert divergence.check == "engines"
    assert divergence.severity == "warning"
    assert divergence.engines == sorted(["jinja2", Squeezing.name])
    example = divergence.example
    assert example.minimal
    assert example.actual is not None
    assert example.expected.replace("  ", " ") == example.actual
    assert "against jinja2" in example.region
    plain, squeezing = target.by_engine
    assert plain.right_under["harmony"] == 1.0
    assert squeezing.right_under["harmony"] < 1.0
    assert "engine-disagrees" not in plain.rules


def test_an_engine_that_cannot_compile_the_template_does_not_hide_the_others() -> None:
    target = judged("jinja2", Picky.name, cases=40).targets[0]
    rules = {divergence.rule: divergence for divergence in target.divergences}
    assert rules["does-not-compile"].engines == [Picky.name]
    assert rules["does-not-compile"].example.template_line == 7
    assert rules["engine-disagrees"].cause == "missing feature"
    plain, picky = target.by_engine
    assert plain.right_under["harmony"] == 1.0
    assert picky.cases.crashed == picky.cases.total > 0


@pytest.mark.long
def test_jobs_do_not_change_what_several_engines_give() -> None:
    one, two = (judged("jinja2", Choosy.name, cases=600, jobs=jobs).targets[0] for jobs in (1, 2))
    assert one == two


@pytest.mark.long
def test_the_matrix_is_the_same_again_and_names_every_engine() -> None:
    report = judged("jinja2", Squeezing.name, Choosy.name)
    text = engines_markdown(report)
    assert text == engines_markdown(judged("jinja2", Squeezing.name, Choosy.name))
    assert text.count(Squeezing.name) >= 3
    assert "it knows no tools" in text
    data = json.loads(engines_json(report))
    assert [engine["name"] for engine in data["templates"][0]["engines"]] == list(report.targets[0].engines)
    assert data["templates"][0]["disagreements"][0]["cause"] == "whitespace"
