"""Faults in the Triton kernels' source: every edit finds its place; that they are caught is seen on a card."""

from __future__ import annotations

import ast

import pytest

torch = pytest.importorskip("torch")

from conformance.precision.faults.catalogue import all_faults  # noqa: E402
from conformance.precision.faults.triton_source import SOURCE, SOURCE_FAULTS, SourceFault  # noqa: E402
from conformance.precision.model.regimes import REGIMES  # noqa: E402


@pytest.mark.parametrize("fault", SOURCE_FAULTS, ids=lambda f: f.name)
def test_an_edit_finds_its_place_and_changes_one_kernel(fault):
    before, after = (
        {d.name: ast.dump(d) for d in ast.parse(text).body if isinstance(d, ast.FunctionDef)}
        for text in (SOURCE.read_text(), fault.source())
    )
    assert before.keys() == after.keys()
    assert sum(before[name] != after[name] for name in before) == 1
    assert fault.regime in REGIMES


def test_an_edit_without_its_place_is_refused():
    with pytest.raises(ValueError, match="is 0 times in"):
        SourceFault("lost", "no such line", "").source()


def test_there_are_twenty_harmful_ones_with_names_of_their_own():
    names = [f.name for f in SOURCE_FAULTS]
    assert sum(not f.harmless for f in SOURCE_FAULTS) >= 20
    assert len(set(names) | set(all_faults())) == len(names) + len(all_faults())
