"""Judge versions of a template on the same cases, case by case, so that a repair can be proven or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.campaign.judge import CRASHED, EQUAL, REJECTED, Answer, Judgement, seems_harmony
from conformance.campaign.locate import Locator
from conformance.campaign.runner import Drawn, Runner
from conformance.campaign.steering import plain_cases, steered
from conformance.compare.base import Difference
from conformance.conversation import to_json
from conformance.engines.base import Rendered, Request
from conformance.errors import UnjudgedError
from conformance.oracles.library import OracleRefusedError
from conformance.rules.behaviour import INJECTED_SPECIAL_TOKEN, TOKEN_MISMATCH

_BATCH = 64
# What becomes of the characters is up to the server: no template can repair these.
_OF_SERVERS = frozenset({INJECTED_SPECIAL_TOKEN.slug, TOKEN_MISMATCH.slug})


@dataclass(frozen=True, slots=True)
class Seen:
    """What one version did with one case; `rules` are those that a template can break, `of_servers` the others."""

    status: str
    rules: frozenset[str]
    right: tuple[str, ...]
    familiar: bool
    of_servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Results:
    """What one version did with all cases, in their order."""

    seen: tuple[Seen, ...]

    @property
    def counts(self) -> Counter[str]:
        """How many cases show each rule."""
        return Counter(rule for each in self.seen for rule in each.rules)

    @property
    def of_servers(self) -> Counter[str]:
        """How many cases show each rule that only a server can prevent, such as text that becomes control tokens."""
        return Counter(rule for each in self.seen for rule in each.of_servers)

    def right_under(self) -> dict[str, float]:
        """Return the share of the cases that are right under each profile that any case is right under."""
        counts = Counter(name for each in self.seen for name in each.right)
        return {name: count / len(self.seen) for name, count in counts.most_common()}

    @property
    def is_harmony(self) -> bool:
        """Whether the template means to write Harmony, told as `conformance check` tells it."""
        rendered = [each for each in self.seen if each.status not in (CRASHED, REJECTED)]
        return seems_harmony(len(rendered), sum(each.familiar for each in rendered))


@dataclass(frozen=True, slots=True)
class Witness:
    """A case that shows a rule: how it was asked, Harmony's answer, and how the template was judged."""

    request: Request
    answer: Answer
    judgement: Judgement


class Trials:
    """Cases with the oracle's answers, on which every version of a template is judged."""

    def __init__(self, runner: Runner, answered: Sequence[tuple[Drawn, Answer]]) -> None:
        self._runner = runner
        self.answered = list(answered)
        self._done: dict[str, Results] = {}

    @classmethod
    def drawn(cls, runner: Runner, seed: int, count: int, template: str) -> Trials:
        """Draw the cases that `conformance check` draws for this template; those Harmony refuses are left out."""
        hints, plain = steered(template, count), plain_cases(count)
        answered = []
        for index in range(count):
            item = runner.drawn(index, hints if index >= plain else None, seed=seed)
            answer = runner.judge.answer(item.case) if item.lost is None else None
            if answer is not None:
                answered.append((item, answer))
        return cls(runner, answered)

    def part(self, numbers: Iterable[int]) -> Trials:
        """Return some of these cases, in order."""
        return Trials(self._runner, [self.answered[number] for number in sorted(set(numbers))])

    def with_more(self, more: Sequence[tuple[Drawn, Answer]]) -> Trials:
        """Return these cases and more."""
        return Trials(self._runner, [*self.answered, *more])

    def judge(self, template: str, *, confirm: bool = False) -> Results:
        """Judge one version; `confirm` also asks under which other profiles it is right."""
        key = f"{confirm}{template}"
        if key not in self._done:
            self._done[key] = self._judge(template, confirm=confirm)
        return self._done[key]

    def _judge(self, template: str, *, confirm: bool) -> Results:
        host = next(iter(self._runner.hosts.values()))
        batches = [self.answered[at : at + _BATCH] for at in range(0, len(self.answered), _BATCH)]
        ahead = None
        seen: list[Seen] = []
        for number, batch in enumerate(batches):
            ticket = ahead or host.submit(template, [item.shape.request(item.case) for item, _ in batch])
            # The worker renders the next batch while this process judges.
            later = batches[number + 1] if number + 1 < len(batches) else []
            ahead = (
                host.submit(template, [item.shape.request(item.case) for item, _ in later]) if later else None
            )
            for (_, answer), outcome in zip(batch, host.collect(ticket), strict=True):
                try:
                    judgement = self._runner.judge.judge(answer, outcome, confirm=confirm)
                except OracleRefusedError as error:  # it failed on the template's text
                    raise UnjudgedError(f"The template cannot be judged: {error}.") from None
                rules = frozenset(found.rule for found in judgement.found)
                seen.append(
                    Seen(
                        judgement.status,
                        rules - _OF_SERVERS,
                        judgement.right,
                        judgement.familiar,
                        rules & _OF_SERVERS,
                    )
                )
        return Results(tuple(seen))

    def witnesses(self, template: str, rule: str, most: int) -> list[Witness]:
        """Return the smallest cases that show a rule, with what the template wrote for them."""
        numbers = [number for number, seen in enumerate(self.judge(template).seen) if rule in seen.rules]
        numbers.sort(key=lambda number: len(to_json(self.answered[number][0].case)))
        chosen = [self.answered[number] for number in numbers[:most]]
        requests = [item.shape.request(item.case) for item, _ in chosen]
        host = next(iter(self._runner.hosts.values()))
        outcomes = host.collect(host.submit(template, requests))
        return [
            Witness(request, answer, self._runner.judge.judge(answer, outcome, confirm=False))
            for request, (_, answer), outcome in zip(requests, chosen, outcomes, strict=True)
        ]

    def texts(self, template: str, requests: Sequence[Request]) -> list[str | None]:
        """Return what a version writes for some requests, None where it fails or cannot be read."""
        host = next(iter(self._runner.hosts.values()))
        outcomes = host.collect(host.submit(template, list(requests)))
        return [outcome.text if isinstance(outcome, Rendered) else None for outcome in outcomes]

    def shows(self, template: str, witness: Witness, rule: str) -> bool:
        """Return whether a version still shows a rule in a case, or fails on it."""
        host = next(iter(self._runner.hosts.values()))
        (outcome,) = host.collect(host.submit(template, [witness.request]))
        found = self._runner.judge.judge(witness.answer, outcome, confirm=False).found
        return not isinstance(outcome, Rendered) or any(each.rule == rule for each in found)

    def located(self, template: str, witness: Witness, difference: Difference, locator: Locator) -> list[int]:
        """Return the lines that a difference may come from, the likeliest first."""
        name, host = next(iter(self._runner.hosts.items()))
        text = witness.judgement.text or ""
        line, origin = locator.locate(template, name, host, witness.request, text, difference)
        found = [line] if line is not None else []
        if origin is not None:
            more = [origin.condition, origin.nearest, *origin.between, *origin.sets, *origin.trail]
            found += [each for each in more if each is not None]
        return list(dict.fromkeys(found))


def objections(before: Results, after: Results) -> list[tuple[int, str]]:
    """Say of which cases, by number, one version must not follow another, and why.

    Not when what was right is wrong, when a new rule came, or when a failure came. What a conversation shows that
    failed before is not new: it was hidden.
    """
    known = before.counts.keys()
    found = []
    for number, (old, new) in enumerate(zip(before.seen, after.seen, strict=True)):
        if old.status == EQUAL and new.status != EQUAL:
            found.append((number, "makes conversations wrong that were right"))
        elif old.status in (CRASHED, REJECTED):
            continue
        elif new.status in (CRASHED, REJECTED):
            found.append((number, "fails on conversations that were rendered"))
        elif fresh := new.rules - known:
            found.append((number, f"brings {min(fresh)}"))
    return found


def objection(before: Results, after: Results) -> str | None:
    """Say why one version must not follow another, with what most cases object to; None if none does."""
    reasons = Counter(reason for _, reason in objections(before, after))
    if not reasons:
        return None
    reason, count = reasons.most_common(1)[0]
    return f"it {reason} ({count} of {len(before.seen):,})"
