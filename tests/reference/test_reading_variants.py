"""For every reading there is a variant of the reference template that renders it exactly, made from the one source."""

from __future__ import annotations

import pytest
from million import compare

from conformance.fixes.readings import reading_variant
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import SETTINGS, profile, profiles, setting_citations, written
from conformance.resources import resource
from tools.reading_variants import main

SEED = 3
REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
DEFAULT = profile("harmony")
# What no generated conversation has: tests/core/test_core_expressible.py has it.
NOT_DRAWN = {"builtin_content_type", "user_name", "response_formats"}
READINGS = [
    written((setting, value))
    for setting, values in setting_citations().items()
    for value in values
    if value != getattr(DEFAULT, setting) and setting not in NOT_DRAWN
]


@pytest.mark.parametrize("said", list(profiles()))
def test_every_profile_is_rendered_exactly(said: str) -> None:
    result = compare(reading_variant(REFERENCE, profile(said)), SEED, 0, 120, profile=said)
    assert result.differing == 0, result.examples


@pytest.mark.parametrize("said", READINGS)
def test_every_reading_is_rendered_exactly_and_is_not_the_default(said: str) -> None:
    chosen, oracle = profile(said), HarmonyOracle(said)
    variant = reading_variant(REFERENCE, chosen)
    assert variant != REFERENCE
    plain = HarmonyOracle("harmony")
    telling = [
        index
        for index in range(600)
        if oracle.layout(case_at(SEED, index)) != plain.layout(case_at(SEED, index))
    ]
    assert telling, "no case tells this reading from the default"
    # Arguments given as objects reach a template as text, and so formatted, in all shapes but this one.
    names = ("hf",) if "arguments_json" in said else ()
    for index in telling[:20]:
        result = compare(variant, SEED, index, 1, profile=said, names=names)
        assert result.differing == 0, result.examples


def test_readings_go_together() -> None:
    """All settings at once, each at its last value."""
    said = ",".join(written((s, list(values)[-1])) for s, values in setting_citations().items())
    assert all(getattr(profile(said), setting) != getattr(DEFAULT, setting) for setting in SETTINGS)
    result = compare(reading_variant(REFERENCE, profile(said)), SEED, 0, 60, profile=said, names=("hf",))
    assert result.differing == 0, result.examples


def test_an_edit_must_find_its_place() -> None:
    with pytest.raises(ValueError, match="0 times instead of once"):
        reading_variant("{{ messages }}", profile("vllm"))


def test_the_program_prints_a_variant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["format-document"]) == 0
    assert capsys.readouterr().out == reading_variant(REFERENCE, profile("format-document"))
    assert main(["nobody"]) == 2
    assert "No profile is called 'nobody'" in capsys.readouterr().err
