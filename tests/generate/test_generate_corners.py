"""The corners of schemas: all of them, in every seed, in the steered part of a campaign."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conformance.campaign.settings import DEFAULT_CASES
from conformance.campaign.steering import HINTED
from conformance.conversation import check_case
from conformance.engines.base import Rendered
from conformance.engines.in_process import InProcessHost
from conformance.generate import Hints, case_at
from conformance.generate.corners import COUNT, corner
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import shapes


def _schemas(seed: int) -> set[str]:
    cases = [corner(seed, number) for number in range(COUNT)]
    for case in cases:
        check_case(case)
    tools = [case.conversation.tools[0].parameters or {} for case in cases]
    return {json.dumps(schema) for tool in tools for schema in tool["properties"].values()}


def test_every_seed_has_all_corners_and_harmony_takes_them() -> None:
    assert _schemas(0) == _schemas(7)
    nested = {"type": "array", "items": {"oneOf": [
        {"type": "string", "enum": ["x", "y"], "default": "x"}, {"type": "string"}]}}  # fmt: skip
    assert json.dumps(nested) in _schemas(3)
    oracle = HarmonyOracle()
    for number in range(0, COUNT, 5):
        oracle.render(corner(0, number))
    assert oracle.layout_failures == 0


def test_the_default_budget_has_room_for_all_corners() -> None:
    assert int(int(DEFAULT_CASES * HINTED) * 0.4) >= COUNT
    hints = replace(Hints(), corners=(10, 12))
    assert case_at(1, 10, hints) == corner(1, 0)
    assert case_at(1, 12, hints) == case_at(1, 12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_fault_in_exactly_one_nesting_is_met_by_every_seed(seed: int) -> None:
    text = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    # Wrong only for the default of a variant that is an enum, where the variants are an array's items.
    old = "{{- ' default: ' ~ default_text(variant, false) -}}"
    assert text.count(old) == 1
    bare = "variant['default'] if 'enum' in variant and variant['default'] is string"
    planted = text.replace(old, f"{{{{- ' default: ' ~ ({bare} else default_text(variant, false)) -}}}}")
    host, oracle, shape = InProcessHost("jinja2"), HarmonyOracle(), shapes(["hf"])[0][0]
    wrong = []
    for number in range(COUNT):
        case = corner(seed, number)
        outcome = host.render(planted, shape.request(case))
        assert isinstance(outcome, Rendered)
        wrong.append(outcome.text != oracle.render(case).text)
    assert any(wrong)
    assert sum(wrong) < COUNT / 4
