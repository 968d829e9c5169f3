"""Compare authorities over a campaign: the same messages to each, every kind of difference, its smallest case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from conformance.campaign.reduce import STEPS
from conformance.compare.base import Difference
from conformance.compare.classify import classify
from conformance.compare.tokens import first_mismatch
from conformance.conversation import Case, case_id, check_case, to_json
from conformance.errors import UsageError
from conformance.generate import case_at
from conformance.oracles.authorities import find
from conformance.oracles.base import Rendering
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.library import Heard, Library
from conformance.oracles.load import authority
from conformance.oracles.plan import plan
from conformance.oracles.profile import profile
from conformance.report.authorities_page import Comparison, Contrast, Kind
from conformance.rules import rule

# Differences that no rule of templates names: they are the library's own.
TOKENS, PARSED = "other tokens for the same text", "its parser reads the same tokens otherwise"
_RENDERS = 3_000
_SHOWN = 300

# Called with the number of conversations done.
OnProgress = Callable[[int], None]


@dataclass(slots=True)
class _Seen:
    """A kind of difference: how often, and the smallest case so far with the two stretches that differ."""

    way: int
    case: Case
    size: int
    expected: str
    actual: str
    count: int = 0
    minimal: bool = False


@dataclass(slots=True)
class _Tally:
    cases: int = 0
    equal: int = 0
    unanswered: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, _Seen] = field(default_factory=dict)


class _Pair:
    """The default authority and another, with the content types of calls written in either way."""

    def __init__(self, first: Sequence[HarmonyOracle], other: Library) -> None:
        self.first = first
        self.other = other
        self.tally = _Tally()

    def add(self, way: int, case: Case, expected: Rendering, heard: list[Heard] | str) -> None:
        """Count one conversation."""
        tally = self.tally
        try:
            found = self._differences(way, case, expected, heard)
        except OracleRefusedError as error:
            tally.unanswered[str(error)] = tally.unanswered.get(str(error), 0) + 1
            return
        tally.cases += 1
        tally.equal += not set(found) - {PARSED}
        for what, (want, got) in found.items():
            size = len(to_json(case))
            seen = tally.kinds.get(what)
            if seen is None:
                seen = tally.kinds[what] = _Seen(way, case, size, want, got)
            elif size < seen.size:
                seen.way, seen.case, seen.size = way, case, size
                seen.expected, seen.actual = want, got
            seen.count += 1

    def _differences(
        self, way: int, case: Case, expected: Rendering, heard: list[Heard] | str
    ) -> dict[str, tuple[str, str]]:
        """Return the kinds of difference in a case, each with what either library has there."""
        made = plan(case, self.first[way].profile)
        training = case.options.mode == "training"
        tokens = self.other.render(made.messages, training=training, auto_drop=made.auto_drop)
        text = self.other.decode_utf8(tokens)
        found: dict[str, tuple[str, str]] = {}
        if text != expected.text:
            for one in classify(case, expected, text, self.first[way].profile):
                found[one.key] = _stretches(one.difference)
        elif tokens != expected.tokens:
            found[TOKENS] = _stretches(first_mismatch(expected, tokens))
        other = read(self.other, case, expected)
        if other != heard:
            found[PARSED] = _first(heard, other)
        return found

    def shrink(self) -> None:
        """Make the smallest case of every kind 1-minimal."""
        for what, seen in self.tally.kinds.items():
            renders = 0
            again = True
            while again and renders < _RENDERS:
                again = False
                for step in STEPS:
                    while renders < _RENDERS:
                        smaller, asked = self._first_showing(
                            seen.way, step.cases(seen.case), what, _RENDERS - renders
                        )
                        renders += asked
                        if smaller is None:
                            break
                        seen.case, (seen.expected, seen.actual) = smaller
                        again = True
            seen.minimal = not again and renders < _RENDERS

    def _first_showing(
        self, way: int, cases: Iterable[Case], what: str, most: int
    ) -> tuple[tuple[Case, tuple[str, str]] | None, int]:
        asked = 0
        for case in cases:
            if asked == most:
                break
            if not case.conversation.messages:
                continue
            try:
                check_case(case)
                asked += 1
                expected = self.first[way].render(case)
                found = self._differences(way, case, expected, read(authority(), case, expected))
            except (UsageError, OracleRefusedError):
                continue
            if what in found:
                return (case, found[what]), asked
        return None, asked


def contrast(
    names: Sequence[str],
    *,
    seed: int,
    cases: int,
    on_progress: OnProgress = lambda _: None,
) -> Comparison:
    """Compare authorities with the default one over generated conversations; an interruption keeps what was found.

    Calls have the content type `json` in one half of them and `<|constrain|>json` in the other.

    Raises UsageError when none has such a name, UnjudgedError when one cannot be had.
    """
    plain = profile("harmony")
    ways = [plain, plain.with_setting(content_type="constrain")]
    first = [HarmonyOracle(way) for way in ways]
    pairs = {name: _Pair(first, authority(name)) for name in names}
    complete = True
    try:
        for index in range(cases):
            case, way = case_at(seed, index), index % len(ways)
            expected = first[way].render(case)
            heard = read(authority(), case, expected)
            for pair in pairs.values():
                pair.add(way, case, expected, heard)
            on_progress(index + 1)
        for pair in pairs.values():
            pair.shrink()
    except KeyboardInterrupt:
        complete = False
    return Comparison(
        first=first[0].authority,
        seed=seed,
        others=[_record(name, pair) for name, pair in pairs.items()],
        complete=complete,
    )


def _record(name: str, pair: _Pair) -> Contrast:
    tally = pair.tally
    ranked = sorted(tally.kinds.items(), key=lambda item: (-item[1].count, item[0]))
    return Contrast(
        authority=pair.other.authority,
        note=find(name).note,
        cases=tally.cases,
        equal=tally.equal,
        unanswered=tally.unanswered,
        kinds=[
            Kind(
                what=what,
                code="" if what in (TOKENS, PARSED) else rule(what.partition(":")[0].partition(" ")[0]).code,
                count=seen.count,
                share=seen.count / tally.cases,
                case_id=case_id(seen.case),
                case=seen.case,
                expected=seen.expected[:_SHOWN],
                actual=seen.actual[:_SHOWN],
                minimal=seen.minimal,
            )
            for what, seen in ranked
        ],
    )


def read(library: Library, case: Case, expected: Rendering) -> list[Heard] | str:
    """Return the messages that a library's parser makes of complete tokens, or why it refuses them."""
    # The generation prompt opens a message that is not there yet.
    tokens = expected.tokens if case.options.mode == "training" else expected.tokens[:-2]
    try:
        return library.parse(tokens)
    except OracleRefusedError as error:
        return f"refused: {error}"


def _stretches(difference: Difference | None) -> tuple[str, str]:
    return ("", "") if difference is None else (difference.expected, difference.actual)


def _first(one: list[Heard] | str, other: list[Heard] | str) -> tuple[str, str]:
    """Return the first message that two parsers read otherwise, or what one of them said."""
    if isinstance(one, str) or isinstance(other, str):
        return str(one)[:_SHOWN], str(other)[:_SHOWN]
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            return str(tuple(ours)), str(tuple(theirs))
    return f"{len(one)} messages", f"{len(other)} messages"
