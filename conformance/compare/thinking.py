"""Thinking that was kept or lost: judged over all of it at once, since one missing thought says nothing of a policy."""

from __future__ import annotations

from itertools import product

from msgspec.structs import replace

from conformance.compare.align import Pair
from conformance.compare.base import Difference, Named
from conformance.conversation import Case, Mode
from conformance.oracles.opening import Shared
from conformance.oracles.plan import plan
from conformance.oracles.profile import Profile
from conformance.rules.messages import THINKING_DROPPED, THINKING_RETENTION

_MODES: tuple[Mode, ...] = ("generation", "training")
_RETENTIONS = ("harmony", "documented", "keep-all")


def thinking_pairs(pairs: list[Pair]) -> list[Pair]:
    """Return the pairs whose thinking was written though dropped, or lost."""
    return [pair for pair in pairs if pair.dropped or (pair.actual is None and pair.kind == "thinking")]


def compare_thinking(case: Case, pairs: list[Pair], profile: Profile, shared: Shared) -> Named:
    """Name kept or lost thinking: retention when another retention setting explains all of it."""
    lost = [pair for pair in pairs if not pair.dropped]
    # A template may also hold to the rule of the other mode: that of prompts in a text to train on.
    written = _written(case, pairs, profile, shared)
    explained = any(
        _kept(case, profile, shared, value, mode) == written for mode, value in product(_MODES, _RETENTIONS)
    )
    if not lost or explained:
        return THINKING_RETENTION, _difference(pairs[0])
    # Thinking that even the strictest setting keeps was not dropped by any retention policy.
    strictest = _kept(case, profile, shared, "documented")
    gone = [pair for pair in lost if pair.block is not None and pair.block.index in strictest]
    return (THINKING_DROPPED, _difference(gone[0])) if gone else (THINKING_RETENTION, _difference(lost[0]))


def _difference(pair: Pair) -> Difference:
    assert pair.block is not None
    expected, actual = ("", pair.actual or "") if pair.dropped else (pair.block.text, "")
    return Difference(pair.block, "thinking", "", expected, actual, pair.offset, pair.actual_offset)


def _kept(case: Case, profile: Profile, shared: Shared, retention: str, mode: Mode | None = None) -> set[int]:
    """Return the messages whose thinking a retention setting keeps."""
    other = profile.with_setting(thinking_inference=retention, thinking_training=retention)
    if mode is not None:
        case = replace(case, options=replace(case.options, mode=mode))
    return {block.index for block in plan(case, other, shared).kept if block.kind == "thinking"}


def _written(case: Case, pairs: list[Pair], profile: Profile, shared: Shared) -> set[int]:
    """Return the messages whose thinking the template wrote."""
    own = profile.thinking_training if case.options.mode == "training" else profile.thinking_inference
    lost = {pair.block.index for pair in pairs if pair.block is not None and not pair.dropped}
    added = {pair.block.index for pair in pairs if pair.block is not None and pair.dropped}
    return (_kept(case, profile, shared, own) - lost) | added
