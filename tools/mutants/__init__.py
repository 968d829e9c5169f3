"""Planted faults: edits of the reference template that a campaign must catch, each under the right name."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from conformance.campaign.assemble import severity
from conformance.campaign.judge import Answer, Judge
from conformance.campaign.runner import Runner
from conformance.campaign.settings import DEFAULT_CASES, Settings
from conformance.campaign.shrink import Shrinker, Shrunk
from conformance.campaign.sightings import RuleTally, together
from conformance.campaign.tally import Tally
from conformance.conversation import Assistant, Case, ToolResult, case_id
from conformance.engines.in_process import InProcessHost
from conformance.errors import UsageError
from conformance.resources import resource
from conformance.rules import behaviour, catalogue, rule, system
from conformance.shapes import shapes
from conformance.sources import Provenance, Template

Kind = Literal["obvious", "subtle"]

# A mutant that so many conversations have shown is run no further: its rule will not change.
ENOUGH = 20
# Mutants leave the campaign between these; Jinja's cache of compiled templates holds 128.
_WINDOWS = (0, 60, 160, 400, 800, 1_400)
_TOGETHER = 100

NOT_PLANTED: dict[str, str] = {
    behaviour.TOKEN_MISMATCH.slug: "the tokens of equal texts do not depend on the template",
    behaviour.DOES_NOT_COMPILE.slug: "a template that no engine compiles is no target, and one engine runs the mutants",
    behaviour.ENGINE_DISAGREES.slug: "one engine runs the mutants",
    behaviour.UNCLASSIFIED.slug: "it is the name of what has no name",
    system.RESPONSE_FORMATS.slug: "no template is handed response formats",
    **{
        known.slug: "it is about the files around a template"
        for known in catalogue()
        if known.family in ("package", "responses", "training")
    },
    **{
        known.slug: "it needs no oracle; its faults are planted in a template of tests/checks"
        for known in catalogue()
        if known.family == "properties"
    },
}
"""Rules without a planted fault, each with the reason."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A planted fault: the edit that makes it, and the rule that has to catch it.

    `find` must stand in the template once, or at least `nth` times when that is given (counted from 1).
    `also` are rules that some of its conversations rightly show instead. `needs_more` says that no small
    conversation can show the fault; `engine` is the one that shows it where the default engine hides it.
    """

    name: str
    rule: str
    kind: Kind
    why: str
    find: str
    replace: str
    nth: int | None = None
    also: tuple[str, ...] = ()
    needs_more: bool = False
    engine: str | None = None


@dataclass(slots=True)
class Size:
    """How large a case is: messages, tools, and characters of free text."""

    messages: int
    tools: int
    text: int


@dataclass(slots=True)
class Outcome:
    """What the campaign found about one mutant.

    `found` counts the conversations that show each rule, most first; `shrunk` is the minimal case for the
    mutant's own rule, None when that was not found or shrinking was not asked for.
    """

    mutant: Mutant
    cases: int
    found: dict[str, int]
    shrunk: Shrunk | None = None

    @property
    def caught(self) -> bool:
        """Whether any divergence was found."""
        return bool(self.found)

    @property
    def rightly_named(self) -> bool:
        """Whether the mutant's rule was found, and no rule but its declared companions in more conversations."""
        count = self.found.get(self.mutant.rule, 0)
        return count > 0 and all(
            other <= count for slug, other in self.found.items() if slug not in self.mutant.also
        )


@dataclass(slots=True)
class Score:
    """The outcomes of all mutants, and how the campaign was run."""

    outcomes: list[Outcome]
    seed: int
    cases: int
    engine: str
    rules: dict[str, dict[Kind, list[Outcome]]] = field(init=False)

    def __post_init__(self) -> None:
        self.rules = {
            slug.slug: {kind: [] for kind in get_args(Kind)}
            for slug in catalogue()
            if slug.slug not in NOT_PLANTED
        }
        for outcome in self.outcomes:
            self.rules[outcome.mutant.rule][outcome.mutant.kind].append(outcome)

    @property
    def planted(self) -> int:
        """How many mutants there are."""
        return len(self.outcomes)

    @property
    def caught(self) -> int:
        """How many of them diverged."""
        return sum(outcome.caught for outcome in self.outcomes)

    @property
    def rightly_named(self) -> int:
        """How many of them diverged under the right rule."""
        return sum(outcome.rightly_named for outcome in self.outcomes)


def load(folder: Path | None = None) -> tuple[Mutant, ...]:
    """Return all mutants of a folder of TOML files, in the order of file names and of the files.

    Raises UsageError for an unreadable file, an unknown field or rule, and a name that is used twice.
    """
    folder = folder or resource("fixtures", "mutants")
    mutants: dict[str, Mutant] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
            found = msgspec.convert(tables, list[Mutant])
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise UsageError(f"{path.name} is not a file of planted faults: {error}.") from None
        for mutant in found:
            if mutant.name in mutants:
                raise UsageError(f"{path.name}: two planted faults are called {mutant.name}; rename one.")
            rule(mutant.rule)
            if mutant.rule in NOT_PLANTED:
                reason = NOT_PLANTED[mutant.rule]
                raise UsageError(f"{path.name}: {mutant.name} cannot show {mutant.rule}: {reason}.")
            mutants[mutant.name] = mutant
    if not mutants:
        raise UsageError(f"There are no planted faults in {folder.name}; it should hold TOML files of them.")
    return tuple(mutants.values())


def apply(mutant: Mutant, text: str) -> str:
    """Return a template's text with the fault planted in it.

    Raises UsageError when the place is not there, or there more than once without `nth` to say which.
    """
    count = text.count(mutant.find)
    shown = mutant.find.strip().split("\n")[0]
    if count == 0:
        raise UsageError(f"The planted fault {mutant.name} finds no place: `{shown}` is not in the template.")
    if mutant.nth is None and count > 1:
        raise UsageError(
            f"The planted fault {mutant.name} finds {count} places: make `{shown}` longer, or give nth."
        )
    if mutant.nth is not None and not 1 <= mutant.nth <= count:
        raise UsageError(
            f"The planted fault {mutant.name} wants place {mutant.nth}, but `{shown}` stands in {count}."
        )
    at = -1
    for _ in range(mutant.nth or 1):
        at = text.index(mutant.find, at + 1)
    changed = text[:at] + mutant.replace + text[at + len(mutant.find) :]
    if changed == text:
        raise UsageError(f"The planted fault {mutant.name} changes nothing.")
    return changed


def as_template(mutant: Mutant, text: str) -> Template:
    """Return the mutant of a template's text as a target."""
    changed = apply(mutant, text)
    digest = hashlib.sha256(changed.encode()).hexdigest()
    where = Provenance(kind="file", location="templates/gpt-oss.jinja", revision=None)
    return Template(name=mutant.name, text=changed, sha256=digest, source=where, harmony=True)


def reference_text() -> str:
    """Return the text of the reference template."""
    return resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


class _SharingJudge(Judge):
    """Remembers the oracle's answers, so that groups of templates share them; `forget` frees them."""

    def forget(self) -> None:
        """Start anew."""
        self._answers: dict[str, Answer | None] = {}

    def answer(self, case: Case) -> Answer | None:
        key = case_id(case)
        if key not in self._answers:
            self._answers[key] = super().answer(case)
        return self._answers[key]


def run(
    mutants: Sequence[Mutant] | None = None,
    *,
    seed: int = 0,
    cases: int = DEFAULT_CASES,
    engine: str = "transformers",
    shrink: bool = True,
) -> Score:
    """Run mutants of the reference template in one campaign and return what was found.

    A mutant leaves the campaign when `ENOUGH` conversations have shown it; all of them share the oracle's
    answers. Raises UsageError when a fault cannot be planted.
    """
    mutants = load() if mutants is None else mutants
    text = reference_text()
    outcomes: dict[str, Outcome] = {}
    for name in dict.fromkeys(mutant.engine or engine for mutant in mutants):
        chosen = [mutant for mutant in mutants if (mutant.engine or engine) == name]
        # The mutants are our own: they need no worker to guard against them.
        hosts = {name: InProcessHost(name)}
        with Runner(Settings(seed=seed, cases=cases, engines=(name,)), hosts=dict(hosts)) as runner:
            judge = _SharingJudge(runner.judge.profile)
            runner.judge = judge
            for mutant, template, count, tally in _campaign(runner, judge, chosen, text):
                by_rule = _blamed(tally)
                ranked = sorted(by_rule.items(), key=lambda seen: (-seen[1].count, rule(seen[0]).code))
                outcome = Outcome(mutant, count, {slug: seen.count for slug, seen in ranked})
                if shrink and mutant.rule in by_rule and mutant.rule != behaviour.RESOURCE_LIMIT.slug:
                    smallest = by_rule[mutant.rule].smallest
                    shape = shapes([smallest.shape])[0][0]
                    shrinker = Shrinker(runner.judge, hosts[name], template.text)
                    outcome.shrunk = shrinker.shrink(smallest.case, shape, smallest.found.key)
                outcomes[mutant.name] = outcome
    return Score([outcomes[mutant.name] for mutant in mutants], seed, cases, engine)


def _campaign(
    runner: Runner, judge: _SharingJudge, mutants: Sequence[Mutant], text: str
) -> Iterator[tuple[Mutant, Template, int, Tally]]:
    """Run the mutants until each is shown often enough; yield each with the number of cases it saw."""
    live = [(mutant, as_template(mutant, text), Tally()) for mutant in mutants]
    cases = runner.settings.cases
    bounds = [*(start for start in _WINDOWS if start < cases), cases]
    for start, stop in pairwise(bounds):
        judge.forget()
        for first in range(0, len(live), _TOGETHER):
            group = live[first : first + _TOGETHER]
            part = runner.run([template for _, template, _ in group], start, stop)
            for (_, _, tally), seen in zip(group, part.tallies, strict=True):
                tally.merge(seen)
        done = [entry for entry in live if stop == cases or _shown(entry[2]) >= ENOUGH]
        live = [entry for entry in live if entry not in done]
        judge.forget()
        for mutant, template, tally in done:
            yield mutant, template, stop, tally


def _blamed(tally: Tally) -> dict[str, RuleTally]:
    """Return what was found by rule, without the notes: what they say is no template's fault."""
    found: dict[str, list[RuleTally]] = {}
    for seen in tally.rules.values():
        one = seen.smallest.found
        if severity(one.rule, (), one.severity) != "note":
            found.setdefault(one.rule, []).append(seen)
    # A conversation fails in one way at most, so that the causes of failures add up.
    return {slug: together(causes) for slug, causes in found.items()}


def _shown(tally: Tally) -> int:
    return tally.total - tally.counts["equal"]


def size(case: Case) -> Size:
    """Return how large a case is; free text is what people and tools wrote, not names and keywords."""
    conversation = case.conversation
    text = len(case.options.model_identity or "")
    for message in conversation.messages:
        if isinstance(message, Assistant):
            text += sum(len(part or "") for part in (message.thinking, message.preamble, message.final))
            text += sum(_strings(call.arguments) for call in message.calls)
        else:
            text += len(message.content if isinstance(message, ToolResult) else message.text)
    for tool in conversation.tools:
        text += len(tool.description or "") + _prose(tool.parameters)
    return Size(len(conversation.messages), len(conversation.tools), text)


def _strings(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_strings, value.values()))
    return sum(map(_strings, value)) if isinstance(value, list) else 0


def _prose(schema: Any) -> int:
    """Count the characters of a schema's descriptions, titles, examples and defaults."""
    if isinstance(schema, list):
        return sum(map(_prose, schema))
    if not isinstance(schema, dict):
        return 0
    return sum(
        _strings(value) if key in ("description", "title", "examples", "default") else _prose(value)
        for key, value in schema.items()
    )
