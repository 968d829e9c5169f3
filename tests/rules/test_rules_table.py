"""Every rule is found in the conversation made for it, alone, and its card reads as the snapshot says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import msgspec
import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from conformance import rules
from conformance.campaign import assemble
from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.tally import Tally
from conformance.conversation import Case
from conformance.engines.in_process import InProcessHost
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.profile import profile
from conformance.report.cards import card
from conformance.report.model import Coverage
from conformance.resources import resource
from conformance.rules import Rule, catalogue, rule
from conformance.rules.behaviour import RESOURCE_LIMIT
from conformance.shapes import shapes
from conformance.sources import Template
from tools import mutants

ENGINE = "transformers"
Judged = tuple[Template, Answer, Judgement]


@dataclass(frozen=True)
class Row:
    """A planted fault and its smallest case, as the published score has it."""

    mutant: mutants.Mutant
    case: Case
    shape: str


def _rows() -> Iterator[Row]:
    report = json.loads(resource("reports", "mutants.json").read_text(encoding="utf-8"))
    known = {mutant.name: mutant for mutant in mutants.load()}
    for row in report["mutants"]:
        small, mutant = row["smallest"], known.get(row["name"])
        if small is not None and mutant is not None and mutant.engine is None:
            yield Row(mutant, msgspec.convert(small["case"], Case), small["shape"])


ROWS = list(_rows())
# The first planted fault of each rule.
TABLE = {row.mutant.rule: row for row in reversed(ROWS)}


@lru_cache(maxsize=1)
def _judge() -> Judge:
    return Judge(profile("harmony"))


@lru_cache(maxsize=1)
def _host() -> InProcessHost:
    return InProcessHost("transformers")


def judged(row: Row) -> Judged:
    template = mutants.as_template(row.mutant, mutants.reference_text())
    request = shapes([row.shape])[0][0].request(row.case)
    answer = _judge().answer(row.case)
    assert answer is not None
    plain = _host().render(mutants.reference_text(), request)
    assert _judge().judge(answer, plain).status == "equal"
    return template, answer, _judge().judge(answer, _host().render(template.text, request))


def test_the_table_has_every_rule_that_a_template_can_cause() -> None:
    # A fault that exceeds a limit is not shrunk.
    left_out = {*mutants.NOT_PLANTED, RESOURCE_LIMIT.slug}
    assert set(TABLE) == {rule.slug for rule in catalogue()} - left_out, "run `nox -s renew`"


@pytest.mark.parametrize("known", list(catalogue()), ids=lambda known: known.slug)
def test_a_rule_is_told_in_full(known: Rule) -> None:
    for text in (known.what, known.why, known.fix):
        assert text[-1] == "."
    assert known.citation
    assert known.good != known.bad
    modules = [module for module in vars(rules).values() if isinstance(module, ModuleType)]
    name = known.slug.upper().replace("-", "_")
    assert any(getattr(module, name, None) is known for module in modules), f"call it {name}"


@pytest.mark.parametrize("slug", TABLE)
def test_the_examples_of_a_rule_stand_in_real_prompts(slug: str) -> None:
    """Some planted fault's smallest case has the good text in Harmony's prompt, and the bad one in the template's."""
    known = rule(slug)
    shown = []
    for row in ROWS:
        if row.mutant.rule == slug:
            _, answer, judgement = judged(row)
            right, text = answer.rendering.text, judgement.text
            differ = text is None or known.bad not in right or known.good not in text
            shown.append(differ and (text is None or (known.good in right and known.bad in text)))
    assert any(shown)


@pytest.mark.parametrize("slug", TABLE)
def test_a_rule_is_found_alone_and_its_card_reads_well(slug: str, snapshot: SnapshotAssertion) -> None:
    row = TABLE[slug]
    template, answer, judgement = judged(row)
    names = {found.rule for found in judgement.found}
    assert slug in names
    assert names <= {slug, *row.mutant.also}

    shape = shapes([row.shape])[0][0]
    tally = Tally()
    tally.add(0, row.case, (shape.name, shape.family), 0, [(ENGINE, judgement)])
    found = max(
        (found for found in judgement.found if found.rule == slug), key=lambda f: f.severity == "error"
    )
    shown = assemble.Shown(row.case, ENGINE, shape.name, answer, judgement, found)
    coverage = CoverageCounter()
    divergence = assemble.divergence(slug, tally.rules[found.key], tally.total, shown, coverage)
    target = assemble.target(
        template,
        tally,
        [divergence],
        Coverage(features=0.0, pairs=0.0),
        engines=[ENGINE],
        profiles=list(_judge().names),
    )
    console = Console(width=100, no_color=True, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(card(console, target, divergence))
    assert "\n".join(line.rstrip() for line in capture.get().splitlines()) == snapshot
