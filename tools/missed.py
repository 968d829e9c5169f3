"""`python -m tools.missed`: is a mutant that few conversations show ever missed without a word, whatever the seed?

Mutants of the reference and of public templates, and the planted faults, are run on 3,000 conversations of a seed of
their own; those that 1 to 10 of them tell from the original are rare. Each rare one then gets the campaign of `check`
with the default budget, steered part and all, for each of ten seeds. It is caught where the findings differ from the
original's on the same conversation; else it is listed, when the report names a branch or a condition in the mutated
block as never met; else it is missed in silence.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
from jinja2.exceptions import TemplateSyntaxError
from msgspec.structs import replace

from conformance.campaign.branches import BranchSample
from conformance.campaign.locate import NOTED_CHARS
from conformance.campaign.runner import Drawn, Runner
from conformance.campaign.settings import DEFAULT_CASES, Settings
from conformance.campaign.steering import plain_cases, steered
from conformance.engines import EngineHost
from conformance.engines.base import CASE_LIMITS, Outcome
from conformance.errors import UnjudgedError
from conformance.oracles.library import OracleRefusedError
from conformance.resources import resource
from conformance.template.branches import BranchProbe
from tools.mutants import apply, load
from tools.mutate.operators import Edit
from tools.mutate.score import blamed, chosen, same
from tools.mutate.templates import REFERENCE, TEMPLATES, template_text
from tools.mutate.tree import SourceTree

ENGINE = "jinja2"
CONVERSATIONS = 3_000
RARE = 10
_POPULATION = 1_000_003  # a seed that no campaign here has
_SELDOM = 60  # a branch that so many of the conversations run at most is tried first
_LOOK = 300
_KINDS = (
    "caught, plain", "caught, words", "caught, corners", "caught, aimed", "listed",
    "shown, the same rules as the original", "missed",
)  # fmt: skip


@dataclass(slots=True)
class Ran:
    """Conversations with what the original wrote and the branches that it ran."""

    drawn: list[Drawn]
    outcomes: list[Outcome]
    branches: list[frozenset[int] | None]


class Rare(msgspec.Struct):
    """A rare mutant: its first line, how many of the 3,000 conversations show it, and what became of it by seed."""

    mutant: str
    line: int
    shown_by: int
    by_seed: dict[int, str]


class Tried(msgspec.Struct):
    """How many mutants of a template were run on the 3,000 conversations, how many wrote the same, the rare ones."""

    template: str
    mutants: int = 0
    equivalent: int = 0
    complete: bool = True
    rare: list[Rare] = []


class Record(msgspec.Struct):
    """What is published: seeds, conversations of a campaign, and each template."""

    seeds: int
    cases: int
    tried: list[Tried]


@dataclass(slots=True)
class Mutant:
    """One mutant: its text, the lines that were edited, and the branch around them."""

    name: str
    text: str
    lines: tuple[int, int]
    arm: int | None = None


class Bench:
    """One template, what its original does in each campaign, and its mutants beside it."""

    def __init__(self, name: str, text: str, host: EngineHost, probe: BranchProbe, cases: int) -> None:
        self.name, self.text = name, text
        self._host, self._probe, self._cases = host, probe, cases
        self.tree = SourceTree(text)
        self._ran: dict[int, Ran] = {}

    def population(self, runner: Runner) -> Ran:
        """Return the conversations that decide what is rare."""
        return self._run(
            _POPULATION, [runner.drawn(index, seed=_POPULATION) for index in range(CONVERSATIONS)]
        )

    def plain(self, runner: Runner) -> Ran:
        """Return the plain part of a campaign."""
        return self._run(
            runner.settings.seed, [runner.drawn(index) for index in range(plain_cases(self._cases))]
        )

    def _run(self, seed: int, drawn: list[Drawn]) -> Ran:
        if seed not in self._ran:
            kept = [item for item in drawn if item.lost is None]
            requests = [item.shape.request(item.case) for item in kept]
            try:
                noted = list(self._probe.noted(self.text, requests))
            except UnjudgedError:
                noted = []  # then every edit is tried on all of them
            branches = [None if each is None else frozenset(each.branches) for each in noted]
            branches += [None] * (len(kept) - len(branches))
            self._ran[seed] = Ran(kept, self.render(self.text, kept), branches)
        return self._ran[seed]

    def render(self, text: str, drawn: Sequence[Drawn]) -> list[Outcome]:
        """Return what a text writes for these conversations."""
        return list(
            self._host.collect(self._host.submit(text, [item.shape.request(item.case) for item in drawn]))
        )

    def differing(
        self, mutant: Mutant, ran: Ran, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Drawn, Outcome, Outcome]]:
        """Yield the conversations that a mutant writes otherwise, with both texts."""
        chosen = [
            (item, outcome)
            for item, outcome, branches in list(zip(ran.drawn, ran.outcomes, ran.branches, strict=True))[
                start:stop
            ]
            if mutant.arm is None or branches is None or mutant.arm in branches
        ]
        made = self.render(mutant.text, [item for item, _ in chosen])
        for (item, outcome), other in zip(chosen, made, strict=True):
            if not same(outcome, other):
                yield item, outcome, other

    def mutants(self, seed: int, edits: int) -> Iterator[Mutant]:
        """Yield planted faults where this is the reference, then edits, half of them in branches that run seldom."""
        often = Counter(number for ran in self._ran[_POPULATION].branches for number in ran or ())
        seldom: list[Edit] = []
        others: list[Edit] = []
        for edit in chosen(self.tree, seed):
            arm = self.tree.arm(edit.span)
            if arm is None or often[arm] > _SELDOM:
                others.append(edit)
            elif often[arm]:
                seldom.append(edit)
        yield from islice(self._edited(seldom), edits // 2)
        if self.name == REFERENCE:
            yield from self._planted()
        yield from islice(self._edited(others), edits - edits // 2)

    def _edited(self, edits: Sequence[Edit]) -> Iterator[Mutant]:
        for edit in edits:
            text = edit.apply(self.text)
            try:
                SourceTree(text)
            except (TemplateSyntaxError, RecursionError):
                continue
            yield Mutant(edit.name, text, edit.block, self.tree.arm(edit.span))

    def _planted(self) -> Iterator[Mutant]:
        for fault in load():
            if fault.engine is None:
                text = apply(fault, self.text)
                at = next(
                    n for n, (one, other) in enumerate(zip(self.text, text, strict=False)) if one != other
                )
                line = self.tree.line(at)
                yield Mutant(fault.name, text, (line, line + fault.find.count("\n")), None)


class Campaign:
    """The campaign of one seed: does it catch a mutant?"""

    def __init__(self, runner: Runner, bench: Bench, probe: BranchProbe) -> None:
        self.runner = runner
        self._bench, self._probe = bench, probe
        self._plain = plain_cases(runner.settings.cases)

    def outcome(self, mutant: Mutant) -> str:
        """Return what becomes of a mutant: caught in the plain or the steered part, listed, or missed."""
        shown = False
        for item, before, after in self._bench.differing(mutant, self._bench.plain(self.runner)):
            shown = True
            if self._told_apart(item, before, after):
                return "caught, plain"
        cases = self.runner.settings.cases
        sample = BranchSample(self.runner, self._plain, probe=self._probe)
        hints = sample.aim(mutant.text, steered(mutant.text, cases), self._plain)
        drawn = [self.runner.drawn(index, hints) for index in range(self._plain, cases)]
        drawn = [item for item in drawn if item.lost is None]
        for item, before, after in zip(
            drawn,
            self._bench.render(self._bench.text, drawn),
            self._bench.render(mutant.text, drawn),
            strict=True,
        ):
            if not same(before, after):
                shown = True
                if self._told_apart(item, before, after):
                    first, last = hints.corners
                    part = (
                        "aimed"
                        if item.index in hints.aimed
                        else "corners"
                        if first <= item.index < last
                        else "words"
                    )
                    return f"caught, {part}"
        coverage = sample.run(mutant.text, hints, self._plain)
        first, last = mutant.lines
        if coverage is not None and any(first <= branch.line <= last for branch in coverage.never_run):
            return "listed"
        return "shown, the same rules as the original" if shown else "missed"

    def _told_apart(self, item: Drawn, before: Outcome, after: Outcome) -> bool:
        judge = self.runner.judge
        try:
            answer = judge.answer(item.case)
            if answer is None:
                return False
            found = [
                blamed(judge.judge(answer, outcome, confirm=False)).keys() for outcome in (before, after)
            ]
        except OracleRefusedError:
            return False
        return found[0] != found[1]


def look(
    bench: Bench, campaigns: Sequence[Campaign], mutants: Iterator[Mutant], tried: Tried, until: float
) -> None:
    """Try a template's mutants until the time is up, and note what became of the rare ones."""
    for mutant in mutants:
        if time.monotonic() > until:
            tried.complete = False
            return
        population = bench.population(campaigns[0].runner)
        shown_by = sum(1 for _ in bench.differing(mutant, population, 0, _LOOK))
        if shown_by <= RARE:
            shown_by += sum(1 for _ in bench.differing(mutant, population, _LOOK))
        tried.mutants += 1
        tried.equivalent += shown_by == 0
        if 1 <= shown_by <= RARE:
            seeds = {campaign.runner.settings.seed: campaign.outcome(mutant) for campaign in campaigns}
            tried.rare.append(Rare(mutant.name, mutant.lines[0], shown_by, seeds))
            print(f"{bench.name} {mutant.name}: {shown_by}; {dict(Counter(seeds.values()))}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write reports/missed.*; exit 1 when a mutant was missed in silence."""
    parser = argparse.ArgumentParser(prog="python -m tools.missed", description=__doc__)
    parser.add_argument("--template", action="append", help="default: the reference and three public ones")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--edits", type=int, default=200, help="edits of each template (default 200)")
    parser.add_argument("--cases", type=int, default=DEFAULT_CASES)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of edits")
    parser.add_argument(
        "--seconds", type=float, default=480, help="for each template; what was done by then counts"
    )
    parser.add_argument("--output", type=Path, default=resource("reports"))
    given = parser.parse_args(arguments)
    limits = replace(CASE_LIMITS, output_chars=NOTED_CHARS)
    done = _before(given.output)
    with (
        EngineHost(ENGINE, limits=CASE_LIMITS) as host,
        BranchProbe(ENGINE, limits=limits) as probe,
        ExitStack() as stack,
    ):
        runners = [
            stack.enter_context(
                Runner(Settings(seed=seed, cases=given.cases, engines=(ENGINE,)), hosts={ENGINE: host})
            )
            for seed in range(given.seeds)
        ]
        for name in given.template or TEMPLATES:
            until = time.monotonic() + given.seconds
            bench = Bench(name, template_text(name), host, probe, given.cases)
            campaigns = [Campaign(runner, bench, probe) for runner in runners]
            bench.population(runners[0])
            done[name] = Tried(name)
            look(bench, campaigns, bench.mutants(given.seed, given.edits), done[name], until)
            write(list(done.values()), given.output, seeds=given.seeds, cases=given.cases)
    return int(
        any(what == "missed" for each in done.values() for one in each.rare for what in one.by_seed.values())
    )


def _before(folder: Path) -> dict[str, Tried]:
    """Return what the report says of each template so far: a run of one leaves the others as they are."""
    file = folder / "missed.json"
    record = msgspec.json.decode(file.read_bytes(), type=Record) if file.is_file() else Record(0, 0, [])
    return {each.template: each for each in record.tried}


def write(tried: Sequence[Tried], folder: Path, *, seeds: int, cases: int) -> None:
    """Write the result as missed.json and missed.md."""
    folder.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(Record(seeds, cases, list(tried))), indent=1)
    (folder / "missed.json").write_bytes(data + b"\n")
    about = (
        f"Mutants that 1 to {RARE} of {CONVERSATIONS:,} conversations tell from their original, each given the "
        f"campaign of `check` with {cases:,} conversations and {seeds} seeds (`python -m tools.missed`). Half of the "
        "edits are in branches that run seldom. Caught: by the plain part of the campaign, by words read from the "
        "template, by the corners of schemas, or by what aims at conditions that were rarely met. Listed: a branch or "
        "condition of the mutated block is named as never met. The same rules: shown, where the original breaks those "
        "rules already."
    )
    header = "| | mutants | no difference | rare | campaigns | " + " | ".join(_KINDS) + " |"
    lines = ["# Rare faults", "", about, "", header, "|---" * (5 + len(_KINDS)) + "|"]
    for each in tried:
        found = Counter(what for one in each.rare for what in one.by_seed.values())
        name = each.template + ("" if each.complete else " (time was up)")
        cells = [name, each.mutants, each.equivalent, len(each.rare), found.total()]
        cells += [found[kind] for kind in _KINDS]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| template | mutant | line | of 3,000 | by seed |", "|---|---|---|---|---|"]
    for each in tried:
        for one in each.rare:
            what = ", ".join(f"{kind} {count}" for kind, count in Counter(one.by_seed.values()).most_common())
            lines.append(f"| {each.template} | {one.mutant} | {one.line} | {one.shown_by} | {what} |")
    (folder / "missed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
