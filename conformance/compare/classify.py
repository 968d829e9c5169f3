"""Compare two texts of one case: align their messages, ask each part of the prompt what differs, and sum it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.compare.align import Pair, align
from conformance.compare.base import Difference, Found, Named
from conformance.compare.developer import compare_developer
from conformance.compare.messages import compare_message, name_added, name_dropped, name_moved
from conformance.compare.system import compare_system
from conformance.compare.thinking import compare_thinking, retention_agrees, thinking_pairs
from conformance.conversation import Case
from conformance.oracles.base import Rendering
from conformance.oracles.plan import plan
from conformance.oracles.profile import Profile, profiles
from conformance.rules.base import Rule, Slug
from conformance.rules.behaviour import UNCLASSIFIED
from conformance.rules.calls import ARGUMENTS_FORMATTING, CONTENT_TYPE_MARKER, PREAMBLE_CHANNEL
from conformance.rules.messages import THINKING_RETENTION


def classify(
    case: Case, expected: Rendering, actual: str, profile: Profile, pairs: list[Pair] | None = None
) -> list[Found]:
    """Name all divergences between the oracle's rendering and a template's text, in the order of the text.

    Each rule is listed once, at its first place. An empty list means that the texts are equal. `pairs` are their
    aligned messages, where these are known already.
    """
    if actual == expected.text:
        return []
    pairs = align(expected, actual) if pairs is None else pairs
    named: dict[Slug, Named] = {}
    for rule, difference in _differences(case, pairs, profile):
        named.setdefault(rule.slug, (rule, difference))
    if not named:
        whole = Difference(None, "message", "", expected.text, actual, 0, 0)
        named[UNCLASSIFIED.slug] = UNCLASSIFIED, whole
    return [
        Found(slug, difference, _vanishes_under(case, rule, difference, profile, pairs))
        for slug, (rule, difference) in named.items()
    ]


def _moves(pairs: list[Pair]) -> Iterator[tuple[Pair, Pair]]:
    """Yield each message that is lost in its place and added in another, as the two pairs."""
    lost: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.block is not None and pair.actual is None:
            lost.setdefault(pair.block.text, []).append(pair)
    for pair in pairs:
        if pair.block is None and (same := lost.get(pair.actual or "")):
            yield same.pop(0), pair


def _differences(case: Case, pairs: list[Pair], profile: Profile) -> Iterator[Named]:
    moves = list(_moves(pairs))
    if moves:
        yield from (name_moved(pair) for pair, _ in moves)
        gone = {id(pair) for move in moves for pair in move}
        pairs = [pair for pair in pairs if id(pair) not in gone]
    thinking = thinking_pairs(pairs)
    if thinking:
        yield compare_thinking(case, thinking, profile)
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


_SETTINGS: dict[Slug, tuple[str, ...]] = {
    THINKING_RETENTION.slug: ("thinking_inference", "thinking_training"),
    CONTENT_TYPE_MARKER.slug: ("content_type",),
    PREAMBLE_CHANNEL.slug: ("preamble_channel",),
    ARGUMENTS_FORMATTING.slug: ("arguments_json",),
}


def _vanishes_under(
    case: Case, rule: Rule, found: Difference, profile: Profile, pairs: list[Pair]
) -> tuple[str, ...]:
    """Return the other profiles under which a divergence would not be there."""
    settings = _SETTINGS.get(rule.slug)
    if settings is None:
        return ()
    names = []
    for other in profiles().values():
        if other.name == profile.name or all(
            getattr(other, setting) == getattr(profile, setting) for setting in settings
        ):
            continue
        if rule is THINKING_RETENTION:
            agrees = retention_agrees(case, pairs, profile, other)
        else:
            only = replace(profile, **{setting: getattr(other, setting) for setting in settings})
            agrees = _block_agrees(case, found, only)
        if agrees:
            names.append(other.name)
    return tuple(names)


def _block_agrees(case: Case, found: Difference, other: Profile) -> bool:
    """Say whether the part that differs reads as the template has it under another profile."""
    block = found.block
    if block is None:
        return False
    for made in plan(case, other).blocks:
        if (made.kind, made.index, made.call) == (block.kind, block.index, block.call):
            stretch = "".join([text for region, _, text in made.pieces if region == found.region])
            return stretch == found.actual
    return False
