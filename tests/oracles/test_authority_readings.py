"""Where another authority makes the same choices as a profile, the two are equal, and the layout explains both."""

from __future__ import annotations

import pytest
from authority_helpers import real_copy

from conformance.generate import case_at
from conformance.oracles.authorities import pinned
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile
from tools.authority_profile import compare


@pytest.mark.parametrize("name", ["oss-harmony", "tiles-harmony"])
def test_an_authority_is_its_profile(name: str) -> None:
    real_copy(name)
    found = compare(name, 11, 0, 150)
    assert (found.cases, found.differing, found.unexplained) == (150, [], 0)


def test_oss_harmony_departs_from_the_default_at_all() -> None:
    """Or the test above would say nothing."""
    ours, theirs = HarmonyOracle("harmony"), HarmonyOracle("oss-harmony")
    differing = [i for i in range(150) if ours.layout(case_at(11, i)) != theirs.layout(case_at(11, i))]
    assert len(differing) > 40


def test_a_library_keeps_its_own_readings_under_any_profile() -> None:
    real_copy("oss-harmony")
    oracle = HarmonyOracle("vllm", "oss-harmony")
    assert oracle.profile.recipient == "channel"
    assert oracle.profile.preamble_place == "before-thinking"
    for index in range(60):
        assert oracle.render(case_at(11, index)).exact_spans


def test_every_authority_names_a_profile() -> None:
    for entry in pinned().values():
        assert profile(entry.profile).name == entry.profile
