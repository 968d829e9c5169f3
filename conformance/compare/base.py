"""What a comparison finds: stretches of text that differ, each under the rule that names the difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from conformance.oracles.base import Block, Region
from conformance.oracles.profile import Profile, Reading
from conformance.rules.base import Rule, Severity, Slug

# Where a difference lies: Harmony's own regions, and those that are only compared as one.
Compared: TypeAlias = (
    Region
    | Literal[
        "gap", "thinking", "tools-section", "namespace-close", "opening", "parameters", "property", "comment", "body"
    ]
)  # fmt: skip


@dataclass(slots=True)
class Difference:
    """Two stretches that differ: where they lie in the oracle's text, and what stands there instead.

    `start` and `actual_start` are where the stretches begin in the two texts, in characters; `block` is
    None for text that belongs to no expected message.
    """

    block: Block | None
    region: Compared
    path: str
    expected: str
    actual: str
    start: int
    actual_start: int

    @property
    def offset(self) -> int:
        """The first differing character in the expected text."""
        return self.start + parting(self.expected, self.actual)

    @property
    def actual_offset(self) -> int:
        """The first differing character in the actual text."""
        return self.actual_start + parting(self.expected, self.actual)

    def part(
        self, region: Compared, path: str, expected: str, actual: str, skip: int = 0, actual_skip: int = 0
    ) -> Difference:
        """Return a smaller stretch of this one, which begins after `skip` and `actual_skip` characters."""
        start, actual_start = self.start + skip, self.actual_start + actual_skip
        return Difference(self.block, region, path, expected, actual, start, actual_start)


Named: TypeAlias = tuple[Rule, Difference]


@dataclass(slots=True)
class Found:
    """A named divergence of one case: the rule, where it shows (None when there is no text), and the cited readings
    each of which alone explains it.

    `cause` tells occurrences of one rule apart: why two engines disagree, where and how a template fails. Where
    engines disagree, `against` and `against_text` are the other engine and its text. `severity` and `fix` are
    given where they are not the rule's own. `places` has every place of the case in which the rule was found, with the
    first difference there: which of them are one cause is known only when each has been shrunk.
    """

    rule: Slug
    difference: Difference | None
    readings: tuple[Reading, ...] = ()
    cause: str = ""
    against: str = ""
    against_text: str = ""
    severity: Severity | None = None
    fix: str = ""
    places: dict[str, Difference] = field(default_factory=dict)

    def vanishes_under(self, profiles: Iterable[Profile]) -> list[str]:
        """Return the names of the profiles that have one of the readings."""
        return [
            profile.name
            for profile in profiles
            if any(getattr(profile, setting) == value for setting, value in self.readings)
        ]

    @property
    def key(self) -> str:
        """What is counted and shrunk by itself: the rule, with its cause or severity where it has several."""
        if self.cause:
            return f"{self.rule}: {self.cause}"
        return f"{self.rule} ({self.severity})" if self.severity else self.rule


def parting(a: str, b: str) -> int:
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
