"""Run mutants of templates through the suite's own judgement: which are caught, rightly named, and located?"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, pairwise, zip_longest

from jinja2.exceptions import TemplateSyntaxError
from msgspec.structs import replace

from conformance.campaign.assemble import severity
from conformance.campaign.judge import Answer, Judge, Judgement
from conformance.campaign.locate import NOTED_CHARS, Locator, mended
from conformance.campaign.shrink import Shrinker, Shrunk
from conformance.compare.base import Found
from conformance.engines import EngineHost, Rendered
from conformance.engines.base import CASE_LIMITS, Outcome, Request
from conformance.errors import UnjudgedError
from conformance.generate import case_at
from conformance.oracles.profile import profile
from conformance.rules import rule
from conformance.shapes import Shape, draw, shapes
from conformance.template.branches import BranchProbe
from tools.mutate.expect import Expectation
from tools.mutate.operators import Edit, edits
from tools.mutate.tree import SourceTree

CASES = 2_000
"""Conversations of a campaign, as many as `check` takes by default."""
TELL_APART = 3_000
"""Conversations of another seed that may tell a mutant from its original where the campaign cannot."""
ENOUGH = 20
"""A mutant that so many conversations have shown is run no further."""
_WINDOWS = (0, 60, 160, 400, 800, 1_400)
# Of a mutant that cannot be told from its original, so many conversations are judged in full.
_JUDGED_ALIKE = 60
_FAILURES = frozenset({"template-crashed", "template-rejected", "resource-limit", "does-not-compile"})


@dataclass(slots=True)
class Shown:
    """One conversation that a mutant writes otherwise: what it added to the suite's findings, and what should be."""

    item: Item
    judgement: Judgement
    new: dict[str, Found]
    expected: set[str]


@dataclass(slots=True)
class Result:
    """What became of one mutant.

    `missed_by_campaign` says that only conversations of the other seed show it; `alarms` counts findings that the
    original does not have on conversations that both write alike. `lines` are the line that the card shows, or those
    between which nothing was written; `also` the condition and the last line that ran, `led_here` what led to them.
    """

    template: str
    edit: Edit
    distinguishable: bool
    missed_by_campaign: bool = False
    conversations: int = 0
    shown: list[Shown] = field(default_factory=list)
    caught: bool = False
    alarms: int = 0
    lines: tuple[int, int] | None = None
    also: list[int] = field(default_factory=list)
    led_here: list[int] = field(default_factory=list)

    @property
    def found(self) -> Counter[str]:
        """In how many conversations each new rule was found."""
        return Counter(slug for one in self.shown for slug in one.new)

    @property
    def right(self) -> Counter[str]:
        """The same, only where the rule was to be expected."""
        return Counter(slug for one in self.shown for slug in one.new if slug in one.expected)

    @property
    def wrong(self) -> Counter[str]:
        """The same, only where the rule was not to be expected."""
        return self.found - self.right

    @property
    def clean(self) -> bool:
        """Whether an expected rule was found, and no unexpected one in any conversation."""
        return bool(self.right) and not self.wrong

    @property
    def named(self) -> bool:
        """Whether an expected rule was found, and no unexpected one in more conversations."""
        right, wrong = self.right, self.wrong
        return bool(right) and max(right.values()) >= max(wrong.values(), default=0)

    @property
    def located(self) -> bool:
        """Whether the line that is shown, or the condition named beside it, lies within the block that was edited."""
        first, last = self.edit.block
        shown = self.lines is not None and self.lines[0] <= last and first <= self.lines[1]
        return shown or any(first <= line <= last for line in self.also)

    @property
    def led(self) -> bool:
        """Whether any line on the card does: also what printed the text on, and what the condition reads."""
        first, last = self.edit.block
        return self.located or any(first <= line <= last for line in self.led_here)

    @property
    def masked(self) -> bool:
        """Whether nothing new can be said: where the mutant shows, the original breaks a rule that names it already."""
        return bool(self.shown) and all(
            not one.new and not one.expected.isdisjoint(blamed(one.item.judgement)) for one in self.shown
        )


@dataclass(slots=True)
class Item:
    """One conversation of the campaign: how it is handed over, the oracle's answer, and what the original does.

    `branches` are those of the original that it ran, None where that is not known.
    """

    answer: Answer
    shape: Shape
    request: Request
    original: Outcome
    judgement: Judgement
    branches: frozenset[int] | None = None
    _expectation: Expectation | None = None

    @property
    def expectation(self) -> Expectation:
        """What a changed text should be called."""
        if self._expectation is None:
            self._expectation = Expectation(self.answer.case, self.answer.rendering)
        return self._expectation


class Bench:
    """One template under mutation: its campaign, run once, and mutants compared with it.

    The template runs in a worker: an edit may make it run for ever.
    """

    def __init__(
        self,
        name: str,
        text: str,
        judge: Judge,
        host: EngineHost,
        *,
        seed: int = 0,
        cases: int = CASES,
        tell_apart: int = TELL_APART,
    ) -> None:
        self.name, self.text = name, text
        self.tree = SourceTree(text)
        self._judge, self._host, self._seed = judge, host, seed
        self._items = {seed: list[Item](), seed + 1: list[Item]()}
        self._next = dict.fromkeys(self._items, 0)
        # How many conversations there are up to a number of the campaign: what no shape can carry is left out.
        self._marks = {(seed, 0): 0, (seed + 1, 0): 0}
        self._choices = shapes(())
        self._locator = Locator(limits=CASE_LIMITS)
        self._bounds = [*(start for start in _WINDOWS if start < cases), cases]
        self._tell_apart = tell_apart
        self._probe = BranchProbe("transformers", limits=replace(CASE_LIMITS, output_chars=NOTED_CHARS))

    def run(self, edit: Edit) -> Result | None:
        """Return what became of a mutant, None where it is no template any more."""
        changed = edit.apply(self.text)
        try:
            SourceTree(changed)
        except (TemplateSyntaxError, RecursionError):
            return None
        result = Result(self.name, edit, distinguishable=False)
        arm = self.tree.arm(edit.span)
        alike: list[tuple[Item, Outcome]] = []
        for start, stop in pairwise(self._bounds):
            for item, outcome in self._outcomes(changed, self._seed, start, stop, arm):
                result.conversations += 1
                if same(item.original, outcome):
                    if len(alike) < _JUDGED_ALIKE:
                        alike.append((item, outcome))
                elif len(result.shown) < ENOUGH:
                    self._show(result, item, outcome)
            if len(result.shown) >= ENOUGH:
                break
        result.distinguishable = bool(result.shown)
        if not result.distinguishable:
            for start in range(0, self._tell_apart, 500):
                if any(
                    not same(item.original, outcome)
                    for item, outcome in self._outcomes(changed, self._seed + 1, start, start + 500, arm)
                ):
                    result.distinguishable = result.missed_by_campaign = True
                    break
        if not result.distinguishable:
            result.alarms = sum(bool(self._new(item, self._judged(item, outcome))) for item, outcome in alike)
        if result.shown:
            self._locate(result, changed)
        return result

    def _show(self, result: Result, item: Item, outcome: Outcome) -> None:
        judgement = self._judged(item, outcome)
        new = self._new(item, judgement)
        gone = blamed(item.judgement).keys() - blamed(judgement).keys()
        result.caught = result.caught or bool(new or gone)
        failed = not isinstance(outcome, Rendered) or not isinstance(item.original, Rendered)
        expected = set(_FAILURES) if failed else set()
        if isinstance(outcome, Rendered):
            # What an original that fails would have written is not known; Harmony's text stands for it.
            whole = item.answer.rendering.text
            before = item.original.text if isinstance(item.original, Rendered) else whole
            expected |= item.expectation.rules(before, outcome.text)
        result.shown.append(Shown(item, judgement, new, expected))

    def _judged(self, item: Item, outcome: Outcome) -> Judgement:
        return self._judge.judge(item.answer, outcome, confirm=False)

    @staticmethod
    def _new(item: Item, judgement: Judgement) -> dict[str, Found]:
        before = blamed(item.judgement)
        return {slug: found for slug, found in blamed(judgement).items() if slug not in before}

    def _locate(self, result: Result, changed: str) -> None:
        """Trace the line of the rule that names the mutant: on its shrunk case, where the original has no finding."""
        ranked = (result.right or result.found).most_common()
        if not ranked:
            return
        slug = min((-count, rule(name).code, name) for name, count in ranked)[2]
        shown = min(
            (one for one in result.shown if slug in one.new), key=lambda one: len(one.judgement.text or "")
        )
        found, judgement, request = shown.new[slug], shown.judgement, shown.item.request
        answer = shown.item.answer
        if not shown.item.judgement.found and slug != "resource-limit":
            shrinker = Shrinker(self._judge, self._host, changed)
            small = shrinker.shrink(shown.item.answer.case, shown.item.shape, found.key)
            if small is not None and all(each.key != found.key for each in self._original(small).found):
                found, judgement, request = small.found, small.judgement, small.shape.request(small.case)
                answer = small.answer
        right = mended(self._judge, answer, judgement, found)
        if judgement.line is not None:
            result.lines = judgement.line, judgement.line
            origin = self._locator.failure(changed, "transformers", request, right)
            result.also = [] if origin is None else list(origin.decisive)
        elif found.difference is not None and judgement.text is not None:
            line, origin = self._locator.locate(
                changed, "transformers", self._host, request, judgement.text, found.difference, right
            )
            result.lines = (line, line) if line is not None else None
            if origin is not None:
                result.lines = result.lines or (origin.between[0], origin.between[-1])
                result.also = [each for each in (origin.condition, origin.nearest) if each is not None]
                result.also += origin.decisive
                result.led_here = [*origin.trail, *origin.sets]

    def _original(self, small: Shrunk) -> Judgement:
        request = small.shape.request(small.case)
        (outcome,) = self._host.collect(self._host.submit(self.text, [request]))
        return self._judge.judge(small.answer, outcome, confirm=False)

    def _outcomes(
        self, text: str, seed: int, start: int, stop: int, arm: int | None
    ) -> Iterator[tuple[Item, Outcome]]:
        items = [
            item
            for item in self._drawn(seed, start, stop)
            if arm is None or item.branches is None or arm in item.branches
        ]
        ticket = self._host.submit(text, [item.request for item in items])
        yield from zip(items, self._host.collect(ticket), strict=True)

    def close(self) -> None:
        """End the workers that find lines and branches."""
        self._locator.close()
        self._probe.close()

    def _drawn(self, seed: int, start: int, stop: int) -> list[Item]:
        """Return the conversations of these numbers, but those that no shape can carry or Harmony refuses."""
        known = self._items[seed]
        if self._next[seed] < stop:
            made: list[tuple[Answer, Shape]] = []
            for index in range(self._next[seed], stop):
                case, shape = case_at(seed, index), draw(self._choices, index)
                answer = None if shape.loses(case) else self._judge.answer(case)
                if answer is not None:
                    made.append((answer, shape))
            requests = [shape.request(answer.case) for answer, shape in made]
            outcomes = self._host.collect(self._host.submit(self.text, requests))
            try:
                noted = list(self._probe.noted(self.text, requests))
            except UnjudgedError:
                noted = []  # then every edit is tried on all of them
            for (answer, shape), request, outcome, ran in zip_longest(made, requests, outcomes, noted):
                judgement = self._judge.judge(answer, outcome, confirm=False)
                branches = None if ran is None else frozenset(ran.branches)
                known.append(Item(answer, shape, request, outcome, judgement, branches))
            self._next[seed] = stop
            self._marks[seed, stop] = len(known)
        return known[self._marks[seed, start] : self._marks[seed, stop]]


def same(one: Outcome, other: Outcome) -> bool:
    """Say whether two outcomes are one: the same text, or the same kind of failure."""
    if isinstance(one, Rendered) and isinstance(other, Rendered):
        return one.text == other.text
    return type(one) is type(other)


def blamed(judgement: Judgement) -> dict[str, Found]:
    """Return the findings by rule, without the notes: what they say is no template's fault."""
    return {
        found.rule: found for found in judgement.found if severity(found.rule, (), found.severity) != "note"
    }


def chosen(tree: SourceTree, seed: int) -> Iterator[Edit]:
    """Yield a template's edits in a random order in which the operators take turns."""
    draws = random.Random(seed)
    groups: list[Sequence[Edit]] = []
    for found in edits(tree).values():
        group = list(found)
        draws.shuffle(group)
        groups.append(group)
    return (edit for edit in chain.from_iterable(zip_longest(*groups)) if edit is not None)


def run(
    templates: dict[str, str],
    wanted: dict[str, int],
    *,
    seed: int = 0,
    only: Sequence[str] | None = None,
    on_result: Callable[[Result], None] | None = None,
    seconds: float | None = None,
    known: Collection[tuple[str, str]] = (),
) -> list[Result]:
    """Mutate templates until as many mutants of each as wanted can be told from their original.

    `only` takes the mutants of these names instead; `seconds` is how long each template may take; those of
    `known`, by template and name, are left out.
    """
    results: list[Result] = []
    judge = Judge(profile("harmony"))
    with EngineHost("transformers", limits=CASE_LIMITS) as host:
        for name, text in templates.items():
            with closing(Bench(name, text, judge, host, seed=seed)) as bench:
                left = wanted[name]
                until = time.monotonic() + (math.inf if seconds is None else seconds)
                for edit in chosen(bench.tree, seed):
                    if left == 0 or time.monotonic() > until:
                        break
                    if (name, edit.name) in known or (only is not None and edit.name not in only):
                        continue
                    result = bench.run(edit)
                    if result is None:
                        continue
                    left -= result.distinguishable and not result.masked
                    results.append(result)
                    if on_result is not None:
                        on_result(result)
    return results
