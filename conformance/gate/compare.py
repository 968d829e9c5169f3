"""What a change to a template makes better or worse: two reports of the same run settings, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.report.cards import percent
from conformance.report.github_markdown import difference
from conformance.report.markdown import cell, conversation
from conformance.report.model import Divergence, Report, Target

# Part of a campaign is steered by words of the template itself, so that equal templates of different wording may see
# slightly different conversations.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Change:
    """One divergence before and after; None where it is not found."""

    before: Divergence | None
    after: Divergence | None

    @property
    def worse(self) -> bool:
        """Whether it is new, graver, or shown by clearly more conversations; notes never are."""
        if self.after is None or self.after.severity == "note":
            return False
        if self.before is None:
            return True
        graver = self.after.severity == "error" != self.before.severity
        return graver or self.after.share > self.before.share + TOLERANCE

    @property
    def better(self) -> bool:
        """Whether it is gone, or shown by clearly fewer conversations."""
        if self.before is None or self.before.severity == "note":
            return False
        return self.after is None or self.after.share < self.before.share - TOLERANCE

    @property
    def word(self) -> str:
        """The change in one word."""
        if self.worse:
            return "new" if self.before is None else "worse"
        if self.better:
            return "gone" if self.after is None else "better"
        return "as before"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two judgements of a template, by one profile: the shares that are right, and what changed."""

    before: Target
    after: Target
    profile: str
    changes: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether the new template is worse in anything: a rule, the share that is right, or that it can be judged."""
        if self.after.verdict == "error":
            return True
        return any(change.worse for change in self.changes) or self.right[1] < self.right[0] - TOLERANCE

    @property
    def right(self) -> tuple[float, float]:
        """The shares of conversations that are right, before and after."""
        return self.before.right_under.get(self.profile, 0.0), self.after.right_under.get(self.profile, 0.0)


def compared(before: Report, after: Report) -> Comparison:
    """Return the comparison of the first targets of two reports."""
    old, new = before.targets[0], after.targets[0]
    keys = {divergence.key: divergence for divergence in old.divergences}
    now = {divergence.key: divergence for divergence in new.divergences}
    changes = [Change(keys.get(key), now.get(key)) for key in dict.fromkeys([*keys, *now])]
    order = ("new", "worse", "gone", "better", "as before")
    changes.sort(key=lambda change: (order.index(change.word), -_share(change.after), -_share(change.before)))
    return Comparison(old, new, after.run.profile, tuple(changes))


def comparison_markdown(comparison: Comparison) -> str:
    """Return a comparison as Markdown for a pull request; what strangers wrote is inert in it."""
    return "\n".join(_markdown(comparison)) + "\n"


def _markdown(comparison: Comparison) -> Iterator[str]:
    old, new = comparison.before, comparison.after
    yield f"## {'❌ Worse' if comparison.worse else '✅ Not worse'}: {cell(new.name)} against {cell(old.name)}"
    yield ""
    before, after = comparison.right
    counts = (old.cases.total, new.cases.total)
    others = "" if counts[0] == counts[1] else f" of {counts[1]:,}"
    yield (
        f"Identical to Harmony's prompt: {percent(before)} of {counts[0]:,} generated conversations before, "
        f"{percent(after)}{others} now (profile `{comparison.profile}`)."
    )
    if new.verdict == "error":
        yield from ("", f"The new template could not be judged: {cell(new.error or 'no reason given')}.")
    if comparison.changes:
        yield from ("", "| | Rule | Impact | Before | After |", "|---|---|---|--:|--:|")
    for change in comparison.changes:
        shown = change.after or change.before
        assert shown is not None
        yield (
            f"| {change.word} | {cell(shown.code)} {cell(shown.rule)} | {cell(shown.impact)} "
            f"| {percent(_share(change.before))} | {percent(_share(change.after))} |"
        )
    for change in comparison.changes:
        if change.worse and change.after is not None:
            yield from (
                "",
                f"<details><summary>Smallest conversation that shows {change.after.code}</summary>",
                "",
            )
            yield conversation(change.after)
            yield from difference(change.after)
            yield "</details>"


def _share(divergence: Divergence | None) -> float:
    return 0.0 if divergence is None else divergence.share
