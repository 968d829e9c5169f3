"""Where a rule was seen: the smallest case of each rule and place, how often, and what all of its cases share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from conformance.campaign.judge import Judgement
from conformance.compare.base import Difference, Found
from conformance.conversation import Case
from conformance.oracles.profile import Reading


@dataclass(slots=True)
class Sighting:
    """One case in which a rule was seen; the smallest one is kept, the earlier one of equal size.

    What no reading explains comes before what one does, however small that is: an error's example is an error.
    """

    size: int
    index: int
    case: Case
    engine: str
    shape: str
    found: Found
    judgement: Judgement

    def key(self) -> tuple[bool, int, int]:
        """Order sightings: unexplained ones first, then smaller cases, then earlier ones."""
        return bool(self.found.readings), self.size, self.index

    def at(self, difference: Difference) -> Sighting:
        """Return the sighting at one of the places where the rule was found."""
        return replace(self, found=replace(self.found, difference=difference, places={}))


@dataclass(slots=True)
class RuleTally:
    """How often a rule was seen on a target, in what, and the smallest case for it.

    `features` is the mask of features that every such case has; `vanishes` the profiles under which every
    one of the divergences vanishes; `readings` has for every setting that explains some of them the values that
    explain all those; `unexplained` counts the cases that no reading explains. `weighed` counts conversations of real
    use, which `count` does not hold. `places` has the same of each place in which the rule was seen, and `sets` how
    many cases have which of them.
    """

    smallest: Sighting
    count: int = 0
    features: int = -1
    vanishes: set[str] = field(default_factory=set)
    readings: dict[str, set[str]] = field(default_factory=dict)
    unexplained: int = 0
    shapes: set[str] = field(default_factory=set)
    engines: set[str] = field(default_factory=set)
    places: dict[str, RuleTally] = field(default_factory=dict)
    sets: Counter[frozenset[str]] = field(default_factory=Counter)
    weighed: int = 0

    @property
    def explained(self) -> list[Reading]:
        """The readings that together explain every divergence, one value for each setting suffices; else none."""
        if self.unexplained or not all(self.readings.values()):
            return []
        return [
            (setting, value) for setting in sorted(self.readings) for value in sorted(self.readings[setting])
        ]

    def explain(self, found: Found) -> None:
        """Take in which readings explain one divergence."""
        self.unexplained += not found.readings
        given: dict[str, set[str]] = {}
        for setting, value in found.readings:
            given.setdefault(setting, set()).add(value)
        self._explain(given)

    def _explain(self, given: dict[str, set[str]]) -> None:
        for setting, values in given.items():
            self.readings[setting] = self.readings[setting] & values if setting in self.readings else values

    def see(
        self,
        sighting: Sighting,
        vanishes: set[str],
        family: str,
        mask: int,
        *,
        new_case: bool,
        at: Difference | None = None,
    ) -> bool:
        """Count a sighting, or what it shows `at` one place; return whether it is the smallest so far."""
        found = sighting.found
        new = sighting.key() < self.smallest.key()
        if new:
            self.smallest = sighting if at is None else sighting.at(at)
        self.count += new_case
        self.features &= mask
        self.vanishes &= vanishes
        self.explain(found)
        self.shapes.add(family)
        self.engines.add(sighting.engine)
        if found.against:
            self.engines.add(found.against)
        return new

    def of(self, chosen: Sequence[str], cause: str) -> RuleTally:
        """Return what was seen in some of the places, as one cause; a case that has two of them counts once."""
        whole = together([self.places[name] for name in chosen])
        met = sum(count for names, count in self.sets.items() if not names.isdisjoint(chosen))
        whole.count = max(met, *(self.places[name].count for name in chosen))
        whole.weighed = min(whole.weighed, self.weighed)
        whole.smallest.found.cause = cause
        return whole

    def weigh(self, other: RuleTally, *, shown: bool) -> None:
        """Count conversations of real use, and where; a place that only they have is left out unless `shown`."""
        self.weighed += other.count
        for name, tally in other.places.items():
            if name in self.places:
                self.places[name].weighed += tally.count
            elif shown:
                self.places[name] = of_real_use(tally)

    def merge(self, other: RuleTally) -> None:
        """Add what another part of the campaign saw."""
        self.sets += other.sets
        for name, tally in other.places.items():
            if name in self.places:
                self.places[name].merge(tally)
            else:
                self.places[name] = tally
        self.unexplained += other.unexplained
        self._explain(other.readings)
        self.count += other.count
        self.weighed += other.weighed
        self.features &= other.features
        self.vanishes &= other.vanishes
        self.shapes |= other.shapes
        self.engines |= other.engines
        self.smallest = min(self.smallest, other.smallest, key=Sighting.key)


def of_real_use(tally: RuleTally) -> RuleTally:
    """Return what conversations of real use saw, in a form that weighs and does not count."""
    return replace(together([tally]), count=0, weighed=tally.count)


def together(tallies: Sequence[RuleTally]) -> RuleTally:
    """Return several tallies as one; a conversation that two of them count is counted twice."""
    first = tallies[0]
    whole = replace(
        first,
        smallest=replace(first.smallest, found=replace(first.smallest.found)),
        vanishes=set(first.vanishes),
        readings={setting: set(values) for setting, values in first.readings.items()},
        shapes=set(first.shapes),
        engines=set(first.engines),
        places={},
        sets=Counter(),
    )
    for other in tallies[1:]:
        copied = replace(other.smallest, found=replace(other.smallest.found))
        whole.merge(replace(other, smallest=copied, places={}, sets=Counter()))
    return whole
