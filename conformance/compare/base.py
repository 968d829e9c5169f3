"""The result of a comparison: one stretch of the expected text against one of the actual text."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.oracles.base import Block


@dataclass(slots=True)
class Difference:
    """Two stretches that differ: where they lie in the oracle's text, and what stands there instead.

    `start` and `actual_start` are where the stretches begin in the two texts, in characters; `block` is
    None for text that belongs to no expected message. `hint` is the rule that the place alone suggests,
    or an empty string.
    """

    block: Block | None
    region: str
    path: str
    expected: str
    actual: str
    start: int
    actual_start: int
    hint: str = ""

    @property
    def offset(self) -> int:
        """The first differing character in the expected text."""
        return self.start + common_prefix(self.expected, self.actual)

    @property
    def actual_offset(self) -> int:
        """The first differing character in the actual text."""
        return self.actual_start + common_prefix(self.expected, self.actual)


def common_prefix(a: str, b: str) -> int:
    """Return how many characters two texts share at their beginning."""
    if a == b:
        return len(a)
    low, high = 0, min(len(a), len(b))
    # Bisection with slice comparison runs at the speed of memcmp; a loop over characters would not.
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
