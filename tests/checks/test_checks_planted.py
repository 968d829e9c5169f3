"""Every rule finds the template that breaks it, and none finds anything on the one that does not."""

from __future__ import annotations

import pytest
from checks_helpers import found
from planted import GOOD, WRONG, Wrong

from conformance.rules import catalogue

ENGINES = ("transformers", "jinja2")


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_found_on_the_template_that_has_every_property(engine: str) -> None:
    assert found(GOOD, engine) == set()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.rule}-{wrong.what}".replace(" ", "-"))
def test_a_planted_fault_is_found_under_its_rule(wrong: Wrong) -> None:
    assert (wrong.rule, wrong.what, wrong.severity) in found(wrong.template)


def test_every_rule_about_properties_has_a_planted_fault() -> None:
    assert {rule.slug for rule in catalogue() if rule.family == "properties"} <= {
        wrong.rule for wrong in WRONG
    }
