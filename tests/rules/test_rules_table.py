"""Every rule is found in the conversation made for it, alone, and its card reads as the snapshot says."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
from rich.console import Console
from rules_cases import TABLE, Row
from syrupy.assertion import SnapshotAssertion

from conformance.campaign import assemble
from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.tally import Tally
from conformance.engines.in_process import InProcessHost
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.profile import profile
from conformance.report.cards import card
from conformance.report.model import Coverage
from conformance.rules import catalogue
from conformance.shapes import shapes
from conformance.sources import Template
from tools import mutants

Judged = tuple[Template, Answer, Judgement]


@lru_cache(maxsize=1)
def _judge() -> Judge:
    return Judge(profile("harmony"))


@lru_cache(maxsize=4)
def _host(engine: str) -> InProcessHost:
    return InProcessHost(engine)


@pytest.fixture(scope="module")
def judged() -> Callable[[Row], Judged]:
    known = {mutant.name: mutant for mutant in mutants.load()}
    reference = mutants.reference_text()

    def judge(row: Row) -> Judged:
        template = mutants.as_template(known[row.mutant], reference)
        request = shapes([row.shape])[0][0].request(row.case)
        answer = _judge().answer(row.case)
        assert answer is not None
        plain = _host(row.engine).render(reference, request)
        assert _judge().judge(answer, plain).status == "equal"
        outcome = _host(row.engine).render(template.text, request)
        return template, answer, _judge().judge(answer, outcome)

    return judge


def test_the_table_has_every_rule_that_a_template_can_cause() -> None:
    assert set(TABLE) == {rule.slug for rule in catalogue()} - set(mutants.NOT_PLANTED)


@pytest.mark.parametrize("slug", TABLE)
def test_a_rule_is_found_alone_and_its_card_reads_well(
    slug: str, judged: Callable[[Row], Judged], snapshot: SnapshotAssertion
) -> None:
    row = TABLE[slug]
    template, answer, judgement = judged(row)
    assert {found.rule for found in judgement.found} == {slug, *row.also}

    shape = shapes([row.shape])[0][0]
    tally = Tally()
    tally.add(0, row.case, (shape.name, shape.family), 0, [(row.engine, judgement)])
    found = max(
        (found for found in judgement.found if found.rule == slug), key=lambda f: f.severity == "error"
    )
    shown = assemble.Shown(row.case, row.engine, shape.name, answer, judgement, found)
    coverage = CoverageCounter()
    divergence = assemble.divergence(slug, tally.rules[found.key], tally.total, shown, coverage)
    target = assemble.target(
        template,
        tally,
        [divergence],
        Coverage(features=0.0, pairs=0.0),
        engines=[row.engine],
        profiles=list(_judge().names),
    )
    console = Console(width=100, no_color=True, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(card(console, target, divergence))
    assert "\n".join(line.rstrip() for line in capture.get().splitlines()) == snapshot
