"""The example of each rule: the smallest case that the campaign met, shrunk, and the template lines behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from conformance.as_sent import SentCase
from conformance.bounds import EXPLAIN_ALL_S, EXPLAIN_S, TimeIsUpError, cost, time_limit
from conformance.campaign import assemble
from conformance.campaign.apart import causes
from conformance.campaign.causes import plain
from conformance.campaign.locate import Locator, mended
from conformance.campaign.mask import check_mask
from conformance.campaign.reduce_sent import like
from conformance.campaign.runner import Runner
from conformance.campaign.shrink import Shrinker
from conformance.campaign.sightings import RuleTally, Sighting
from conformance.campaign.tally import RefusalTally, Tally
from conformance.conversation import Case, Conversation
from conformance.engines.base import Refused
from conformance.engines.host import EngineHost, Host
from conformance.errors import UnjudgedError, UsageError
from conformance.logged.words import Words
from conformance.report.model import Divergence, Refusal
from conformance.rules.behaviour import DOES_NOT_COMPILE, RESOURCE_LIMIT
from conformance.shapes import shapes
from conformance.targets.base import Target

# A third of so many conversations is trained on.
_MASKED_CASES = 600
# In so many wordings a request is tried; where it needs its own words, others do not help.
_WORDINGS = 4
# Each smaller case would cost the whole limit once more; no case is to blame for the other.
_NOT_SHRUNK = frozenset({RESOURCE_LIMIT.slug, DOES_NOT_COMPILE.slug})


class Examples:
    """Makes the examples of a campaign's targets; `foreign` hosts are no engines, so that shapes say nothing."""

    def __init__(self, runner: Runner, *, foreign: bool) -> None:
        self._runner, self._foreign = runner, foreign
        self._locator = Locator(limits=runner.settings.limits, relatives=runner.hosts.values())

    def as_seen(self, target: Target, seen: RuleTally) -> assemble.Shown | None:
        """Return the smallest case of a rule as the campaign met it, None where the oracle refuses it."""
        smallest = seen.smallest
        answer = self._runner.judge.answer(smallest.case)
        if answer is None:
            return None
        request = shapes([smallest.shape])[0][0].request(smallest.case)
        return assemble.Shown(
            smallest.case,
            smallest.engine,
            smallest.shape,
            answer,
            smallest.judgement,
            smallest.found,
            reproduce=target.reproduce(request),
            request=request,
            withheld=self._runner.settings.anonymised,
        )

    def smallest(self, target: Target, rules: dict[str, RuleTally]) -> list[tuple[RuleTally, assemble.Shown]]:
        """Return the smallest case of every rule as the campaign met it."""
        found = [(seen, self.as_seen(target, seen)) for seen in rules.values()]
        return [(seen, shown) for seen, shown in found if shown is not None]

    def _shrinker(self, target: Target, host: Host, smallest: Sighting) -> Shrinker:
        """Return what shrinks a sighting: on its engine, and where engines disagree on both."""
        runner, found = self._runner, smallest.found
        names = [smallest.engine, *([found.against] if found.against else [])]
        return Shrinker(
            runner.judge,
            host,
            target.text or "",
            expressible=runner.expressible(*names),
            against=(found.against, runner.hosts[found.against]) if found.against else None,
            date=runner.settings.date,
        )

    def causes(
        self, target: Target, rules: dict[str, RuleTally], left: Callable[[], float]
    ) -> tuple[list[tuple[RuleTally, assemble.Shown]], list[str]]:
        """Shrink the smallest case of every cause of every rule and trace its line, for as many seconds as are `left`.

        Those that take too long stay as they were seen; how many is the second thing returned, in words.
        """
        found: list[tuple[RuleTally, assemble.Shown]] = []
        patience = EXPLAIN_ALL_S
        slow, unasked = list[str](), 0

        def explained(key: str, seen: RuleTally, place: str = "") -> assemble.Shown | None:
            nonlocal patience, unasked
            seconds, wall_s = min(EXPLAIN_S, patience), left()
            if min(seconds, wall_s) <= 0 or key in _NOT_SHRUNK:
                unasked += key not in _NOT_SHRUNK
                return None
            begin = cost()
            try:
                with time_limit(seconds, wall_s=wall_s):
                    return self._explained(target, key, seen, place)
            except TimeIsUpError:
                slow.append(seen.smallest.found.rule)
                self._restart(seen.smallest)
                return None
            finally:
                patience -= cost() - begin

        for key, seen in rules.items():
            as_seen = partial(self.as_seen, target)
            if (shown := explained(key, seen)) is not None:
                found += causes(seen, shown, partial(explained, key), as_seen)
            elif (shown := as_seen(seen)) is not None:
                found.append((seen, shown))
        cut = []
        if slow:
            cut.append(f"to shrink and trace {_words(slow)} took too long; the example is as it was seen")
        if unasked:
            cut.append(f"{unasked} examples are as they were seen, for there was no time to shrink them")
        return found, cut

    def _restart(self, smallest: Sighting) -> None:
        """Forget what was asked of the engines in the middle of which time was up."""
        self._locator.close()
        for name in (smallest.engine, smallest.found.against):
            if isinstance(host := self._runner.hosts.get(name), EngineHost):
                host.close()

    def _explained(self, target: Target, key: str, seen: RuleTally, place: str) -> assemble.Shown | None:
        """Return the shrunk case of a rule, or of one place of it, with the line it comes from; None where it is not
        seen again.
        """
        smallest = seen.smallest
        host = self._runner.hosts[smallest.engine]
        shape = shapes([smallest.shape])[0][0]
        shrinker = self._shrinker(target, host, smallest)
        unexplained = not seen.explained and not smallest.found.readings
        small = shrinker.shrink(smallest.case, shape, key, unexplained=unexplained, place=place)
        if small is not None and self._runner.settings.anonymised:
            small = shrinker.in_other_words(small, _in_other_words(small.case))
        if small is None:
            return None
        line, origin = None, None
        request = small.shape.request(small.case)
        difference, text = small.found.difference, small.judgement.text
        # What only the server can prevent was not written by any line of the template.
        blamed = assemble.severity(small.found.rule, (), small.found.severity) != "note"
        right = mended(self._runner.judge, small.answer, small.judgement, small.found)
        if target.text is not None and small.judgement.line is not None:
            origin = self._locator.failure(target.text, smallest.engine, request, right)
        elif target.text is not None and blamed and difference is not None and text is not None:
            line, origin = self._locator.locate(
                target.text, smallest.engine, host, request, text, difference, right
            )
        return assemble.Shown(
            small.case,
            smallest.engine,
            small.shape.name,
            small.answer,
            small.judgement,
            small.found,
            small.minimal,
            line,
            () if self._foreign else shrinker.needed_shapes(small, key),
            origin,
            target.reproduce(request),
            request=request,
        )

    def refusals(self, tally: Tally) -> list[Refusal]:
        """Return what a target refused; where no words may be shown, of the same request in others."""
        if self._runner.settings.anonymised:
            tally.refusals = {cause: self._reworded(cause, seen) for cause, seen in tally.refusals.items()}
        return assemble.refusals(tally)

    def _reworded(self, cause: str, seen: RefusalTally) -> RefusalTally:
        for case in _in_other_words(seen.case):
            request = shapes([seen.shape])[0][0].request(case)
            for host in self._runner.hosts.values():
                outcome = host.collect(host.submit("", [request]))[0]
                if isinstance(outcome, Refused) and plain(outcome.message) == cause:
                    return replace(seen, case=case, message=outcome.message)
        # What it says may quote the request.
        return replace(
            seen, case=Case(conversation=Conversation()), message="(it said so in the request's words)"
        )

    def masks(self, target: Target, judged: int) -> list[Divergence]:
        """Judge what training would learn from some of the `judged` cases; transformers alone makes masks."""
        if target.text is None or "transformers" not in self._runner.hosts:
            return []
        drawn = (self._runner.drawn(index) for index in range(min(_MASKED_CASES, judged)))
        # What was sent is asked for as it was sent: nobody trains on it.
        cases = [
            (item.case, item.shape)
            for item in drawn
            if item.lost is None and not isinstance(item.case, SentCase)
        ]
        if not cases:
            return []
        limits = self._runner.settings.limits
        try:
            return check_mask(
                target.name,
                target.text,
                cases,
                self._runner.judge,
                self._locator,
                limits=limits,
                relatives=self._runner.hosts.values(),
            )
        except UnjudgedError:
            return []

    def close(self) -> None:
        """End the workers that find lines."""
        self._locator.close()


def _words(slugs: Sequence[str]) -> str:
    names = list(dict.fromkeys(slugs))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more rules" if len(names) > 5 else "")


def _in_other_words(case: Case) -> Iterator[SentCase]:
    """Yield a request in other words, in some wordings; none for a case that is no request."""
    if not isinstance(case, SentCase):
        return
    for seed in range(_WORDINGS):
        with contextlib.suppress(UsageError):
            yield like(case, Words(seed).body(case.body))
