"""What a campaign reached: features, and pairs of features that met in one case."""

from __future__ import annotations

from conformance.conversation import Case
from conformance.generate.features import FEATURES, NAMES, POSSIBLE, bits, names_of
from conformance.generate.observe import feature_mask


def features(case: Case) -> frozenset[str]:
    """Return the names of the features that a case has; `features.MEANINGS` explains each in a line."""
    return names_of(feature_mask(case))


class CoverageCounter:
    """Counts the features of the cases it is given, and the pairs of features that met in one case.

    A pair counts when it can meet at all, see features.py.
    """

    __slots__ = ("_met", "cases", "counts")

    def __init__(self) -> None:
        self.cases = 0
        self.counts = [0] * len(FEATURES)  # cases with feature number i
        self._met = [0] * len(FEATURES)  # the features that feature number i was seen with, as a mask

    def add(self, case: Case) -> int:
        """Count a case and return its feature mask."""
        mask = feature_mask(case)
        self.add_mask(mask)
        return mask

    def add_mask(self, mask: int) -> None:
        """Count a case whose features are known already, from another process for example."""
        self.cases += 1
        counts, met = self.counts, self._met
        for index in bits(mask):
            counts[index] += 1
            met[index] |= mask

    def merge(self, other: CoverageCounter) -> None:
        """Add what another counter saw."""
        self.cases += other.cases
        for index, count in enumerate(other.counts):
            self.counts[index] += count
            self._met[index] |= other._met[index]

    @property
    def features_share(self) -> float:
        """The share of all features that were seen, 0 to 1."""
        return sum(count > 0 for count in self.counts) / len(FEATURES)

    @property
    def pairs_share(self) -> float:
        """The share of the pairs that can meet which did meet, 0 to 1."""
        met = sum((seen & possible).bit_count() for seen, possible in zip(self._met, POSSIBLE, strict=True))
        return met / sum(possible.bit_count() for possible in POSSIBLE)

    @property
    def missing_features(self) -> tuple[str, ...]:
        """The features that no case had."""
        return tuple(name for name, count in zip(NAMES, self.counts, strict=True) if not count)

    @property
    def impossible_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs that met although features.py says that they cannot; there should be none."""
        own = [seen & ~(1 << index) for index, seen in enumerate(self._met)]
        return self._pairs([seen & ~possible for seen, possible in zip(own, POSSIBLE, strict=True)])

    @staticmethod
    def _pairs(rows: list[int]) -> tuple[tuple[str, str], ...]:
        return tuple((NAMES[i], NAMES[j]) for i, row in enumerate(rows) for j in bits(row) if i < j)
