"""Where several engines render one template: which of them write otherwise than the first, and why."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.compare.base import Difference, Found
from conformance.compare.engines import disagreement
from conformance.engines.base import Outcome, Rendered, SyntaxProblem
from conformance.rules.behaviour import ENGINE_DISAGREES


def disagreements(outcomes: Sequence[tuple[str, Outcome | SyntaxProblem]]) -> list[tuple[int, Found]]:
    """Return the engines, by position, that differ from the first one that wrote a text, each with its finding.

    Where no engine wrote a text there is nothing to compare: failures are judged against the oracle.
    """
    first = next((entry for entry in outcomes if isinstance(entry[1], Rendered)), None)
    if first is None:
        return []
    name, base = first
    assert isinstance(base, Rendered)
    found: list[tuple[int, Found]] = []
    for position, (_, outcome) in enumerate(outcomes):
        differs = disagreement(base, outcome)
        if differs is None:
            continue
        difference = None
        if differs.offset is not None:
            difference = Difference(
                None, "message", "", differs.one, differs.other, differs.offset, differs.offset
            )
        differing = Found(
            ENGINE_DISAGREES.slug, difference, cause=differs.cause, against=name, against_text=base.text
        )
        found.append((position, differing))
    return found
