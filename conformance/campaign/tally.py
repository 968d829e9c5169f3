"""Count what a campaign finds about one target, in a form that parts of a campaign can be merged in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conformance.campaign.causes import plain
from conformance.campaign.judge import CRASHED, DIFFERENT, EQUAL, REFUSED, REJECTED, Judgement
from conformance.campaign.sightings import RuleTally, Sighting, of_real_use, together
from conformance.conversation import Case, to_json
from conformance.generate.coverage import CoverageCounter
from conformance.oracles.profile import profiles
from conformance.rules.behaviour import RESOURCE_LIMIT, UNCLASSIFIED

_ORDER = {EQUAL: 0, DIFFERENT: 1, REJECTED: 2, CRASHED: 3}


@dataclass(slots=True)
class EngineTally:
    """What was counted about one target on one engine alone; `inexpressible` counts by reason."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ORDER, 0))
    right: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    inexpressible: dict[str, int] = field(default_factory=dict)
    time_limits: int = 0

    def add(self, judgement: Judgement) -> None:
        """Count one conversation."""
        self.counts[judgement.status] += 1
        for name in judgement.right:
            self.right[name] = self.right.get(name, 0) + 1
        for found in judgement.found:
            self.rules[found.rule] = self.rules.get(found.rule, 0) + 1
            self.time_limits += found.rule == RESOURCE_LIMIT.slug

    def merge(self, other: EngineTally) -> None:
        """Add what another part of the campaign counted."""
        for mine, theirs in (
            (self.counts, other.counts),
            (self.right, other.right),
            (self.rules, other.rules),
            (self.inexpressible, other.inexpressible),
        ):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        self.time_limits += other.time_limits


@dataclass(slots=True)
class RefusalTally:
    """How often a target said one thing instead of a prompt, and the smallest case that it said it of."""

    size: int
    index: int
    case: Case
    shape: str
    message: str
    count: int = 1

    def add(self, other: RefusalTally) -> RefusalTally:
        """Return what was counted here and elsewhere, with the smaller case."""
        smaller = min(self, other, key=lambda each: (each.size, each.index))
        return replace(smaller, count=self.count + other.count)


@dataclass(slots=True)
class Tally:
    """What was counted about one target: conversations by status, rules, and shares right by profile."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ORDER, 0))
    inexpressible: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    right: dict[str, int] = field(default_factory=dict)
    read: int = 0
    rules: dict[str, RuleTally] = field(default_factory=dict)
    unclassified: int = 0
    familiar: int = 0
    shapes: set[str] = field(default_factory=set)
    engines: dict[str, EngineTally] = field(default_factory=dict)
    # By cause: what the target said, without the names and numbers of one request.
    refusals: dict[str, RefusalTally] = field(default_factory=dict)
    # Texts that took too long to compare: different, and nothing more is known of them.
    slow: int = 0

    @property
    def refused(self) -> int:
        """Conversations that the target said it cannot take."""
        return sum(refusal.count for refusal in self.refusals.values())

    @property
    def total(self) -> int:
        """Conversations judged."""
        return sum(self.counts.values())

    def add(
        self,
        index: int,
        case: Case,
        shape: tuple[str, str],
        mask: int,
        judgements: list[tuple[str, Judgement]],
    ) -> list[str]:
        """Count one conversation, judged by each engine; return the keys that are new or have a smaller case.

        `shape` is the name of the shape and of its family.
        """
        for _, judgement in judgements:
            if judgement.status == REFUSED:
                self.refuse(RefusalTally(len(to_json(case)), index, case, shape[0], judgement.failure or ""))
        judgements = [judged for judged in judgements if judged[1].status != REFUSED]
        if not judgements:
            return []
        for engine, judgement in judgements:
            self.engine(engine).add(judgement)
        status = max((judgement.status for _, judgement in judgements), key=_ORDER.__getitem__)
        self.counts[status] += 1
        self.shapes.add(shape[1])
        self.slow += any(judgement.slow for _, judgement in judgements)
        self.familiar += any(j.text is not None and j.familiar for _, j in judgements)
        self.read += all(judgement.read for _, judgement in judgements)
        right = set.intersection(*(set(judgement.right) for _, judgement in judgements))
        for name in right:
            self.right[name] = self.right.get(name, 0) + 1
        news: list[str] = []
        counted: set[str] = set()
        size = -1
        for engine, judgement in judgements:
            for found in judgement.found:
                if size < 0:
                    size = len(to_json(case))
                sighting = Sighting(size, index, case, engine, shape[0], found, judgement)
                if self._count(sighting, shape[1], mask, counted):
                    news.append(found.key)
        self.unclassified += UNCLASSIFIED.slug in counted
        return news

    def refuse(self, refusal: RefusalTally, cause: str | None = None) -> None:
        """Count what the target refused."""
        cause = plain(refusal.message) if cause is None else cause
        known = self.refusals.get(cause)
        self.refusals[cause] = refusal if known is None else known.add(refusal)

    def engine(self, name: str) -> EngineTally:
        """Return what was counted on one engine."""
        if name not in self.engines:
            self.engines[name] = EngineTally()
        return self.engines[name]

    def _count(self, sighting: Sighting, family: str, mask: int, counted: set[str]) -> bool:
        """Count a finding of a case, whose `counted` ones are known; return whether its case is the smallest."""
        found = sighting.found
        vanishes = set(found.vanishes_under(profiles().values())) if found.readings else set()
        known = self.rules.get(found.key)
        tally = known or RuleTally(sighting, vanishes=set(vanishes))
        self.rules[found.key] = tally
        new_case = found.key not in counted
        counted.add(found.key)
        new = tally.see(sighting, vanishes, family, mask, new_case=new_case) or known is None
        tally.sets[frozenset(found.places)] += new_case and bool(found.places)
        for name, difference in found.places.items():
            part = tally.places.get(name)
            if part is None:
                part = tally.places[name] = RuleTally(sighting.at(difference), vanishes=set(vanishes))
            mark = f"{found.key}\0{name}"
            part.see(sighting, vanishes, family, mask, new_case=mark not in counted, at=difference)
            counted.add(mark)
        return new

    def folded(self, most: int) -> dict[str, RuleTally]:
        """Return what was seen by rule and cause; of each rule's causes the commonest, and the others as one."""
        by_rule: dict[str, list[RuleTally]] = {}
        for seen in self.rules.values():
            if seen.smallest.found.cause:
                by_rule.setdefault(seen.smallest.found.rule, []).append(seen)
        found = dict(self.rules)
        for causes in by_rule.values():
            rest = sorted(causes, key=lambda seen: (-seen.weighed, -seen.count, seen.smallest.found.cause))[
                most:
            ]
            if len(rest) < 2:
                continue
            for seen in rest:
                del found[seen.smallest.found.key]
            whole = together(rest)
            whole.smallest.found.cause = f"{len(rest)} more causes"
            found[whole.smallest.found.key] = whole
        return found

    def weigh(self, other: Tally, *, shown: bool) -> None:
        """Take in which rules conversations of real use show, and how many; they are counted apart.

        Where none of them may be `shown`, what only they show has no example and is left out.
        """
        for key, tally in other.rules.items():
            if not shown:
                if key in self.rules:
                    self.rules[key].weigh(tally, shown=False)
            elif key in self.rules:
                self.rules[key].merge(of_real_use(tally))
                self.rules[key].weigh(replace(tally, count=0), shown=True)
            else:
                self.rules[key] = of_real_use(tally)
                self.rules[key].weigh(replace(tally, count=0), shown=True)

    def merge(self, other: Tally) -> None:
        """Add what another part of the campaign counted."""
        for status, count in other.counts.items():
            self.counts[status] += count
        for name, count in other.right.items():
            self.right[name] = self.right.get(name, 0) + count
        self.read += other.read
        self.inexpressible += other.inexpressible
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.unclassified += other.unclassified
        self.slow += other.slow
        self.familiar += other.familiar
        self.shapes |= other.shapes
        for key, tally in other.rules.items():
            if key in self.rules:
                self.rules[key].merge(tally)
            else:
                self.rules[key] = tally
        for cause, refusal in other.refusals.items():
            self.refuse(refusal, cause)
        for name, counted in other.engines.items():
            self.engine(name).merge(counted)


@dataclass(slots=True)
class Part:
    """What one part of a campaign found: a tally for each target, and the coverage of its cases.

    `errors` holds the targets that could not be judged, with the reason; `given_up` the pairs of target and
    engine that went over a limit too often. `unanswered` counts conversations on which the authority gave no answer, by
    its reason; `layout_failures` those whose text the layout does not explain.
    """

    tallies: list[Tally]
    coverage: CoverageCounter
    cases: int = 0
    unanswered: dict[str, int] = field(default_factory=dict)
    layout_failures: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    given_up: set[tuple[int, str]] = field(default_factory=set)

    def merge(self, other: Part) -> None:
        """Add another part."""
        for mine, theirs in zip(self.tallies, other.tallies, strict=True):
            mine.merge(theirs)
        self.coverage.merge(other.coverage)
        self.cases += other.cases
        for reason, count in other.unanswered.items():
            self.unanswered[reason] = self.unanswered.get(reason, 0) + count
        self.layout_failures += other.layout_failures
        self.errors.update(other.errors)
        self.given_up |= other.given_up

    @property
    def settled(self) -> int:
        """How many conversations have an end: judged, inexpressible, refused or without an answer."""
        most = max((tally.total + tally.inexpressible + tally.refused for tally in self.tallies), default=0)
        return most + sum(self.unanswered.values())

    def no_answer(self, reason: str) -> None:
        """Count a conversation on which the authority gave no answer."""
        self.unanswered[reason] = self.unanswered.get(reason, 0) + 1
