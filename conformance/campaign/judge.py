"""Judge one case: what the oracle says, what the template wrote, and how the difference is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.conversation import Assistant, Case
from conformance.engines.base import Crashed, LimitExceeded, Outcome, Rejected, Rendered, SyntaxProblem
from conformance.oracles.base import Profile, Rendering, profiles
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.rules.classify import Found, classify

EQUAL, DIFFERENT, REJECTED, CRASHED = "equal", "different", "rejected", "crashed"
_FAILURE_RULES = {
    Rejected: "template-rejected",
    Crashed: "template-crashed",
    LimitExceeded: "resource-limit",
    SyntaxProblem: "does-not-compile",
}


@dataclass(slots=True)
class Answer:
    """The oracle's answer to one case, kept so that many templates can be judged against it.

    `others` holds the text under the other profiles where it differs from the default's; None until asked.
    """

    case: Case
    rendering: Rendering
    others: dict[str, str] | None = None


@dataclass(slots=True)
class Judgement:
    """What one template did with one case in one shape and engine.

    `status` is equal, different, rejected or crashed; `found` names the divergences; `right` lists the
    profiles under which the template's text is exactly the oracle's; `familiar` says whether at least the
    system message or a user message is.
    """

    status: str
    found: list[Found] = field(default_factory=list)
    right: tuple[str, ...] = ()
    text: str | None = None
    failure: str | None = None
    line: int | None = None
    familiar: bool = True


class Judge:
    """Judges cases under one profile; the oracles of the other profiles confirm what vanishes under them."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.oracle = HarmonyOracle(profile)
        self._others = {
            name: HarmonyOracle(other) for name, other in profiles().items() if name != profile.name
        }
        self.names = (profile.name, *self._others)

    def answer(self, case: Case) -> Answer | None:
        """Ask the oracle; None when Harmony refuses the case, which then says nothing about any template."""
        try:
            return Answer(case, self.oracle.render(case))
        except OracleRefusedError:
            return None

    def judge(self, answer: Answer, outcome: Outcome | SyntaxProblem, *, confirm: bool = True) -> Judgement:
        """Compare one outcome with the oracle's answer; `confirm=False` leaves out the other profiles."""
        if not isinstance(outcome, Rendered):
            return _failure(outcome)
        text = outcome.text
        if text == answer.rendering.text:
            if not confirm:
                return Judgement(EQUAL, text=text)
            others = self._other_texts(answer)
            right = (self.profile.name, *(name for name in self._others if name not in others))
            return Judgement(EQUAL, right=right, text=text)
        found = classify(answer.case, answer.rendering, text, self.profile)
        right = self._right(answer, text) if confirm else ()
        return Judgement(DIFFERENT, found, right, text, familiar=_familiar(answer.rendering, text))

    def _other_texts(self, answer: Answer) -> dict[str, str]:
        """Return the texts under the other profiles, where they are not the default's."""
        if answer.others is None:
            answer.others = {}
            if _contested(answer.case):
                for name, oracle in self._others.items():
                    # The layout is cheap; where it is not Harmony's, Harmony has to be asked.
                    exact = answer.rendering.exact_spans
                    text = oracle.layout(answer.case) if exact else oracle.render(answer.case).text
                    if text != answer.rendering.text:
                        answer.others[name] = text
        return answer.others

    def _right(self, answer: Answer, text: str) -> tuple[str, ...]:
        """Return the other profiles that agree with the template; Harmony itself confirms each."""
        names = []
        for name, other in self._other_texts(answer).items():
            if other == text and self._others[name].render(answer.case).text == text:
                names.append(name)
        return tuple(names)


def _familiar(expected: Rendering, text: str) -> bool:
    """Say whether the system message or any user message stands in the text as Harmony writes it."""
    return text.startswith(expected.blocks[0].text) or any(
        block.kind == "user" and block.text in text for block in expected.blocks
    )


def _contested(case: Case) -> bool:
    """Say whether profiles can differ on a case at all: only thinking and calls are contested."""
    return any(isinstance(m, Assistant) and (m.thinking or m.calls) for m in case.conversation.messages)


def _failure(outcome: Outcome | SyntaxProblem) -> Judgement:
    assert not isinstance(outcome, Rendered)
    rule = _FAILURE_RULES[type(outcome)]
    message = f"{outcome.kind}: {outcome.message}" if isinstance(outcome, Crashed) else outcome.message
    line = None if isinstance(outcome, LimitExceeded) else outcome.line
    status = REJECTED if isinstance(outcome, Rejected) else CRASHED
    return Judgement(status, [Found(rule, None)], failure=message, line=line)


def rules_of(judgement: Judgement) -> Sequence[str]:
    """Return the slugs of a judgement's divergences."""
    return [found.rule for found in judgement.found]
