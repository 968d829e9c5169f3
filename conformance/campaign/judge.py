"""Judge one case: what the oracle says, what the template wrote, and how the difference is called."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from conformance.bounds import COMPARE_S, KEPT_CHARS, TimeIsUpError, time_limit
from conformance.campaign.causes import advice, cause_of
from conformance.compare.align import Pair, align
from conformance.compare.base import Difference, Found, parting
from conformance.compare.classify import classify
from conformance.compare.readings import DECISIVE, combinations, contested
from conformance.compare.tokens import (
    compare_control_tokens,
    compare_tokens,
    compare_told_tokens,
    could_inject,
    encodes_alike,
    ordinary_of,
)
from conformance.conversation import Case, to_json
from conformance.engines.base import (
    Crashed,
    LimitExceeded,
    Outcome,
    Refused,
    Rejected,
    Rendered,
    SyntaxProblem,
)
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.base import Rendering
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.opening import Shared
from conformance.oracles.profile import Profile, profiles
from conformance.rules.base import Rule
from conformance.rules.behaviour import (
    DOES_NOT_COMPILE,
    RESOURCE_LIMIT,
    TEMPLATE_CRASHED,
    TEMPLATE_REJECTED,
    UNCLASSIFIED,
)

# Conversations from which on can be told what a template means to write.
_ENOUGH = 20
EQUAL, DIFFERENT, REJECTED, CRASHED = "equal", "different", "rejected", "crashed"
# The target said that it cannot take the request: counted apart, and no divergence.
REFUSED = "refused"
_FAILURE_RULES: dict[type, Rule] = {
    Rejected: TEMPLATE_REJECTED,
    Crashed: TEMPLATE_CRASHED,
    LimitExceeded: RESOURCE_LIMIT,
    SyntaxProblem: DOES_NOT_COMPILE,
}


@dataclass
class Answer:
    """The oracle's answer to one case, kept so that many templates can be judged against it.

    `agreeing` are the profiles that write it alike, None until asked; `others` holds texts under other profiles, by
    what they read where this case leaves room.
    """

    case: Case
    rendering: Rendering
    shared: Shared
    agreeing: tuple[str, ...] | None = None
    others: dict[tuple[str, ...], str] = field(default_factory=dict)

    @cached_property
    def hostile(self) -> str:
        """The case as JSON where something in it could become a control token; else an empty text."""
        said = to_json(self.case)
        return said.decode() if could_inject(said) else ""

    @cached_property
    def encodes_alike(self) -> bool:
        """Whether a server makes Harmony's tokens of Harmony's text, in a case that is not hostile."""
        return encodes_alike(self.rendering)


@dataclass(slots=True)
class Judgement:
    """What one template did with one case in one shape and engine.

    `status` is equal, different, rejected, crashed or refused; `found` names the divergences; `right` lists the
    profiles under which the template's text is exactly the oracle's, `read` says whether it is so under any cited
    readings taken together; `familiar` says whether at least the
    system message or a user message is; `ordinary` are the stretches that the engine keeps from becoming
    control tokens; `slow` says that comparing took too long, so that no more is known. Findings about tokens change
    neither status nor `right`, which are about characters.
    """

    status: str
    found: list[Found] = field(default_factory=list)
    right: tuple[str, ...] = ()
    read: bool = False
    text: str | None = None
    failure: str | None = None
    line: int | None = None
    familiar: bool = True
    ordinary: tuple[tuple[int, int], ...] = ()
    slow: bool = False


class Judge:
    """Judges cases under one profile; the oracles of the other profiles confirm what vanishes under them."""

    def __init__(self, profile: Profile, authority: str = DEFAULT) -> None:
        self.profile = profile
        self.oracle = HarmonyOracle(profile, authority)
        self._others = {
            name: HarmonyOracle(other, authority)
            for name, other in profiles().items()
            if name != profile.name
        }
        self._differing = {name: profile.differs_in(other.profile) for name, other in self._others.items()}
        self.names = (profile.name, *self._others)

    def ask(self, case: Case) -> Answer:
        """Ask the oracle.

        Raises OracleRefusedError when it has no answer, which then says nothing about any template.
        """
        shared = Shared(case)
        return Answer(case, self.oracle.render(case, shared), shared)

    def answer(self, case: Case) -> Answer | None:
        """Ask the oracle; None when it has no answer."""
        try:
            return self.ask(case)
        except OracleRefusedError:
            return None

    def judge(
        self,
        answer: Answer,
        outcome: Outcome | SyntaxProblem,
        *,
        confirm: bool = True,
        readings: bool | None = None,
    ) -> Judgement:
        """Compare one outcome with the oracle's answer; `confirm=False` leaves out the other profiles.

        `readings` asks which of them explain a divergence; left out, it is as `confirm` is.
        """
        if isinstance(outcome, Refused):
            return Judgement(REFUSED, failure=outcome.message)
        if not isinstance(outcome, Rendered):
            return _failure(outcome)
        text = outcome.text
        if outcome.tokens is not None:
            # Which markers became control tokens is known here, and who makes the tokens can prevent it.
            outcome = Rendered(text, ordinary_of(text, outcome.tokens), outcome.tokens)
        if text == answer.rendering.text:
            found = _tokens(answer, outcome)
            if not confirm:
                return Judgement(EQUAL, found, text=text, ordinary=outcome.ordinary)
            return Judgement(EQUAL, found, self._agreeing(answer), True, text, ordinary=outcome.ordinary)
        try:
            with time_limit(COMPARE_S):
                return self._different(answer, outcome, confirm, readings)
        except TimeIsUpError:
            return Judgement(DIFFERENT, [_uncompared(answer, text)], text=text, slow=True)

    def _different(
        self, answer: Answer, outcome: Rendered, confirm: bool, readings: bool | None
    ) -> Judgement:
        """Name what differs in a text that is not the oracle's."""
        text = outcome.text
        pairs = align(answer.rendering, text)
        asked = confirm if readings is None else readings
        found = classify(
            answer.case, answer.rendering, text, self.profile, pairs, readings=asked, shared=answer.shared
        )
        # What something else explains too is wrong under every reading.
        exact = answer.rendering.exact_spans
        read = confirm and (not exact or all(one.readings for one in found))
        right = self._right(answer, text) if read else ()
        read = read and (bool(right) or self._read(answer, text, found))
        if answer.hostile:
            found += _injected(answer, outcome, pairs)
        familiar = _familiar(answer.rendering, text)
        return Judgement(DIFFERENT, found, right, read, text, familiar=familiar, ordinary=outcome.ordinary)

    def _agreeing(self, answer: Answer) -> tuple[str, ...]:
        """Return the profiles that write a case as the default does, itself first."""
        if answer.agreeing is None:
            possible, text = contested(answer.case, answer.rendering), answer.rendering.text
            names = [self.profile.name]
            for name, oracle in self._others.items():
                differing = possible & self._differing[name]
                if not differing & DECISIVE and (
                    not differing or self._other_text(answer, oracle, possible) == text
                ):
                    names.append(name)
            answer.agreeing = tuple(names)
        return answer.agreeing

    @staticmethod
    def _other_text(answer: Answer, oracle: HarmonyOracle, possible: frozenset[str]) -> str:
        """Return a case's text under another profile; those that read alike what is contested in it write the same."""
        key = tuple([getattr(oracle.profile, setting) for setting in possible])
        if key not in answer.others:
            # The layout is cheap; where it is not Harmony's, Harmony has to be asked.
            try:
                answer.others[key] = (
                    oracle.layout(answer.case, answer.shared)
                    if answer.rendering.exact_spans
                    else oracle.render(answer.case, answer.shared).text
                )
            except OracleRefusedError:
                answer.others[key] = ""  # not known, and so nobody's
        return answer.others[key]

    def _right(self, answer: Answer, text: str) -> tuple[str, ...]:
        """Return the other profiles that agree with the template; Harmony itself confirms each."""
        names = []
        possible = contested(answer.case, answer.rendering)
        for name, oracle in self._others.items():
            if (
                possible & self._differing[name]
                and self._other_text(answer, oracle, possible) == text
                and oracle.render(answer.case).text == text
            ):
                names.append(name)
        return tuple(names)

    def _read(self, answer: Answer, text: str, found: Sequence[Found]) -> bool:
        """Say whether some readings together make the template's text; Harmony itself confirms it."""
        for profile in combinations(self.profile, found):
            oracle = HarmonyOracle(profile)
            if oracle.layout(answer.case) == text:
                with contextlib.suppress(OracleRefusedError):
                    return oracle.render(answer.case).text == text
        return False


def _uncompared(answer: Answer, text: str) -> Found:
    """Return the one thing that is known of a text that takes too long to compare: where it begins to differ."""
    at = parting(answer.rendering.text, text)
    difference = Difference(
        None, "message", "", answer.rendering.text[at : at + KEPT_CHARS], text[at : at + KEPT_CHARS], at, at
    )
    return Found(UNCLASSIFIED.slug, difference)


def _injected(answer: Answer, outcome: Rendered, pairs: Sequence[Pair] = ()) -> list[Found]:
    """Name text that becomes control tokens; who makes the tokens is to blame for all of it."""
    found = compare_control_tokens(answer.rendering, outcome.text, pairs, answer.hostile, outcome.ordinary)
    return found if outcome.tokens is None else [replace(each, severity="error") for each in found[-1:]]


def _tokens(answer: Answer, outcome: Rendered) -> list[Found]:
    """Compare the tokens of a text whose characters are the oracle's, as far as they can differ at all."""
    if outcome.tokens is not None:
        found = _injected(answer, outcome) if answer.hostile else []
        return found or compare_told_tokens(answer.rendering, outcome.tokens)
    if not answer.hostile:
        alike = answer.encodes_alike and not outcome.ordinary
        return [] if alike else compare_tokens(answer.rendering, outcome.ordinary)
    found = _injected(answer, outcome)
    # What is injected makes other tokens, and nothing else needs to explain them.
    return found or compare_tokens(answer.rendering, outcome.ordinary)


def seems_harmony(rendered: int, familiar: int) -> bool:
    """Say whether a template means to write Harmony, as far as `rendered` conversations can tell.

    `familiar` of them held the system message or a user message as Harmony writes it.
    """
    return rendered < _ENOUGH or familiar > 0


def _familiar(expected: Rendering, text: str) -> bool:
    """Say whether the system message or any user message stands in the text as Harmony writes it."""
    return text.startswith(expected.blocks[0].text) or any(
        block.kind == "user" and block.text in text for block in expected.blocks
    )


def _failure(outcome: Outcome | SyntaxProblem) -> Judgement:
    assert not isinstance(outcome, Rendered | Refused)
    rule = _FAILURE_RULES[type(outcome)].slug
    message = f"{outcome.kind}: {outcome.message}" if isinstance(outcome, Crashed) else outcome.message
    line = None if isinstance(outcome, LimitExceeded) else outcome.line
    status = REJECTED if isinstance(outcome, Rejected) else CRASHED
    found = Found(rule, None, cause=cause_of(outcome), fix=advice(outcome))
    return Judgement(status, [found], failure=message, line=line)
