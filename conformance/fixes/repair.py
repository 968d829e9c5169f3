"""Finds the fixes that help a template and harm nothing, and leaves out those that turn out not to be needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from conformance.campaign.locate import Locator
from conformance.campaign.runner import Runner
from conformance.fixes.base import Fix, SkippedError, fixes
from conformance.fixes.edits import Edit, Hunk, candidates, hunk
from conformance.fixes.kept import gone, lost
from conformance.fixes.reference import written_under
from conformance.fixes.tidy import tidied
from conformance.fixes.trial import Results, Trials, Witness, objection, objections
from conformance.oracles.profile import profile
from conformance.template.parts import Source, UnreadableError

TRIALS = 500  # random cases for each trial; the whole budget judges the result
_WITNESSES = 3  # cases for each rule, however rare, that every trial includes
_ROUNDS = 3
_EDITED = 2  # cases of each rule that edits are read off
_MOST_EDITS = 100  # edits that are looked at; each costs a compilation
_MORE = 25  # cases of either seed that join the trials when a proof fails

# Is told what is being done: a sentence for each step.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A fix that was not applied, and why."""

    fix: str
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The original and the repaired template on the cases of one seed."""

    seed: int
    before: Results
    after: Results


@dataclass(slots=True)
class Repair:
    """What became of a template: its new text (the old one where nothing helped), what was applied and what not.

    `gone` are texts that it said before and says nowhere now.
    """

    text: str
    main: Compared
    proof: Compared | None = None
    applied: list[Fix] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> list[str]:
        """The rules that the new text still breaks, on any of the seeds."""
        after = self.main.after.counts + (self.proof.after.counts if self.proof else self.main.after.counts)
        return [rule for rule, _ in after.most_common()]


def repair(
    runner: Runner,
    text: str,
    *,
    seed: int,
    cases: int,
    say: Say = lambda _: None,
    harmony: bool | None = None,
    wanted: Collection[str] = (),
) -> Repair:
    """Repair a template, judged on `cases` cases of `seed` and proven on as many of the next seeds.

    With `wanted` only these rules are repaired. What breaks the proof joins the trials, and the search begins
    again. A template that writes something else than Harmony comes back as it is. Where all lines end as on
    Windows, they still do.
    """
    if 0 < text.count("\r\n") == text.count("\n") == text.count("\r"):
        # Jinja reads both ends as one, so that what is proven of the one text holds for the other.
        plain = text.replace("\r\n", "\n")
        result = repair(runner, plain, seed=seed, cases=cases, say=say, harmony=harmony, wanted=wanted)
        result.text = result.text.replace("\n", "\r\n")
        return result
    trials = Trials.drawn(runner, seed, cases, text)
    before = trials.judge(text, confirm=True)
    result = Repair(text, Compared(seed, before, before))
    if not before.counts or not (before.is_harmony if harmony is None else harmony):
        return result
    small = trials.part(_sample(before, len(trials.answered)))
    for number in range(1, _ROUNDS + 1):
        with written_under(profile(runner.settings.profile)):
            search = _searched(runner, small, text, say, wanted)
        result.refused = search.refused
        if not search.applied:
            break
        say(f"proving {len(search.applied)} fixes with seed {seed + number}")
        fresh = Trials.drawn(runner, seed + number, cases, text)
        main = Compared(seed, before, trials.judge(search.text, confirm=True))
        proof = Compared(
            seed + number, fresh.judge(text, confirm=True), fresh.judge(search.text, confirm=True)
        )
        reason = objection(main.before, main.after) or objection(proof.before, proof.after)
        if reason is None:
            return Repair(search.text, main, proof, search.applied, search.refused, gone(text, search.text))
        say("the proof failed; the conversations that showed it join the trials")
        failed = f"applied together with the others, {reason}"
        result.refused = [*(_refused(fix, before, failed) for fix in search.applied), *search.refused]
        small = small.with_more(
            [
                run.answered[index]
                for run, compared in ((trials, main), (fresh, proof))
                for index, _ in objections(compared.before, compared.after)[:_MORE]
            ]
        )
    return result


def _searched(runner: Runner, trials: Trials, text: str, say: Say, wanted: Collection[str]) -> _Search:
    """Return the search that leaves the fewest rules: edits first, and without them where they stood in the way."""
    locator = Locator(limits=runner.settings.limits, relatives=runner.hosts.values())
    try:
        search = _Search(trials, text, say, wanted=wanted, locator=locator)
        search.run()
    finally:
        locator.close()
    if not search.left or not any(fix.size == "edit" for fix in search.applied):
        return search
    plain = _Search(trials, text, say, wanted=wanted)
    plain.run()
    return plain if plain.left < search.left else search


def _refused(fix: Fix, before: Results, reason: str) -> Refused:
    return Refused(fix.name, tuple(rule for rule in fix.rules if before.counts[rule]), reason)


def _sample(before: Results, count: int) -> set[int]:
    """Return which cases the trials use: an even sample, and some for each rule."""
    step = max(1, count // TRIALS)
    chosen = set(range(0, count, step))
    shown: dict[str, int] = {}
    for number, seen in enumerate(before.seen):
        for rule in seen.rules:
            if shown.get(rule, 0) < _WITNESSES:
                shown[rule] = shown.get(rule, 0) + 1
                chosen.add(number)
    return chosen


class _Search:
    """Applies fix after fix as long as one helps, then drops those that the others made needless.

    Single edits come first (where there is a `locator`), then expressions, then sections. Only rules in `wanted` count,
    or all.
    """

    def __init__(
        self,
        trials: Trials,
        original: str,
        say: Say,
        *,
        wanted: Collection[str] = (),
        locator: Locator | None = None,
    ) -> None:
        self._trials = trials
        self._original = original
        self._say = say
        self._locator = locator
        self._wanted = wanted
        self._tried: set[tuple[str, str, str]] = set()
        self.text = original
        self.applied: list[Fix] = []
        self.refused: list[Refused] = []

    def run(self) -> None:
        """Find the fixes to apply."""
        while self._locator is not None and self._edit(self._locator):
            pass
        progress = True
        while progress:
            progress = False
            self.refused = []
            for fix in fixes():
                if fix in self.applied:
                    continue
                present = [rule for rule in fix.rules if self._now.counts[rule] and self._wants(rule)]
                if not present:
                    continue
                reason = self._try(fix, present)
                if reason is None:
                    progress = True
                    self._say(f"applied {fix.name}: {fix.what}")
                else:
                    self.refused.append(Refused(fix.name, tuple(present), reason))
        self._drop_needless()
        self._tidy()

    def _wants(self, rule: str) -> bool:
        return not self._wanted or rule in self._wanted

    def _edit(self, locator: Locator) -> bool:
        """Apply the edit of one tag that ends a rule and leaves the least wrong; return whether there was one."""
        for rule, _ in sorted(self._now.counts.items(), key=lambda item: item[1]):
            if not self._wants(rule):
                continue
            text, applied, best, least = self.text, list(self.applied), None, 0
            for candidate in self._candidates(rule, locator):
                if self._try(candidate, [rule], ends=True) is None:
                    left = self.left
                    self.text, self.applied = text, list(applied)
                    if best is None or left < least:
                        best, least = candidate, left
                    if not left:
                        break
            if best is not None and self._try(best, [rule], ends=True) is None:
                self._say(f"applied {best.name}: {best.what}")
                return True
        return False

    def _candidates(self, rule: str, locator: Locator) -> Iterator[Edit]:
        """Yield the edits that make more of a rule's smallest case right, each tried only once."""
        try:
            source = Source(self.text)
        except UnreadableError:
            return
        for witness in self._trials.witnesses(self.text, rule, _EDITED):
            for where in self._hunks(rule, witness, locator):
                for edit in candidates(source, where):
                    key = (edit.before, edit.old + edit.after, edit.new)
                    if key in self._tried or len(self._tried) >= _MOST_EDITS:
                        continue
                    self._tried.add(key)
                    if not self._trials.shows(edit.apply(source), witness, rule):
                        yield replace(edit, rules=(rule,))

    def _hunks(self, rule: str, witness: Witness, locator: Locator) -> Iterator[Hunk]:
        text, judgement = witness.judgement.text, witness.judgement
        if text is None:
            yield Hunk("", 0, "", "", () if judgement.line is None else (judgement.line,))
            return
        for found in judgement.found:
            if found.rule == rule and (difference := found.difference) is not None:
                lines = self._trials.located(self.text, witness, difference, locator)
                yield hunk(difference.expected, difference.actual, text, difference.actual_start, lines)
                return

    @property
    def left(self) -> int:
        """How many of the cases still show a rule that is wanted."""
        return sum(any(map(self._wants, seen.rules)) for seen in self._now.seen)

    @property
    def _now(self) -> Results:
        return self._trials.judge(self.text)

    def _try(self, fix: Fix, rules: list[str], *, ends: bool = False) -> str | None:
        """Apply a fix if it helps and harms nothing; return why not. With `ends` it has to end the first rule."""
        try:
            source = Source(self.text)
            candidate = fix.apply(source)
            changed = Source(candidate)
        except SkippedError as skipped:
            return str(skipped)
        except UnreadableError as error:
            return f"the template cannot be taken apart: {error}"
        if candidate == self.text:
            return "it changes nothing"
        if ignored := source.own_arguments - changed.own_arguments:
            return f"it would end what the argument {min(ignored)} decides, which Harmony cannot judge"
        if fix.size != "edit" and (ended := lost(self.text, candidate, self._trials.texts)):
            return f"it would end {ended[0]}, which Harmony cannot judge"
        before, after = self._now, self._trials.judge(candidate)
        if (reason := objection(before, after)) is not None:
            return reason
        if not any(after.counts[rule] < before.counts[rule] for rule in rules):
            return "it removes none of these rules"
        if ends and after.counts[rules[0]]:
            return "it does not end the rule"
        self.text = candidate
        self.applied.append(fix)
        return None

    def _drop_needless(self) -> None:
        for fix in list(self.applied):
            others = [each for each in self.applied if each is not fix]
            try:
                text = self._original
                for each in others:
                    text = each.apply(Source(text))
            except (SkippedError, UnreadableError):
                continue
            if text != self.text and not _as_good(self._now, self._trials.judge(text)):
                continue
            self._say(f"dropped {fix.name}: the other fixes do the same")
            self.text, self.applied = text, others

    def _tidy(self) -> None:
        if self.applied:
            try:
                text = tidied(self.text, self._original)
                Source(text)
            except UnreadableError:
                return
            if _as_good(self._now, self._trials.judge(text)):
                self.text = text


def _as_good(before: Results, after: Results) -> bool:
    if objection(before, after) is not None:
        return False
    return all(after.counts[rule] <= count for rule, count in before.counts.items())
