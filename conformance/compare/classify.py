"""Compare two texts of one case: align their messages, ask each part of the prompt what differs, and sum it up."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.compare.align import Pair, align
from conformance.compare.base import Difference, Found, Named
from conformance.compare.developer import compare_developer
from conformance.compare.messages import compare_message, name_added, name_dropped, name_moved
from conformance.compare.places import place
from conformance.compare.readings import explain
from conformance.compare.system import compare_system
from conformance.compare.thinking import compare_thinking, thinking_pairs
from conformance.conversation import Case
from conformance.oracles.base import Rendering
from conformance.oracles.opening import Shared
from conformance.oracles.profile import Profile
from conformance.rules.base import Slug
from conformance.rules.behaviour import UNCLASSIFIED


def classify(
    case: Case,
    expected: Rendering,
    actual: str,
    profile: Profile,
    pairs: list[Pair] | None = None,
    *,
    readings: bool = True,
    shared: Shared | None = None,
) -> list[Found]:
    """Name all divergences between the oracle's rendering and a template's text, in the order of the text.

    Each rule is listed once, at its first place. An empty list means that the texts are equal. `pairs` are their
    aligned messages, where these are known already; with `readings`, each says which of them explain it; `shared` is
    what was written of the case.
    """
    if actual == expected.text:
        return []
    pairs = align(expected, actual) if pairs is None else pairs
    shared = shared or Shared(case)
    named: dict[Slug, Named] = {}
    places: dict[Slug, dict[str, Difference]] = {}
    for rule, difference in _differences(case, pairs, profile, shared):
        named.setdefault(rule.slug, (rule, difference))
        places.setdefault(rule.slug, {}).setdefault(place(difference), difference)
    if not named:
        whole = Difference(None, "message", "", expected.text, actual, 0, 0)
        named[UNCLASSIFIED.slug] = UNCLASSIFIED, whole
    found = [Found(slug, difference, places=places.get(slug, {})) for slug, (_, difference) in named.items()]
    if readings:
        explain(case, expected, actual, profile, found, _differences, shared)
    return found


def _moves(pairs: list[Pair]) -> Iterator[tuple[Pair, Pair]]:
    """Yield each message that is lost in its place and added in another, as the two pairs."""
    lost: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.block is not None and pair.actual is None:
            lost.setdefault(pair.block.text, []).append(pair)
    for pair in pairs:
        if pair.block is None and (same := lost.get(pair.actual or "")):
            yield same.pop(0), pair


def _differences(case: Case, pairs: list[Pair], profile: Profile, shared: Shared) -> Iterator[Named]:
    moves = list(_moves(pairs))
    if moves:
        yield from (name_moved(pair) for pair, _ in moves)
        gone = {id(pair) for move in moves for pair in move}
        pairs = [pair for pair in pairs if id(pair) not in gone]
    thinking = thinking_pairs(pairs)
    if thinking:
        yield compare_thinking(case, thinking, profile, shared)
    for pair in pairs:
        if pair in thinking:
            if pair.dropped and pair.block is not None and pair.actual != pair.block.text:
                yield from compare_message(pair)
        elif pair.block is None:
            yield name_added(case, pair)
        elif pair.actual is None:
            yield name_dropped(case, pair, pairs)
        elif pair.kind == "developer":
            yield from compare_developer(pair, case.conversation.tools)
        elif pair.kind == "system":
            yield from compare_system(pair)
        else:
            yield from compare_message(pair)
