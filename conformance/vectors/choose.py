"""Choose small generated cases that together show as many pairs of features as possible."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.conversation import Case, to_json
from conformance.generate import case_at
from conformance.generate.features import FEATURES, NAMES, POSSIBLE, bits
from conformance.generate.observe import feature_mask

POOL = 6_000
# What a person can still read on one screen.
MOST_BYTES, MOST_MESSAGES, MOST_TOOLS = 1_400, 6, 2
# Every case costs its reader this much before its first byte.
_OVERHEAD = 250


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen case, and the rarest two features that no vector before it brought together."""

    case: Case
    telling: tuple[str, ...]


class _Met:
    """The pairs of features that the vectors have, as one mask for each feature."""

    def __init__(self, masks: Iterable[int]) -> None:
        self._with = [0] * len(FEATURES)
        for mask in masks:
            self.add(mask)

    def add(self, mask: int) -> None:
        for index in bits(mask):
            self._with[index] |= mask

    def gain(self, mask: int) -> int:
        return sum((mask & POSSIBLE[i] & ~self._with[i]).bit_count() for i in bits(mask)) // 2

    def new_pairs(self, mask: int) -> list[tuple[int, int]]:
        return [(i, j) for i in bits(mask) for j in bits(mask & POSSIBLE[i] & ~self._with[i]) if i < j]


def choose(count: int, known: Iterable[Case], *, seed: int = 0, pool: int = POOL) -> list[Chosen]:
    """Return up to `count` small generated cases that add most pairs of features to the known cases.

    Deterministic. Greedy: each step takes the case with the most new pairs for its size.
    """
    candidates = [case for case in (case_at(seed, index) for index in range(pool)) if _small(case)]
    masks = [feature_mask(case) for case in candidates]
    rate = [0] * len(FEATURES)
    for mask in masks:
        for index in bits(mask):
            rate[index] += 1
    met = _Met(feature_mask(case) for case in known)
    sizes = [len(to_json(case)) + _OVERHEAD for case in candidates]
    # A gain can only sink, so the best of the old gains, asked again, is best as soon as it stays on top.
    heap = [(-met.gain(mask) / sizes[number], number) for number, mask in enumerate(masks)]
    heapq.heapify(heap)
    chosen: list[Chosen] = []
    while heap and len(chosen) < count:
        _, number = heapq.heappop(heap)
        worth = -met.gain(masks[number]) / sizes[number]
        if worth == 0:
            continue
        if heap and worth > heap[0][0]:
            heapq.heappush(heap, (worth, number))
            continue
        rarest = min(met.new_pairs(masks[number]), key=lambda pair: (rate[pair[0]] * rate[pair[1]], pair))
        chosen.append(Chosen(candidates[number], tuple(NAMES[index] for index in rarest)))
        met.add(masks[number])
    return chosen


def _small(case: Case) -> bool:
    conversation = case.conversation
    return (
        len(conversation.messages) <= MOST_MESSAGES
        and len(conversation.tools) <= MOST_TOOLS
        and len(to_json(case)) <= MOST_BYTES
    )
