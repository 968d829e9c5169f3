"""A repair is applied only when it is proven, never makes anything worse, and leaves alone what is right."""

from __future__ import annotations

import re
from functools import partial

import pytest
from fix_helpers import NO_HARMONY, REFERENCE, WRONG, edited, repaired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.campaign.judge import CRASHED, DIFFERENT, EQUAL, REJECTED
from conformance.campaign.runner import Runner
from conformance.conversation import User
from conformance.fixes import base, repair
from conformance.fixes.base import Size, SkippedError
from conformance.fixes.repair import Repair
from conformance.fixes.trial import Results, Seen, Trials, objection, objections
from conformance.registry import Registry
from conformance.resources import resource
from conformance.template.parts import Source
from tools import mutants

FINAL = "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~"
NO_FINAL = edited(REFERENCE, FINAL, FINAL.replace("<|channel|>final", ""))
TRAINING = resource("templates", "gpt-oss-training.jinja").read_text("utf-8")
BOUNDARY = [found.end() for found in re.finditer(r"%\}\n", REFERENCE)]


@pytest.fixture(scope="module")
def of_wrong(runner: Runner) -> Repair:
    return repaired(runner, WRONG)


@pytest.mark.long
def test_a_wrong_template_becomes_right(of_wrong: Repair) -> None:
    result = of_wrong
    assert result.remaining == []
    assert result.proof is not None
    assert result.proof.seed == 1
    assert result.main.after.right_under()["harmony"] == 1
    assert result.proof.after.right_under()["harmony"] == 1
    # Proven on conversations that were not used to choose.
    assert result.main.before.counts != result.proof.before.counts
    assert result.text.count("Macros of chat-template-conformance") == 1
    # What needed no repair is as it was.
    assert "{{- '<|start|>user<|message|>' ~ message.content ~ '<|end|>' -}}" in result.text
    # What was repaired left nothing behind.
    assert "type_of" not in result.text


@pytest.mark.long
def test_the_repaired_template_needs_no_repair(runner: Runner, of_wrong: Repair) -> None:
    again = repaired(runner, of_wrong.text, cases=40, seed=7)
    assert (again.text, again.remaining) == (of_wrong.text, [])


@pytest.mark.long
def test_the_same_seed_gives_the_same_repair(runner: Runner) -> None:
    first, second = (repaired(runner, NO_FINAL, cases=30, seed=3) for _ in range(2))
    assert first.text != NO_FINAL
    assert (first.text, first.main, first.proof) == (second.text, second.main, second.proof)


@pytest.mark.parametrize("text", [REFERENCE, TRAINING], ids=["reference", "training"])
def test_a_right_template_is_not_changed(runner: Runner, text: str) -> None:
    result = repaired(runner, text)
    assert (result.text, result.remaining, result.applied, result.proof) == (text, [], [], None)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(BOUNDARY), min_size=1, max_size=5, unique=True), st.booleans())
def test_whatever_writes_the_right_text_is_not_changed(
    runner: Runner, places: list[int], renamed: bool
) -> None:
    """Conforming templates that look otherwise: comments, an unused variable, another name for the message."""
    text = REFERENCE
    for number, place in enumerate(sorted(places, reverse=True)):
        added = "{#- a comment -#}\n" if number % 2 else f"{{%- set unused_{number} = 1 -%}}\n"
        text = text[:place] + added + text[place:]
    if renamed:
        text = re.sub(r"\bfinal_end\b", "how_it_ends", text)
    result = repaired(runner, text, cases=10)
    assert (result.text, result.remaining) == (text, [])


@pytest.mark.parametrize("name", [mutant.name for mutant in mutants.load()[5::40]])
@pytest.mark.long
def test_a_planted_fault_is_repaired_or_left(runner: Runner, name: str) -> None:
    (mutant,) = (each for each in mutants.load() if each.name == name)
    text = mutants.apply(mutant, REFERENCE)
    result = repaired(runner, text, cases=40)
    assert objection(result.main.before, result.main.after) is None
    assert len(result.remaining) <= len(result.main.before.counts)
    if result.text == text:
        assert result.applied == []
    else:
        assert result.proof is not None
        assert objection(result.proof.before, result.proof.after) is None
        assert sum(result.main.after.counts.values()) < sum(result.main.before.counts.values())
    Source(result.text)


def test_another_family_is_left(runner: Runner) -> None:
    result = repaired(runner, NO_HARMONY)
    assert result.text == NO_HARMONY
    assert not result.main.before.is_harmony
    assert result.applied == []


def test_windows_line_ends(runner: Runner) -> None:
    text = NO_FINAL.replace("\n", "\r\n")
    result = repaired(runner, text, cases=30)
    assert result.remaining == []
    assert result.text != text
    assert result.text.count("\r\n") == result.text.count("\n") == result.text.count("\r")


def test_a_byte_order_mark_is_removed(runner: Runner) -> None:
    result = repaired(runner, "\ufeff" + REFERENCE, cases=30)
    assert result.remaining == []
    assert "\ufeff" not in result.text


def test_what_an_argument_of_the_template_decides_stays(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No conversation sets it, so that no campaign could see it go."""
    own = NO_FINAL + "{%- set plain = 'x' -%}{%- if hush is defined -%}{{ hush ~ plain }}{%- endif -%}"
    _fake(monkeypatch, REFERENCE)
    result = repaired(runner, own, cases=30)
    assert result.text == own
    assert {refused.reason for refused in result.refused} == {
        "it would end what the argument hush decides, which Harmony cannot judge"
    }


def _fake(monkeypatch: pytest.MonkeyPatch, *candidates: str | SkippedError) -> None:
    """Let there be only fixes that make these candidates of any template."""

    class Fake:
        size: Size = "expression"
        what = "does as it is told"
        rules = ("final-channel-missing",)

        def __init__(self, number: int, candidate: str | SkippedError) -> None:
            self.name, self._candidate = f"fake-{number}", candidate

        def apply(self, source: Source) -> str:
            if isinstance(self._candidate, SkippedError):
                raise self._candidate
            return self._candidate

    made: Registry[type[base.Fix]] = Registry("fix", "nowhere")
    for number, each in enumerate(candidates):
        made.add(f"fake-{number}", partial(Fake, number, each))  # type: ignore[arg-type]
    monkeypatch.setattr(base, "FIXES", made)
    monkeypatch.setattr(repair, "_MOST_EDITS", 0)  # these tests are about fixes that have a name


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (SkippedError("the place was found twice"), "the place was found twice"),
        (NO_FINAL, "it changes nothing"),
        (f"{NO_FINAL}{{#- more -#}}", "it removes none of these rules"),
        ("{% if %}", "the template cannot be taken apart: "),
        (edited(REFERENCE, "Knowledge cutoff", "Knowledge cut"), "it makes conversations wrong that were right ("),
        (
            edited(REFERENCE, FINAL, "{{- raise_exception('no') -}}" + FINAL),
            "it fails on conversations that were rendered (",
        ),
        (
            edited(REFERENCE, FINAL, FINAL.replace("content ~", "content|upper ~")),
            "it brings text-altered (",
        ),
    ],
)  # fmt: skip
def test_a_fix_that_does_not_help_is_refused(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, candidate: str | SkippedError, said: str
) -> None:
    _fake(monkeypatch, candidate)
    result = repaired(runner, NO_FINAL)
    assert result.text == NO_FINAL
    assert result.applied == []
    (refused,) = result.refused
    assert refused.reason.startswith(said)
    assert refused.rules == ("final-channel-missing",)
    assert result.remaining == ["final-channel-missing"]


def _trap(runner: Runner) -> str:
    """Return a template that is wrong for a text that the cases of seed 1 have and those of seed 0 have not."""
    seen, new = (
        {
            message.text
            for item, _ in Trials.drawn(runner, seed, 60, NO_FINAL).answered
            for message in item.case.conversation.messages
            if isinstance(message, User)
        }
        for seed in (0, 1)
    )
    word = next(text for text in sorted(new - seen) if re.fullmatch(r"[A-Za-z ]{4,}", text))
    user = "{{- '<|start|>user' ~"
    return edited(REFERENCE, user, f"{{{{- '!' if message['content'] == '{word}' else '' -}}}}{user}")


def test_what_only_the_proof_shows_refuses_the_fix(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake(monkeypatch, _trap(runner))
    steps: list[str] = []
    result = repair.repair(runner, NO_FINAL, seed=0, cases=60, say=steps.append)
    assert "the proof failed; the conversations that showed it join the trials" in steps
    assert (result.text, result.applied) == (NO_FINAL, [])
    # The second search knows the conversation that the proof had found.
    (refused,) = result.refused
    assert refused.reason.startswith(("it makes conversations wrong", "it brings"))
    assert result.remaining == ["final-channel-missing"]


def test_a_proof_that_keeps_failing_ends(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_ROUNDS", 1)
    _fake(monkeypatch, _trap(runner))
    result = repaired(runner, NO_FINAL)
    assert (result.text, result.applied) == (NO_FINAL, [])
    (refused,) = result.refused
    assert refused.reason.startswith("applied together with the others, it ")


def test_a_needless_fix_is_dropped(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first candidate helps a little; the second does all, and the first is not needed any more."""
    halfway = edited(
        NO_FINAL,
        "{{- '<|start|>assistant<|message|>' ~ content ~",
        "{{- '<|start|>assistant' ~ ('<|channel|>final' if content|length > 20 else '') ~ '<|message|>' ~ content ~",
    )
    _fake(monkeypatch, halfway, REFERENCE)
    result = repaired(runner, NO_FINAL)
    assert [fix.name for fix in result.applied] == ["fake-1"]
    assert result.text == REFERENCE


def _results(*seen: tuple[str, set[str]]) -> Results:
    return Results(tuple(Seen(status, frozenset(rules), (), True) for status, rules in seen))


def test_what_objects() -> None:
    before = _results((EQUAL, set()), (DIFFERENT, {"a"}), (CRASHED, {"template-crashed"}), (DIFFERENT, {"b"}))
    same = before.seen
    for number, now, reason in (
        (0, Seen(DIFFERENT, frozenset({"a"}), (), True), "makes conversations wrong that were right"),
        (1, Seen(DIFFERENT, frozenset({"new"}), (), True), "brings new"),
        (
            1,
            Seen(REJECTED, frozenset({"template-rejected"}), (), True),
            "fails on conversations that were rendered",
        ),
    ):
        after = Results((*same[:number], now, *same[number + 1 :]))
        assert objections(before, after) == [(number, reason)]
        assert objection(before, after) == f"it {reason} (1 of 4)"
    # A rule that others show already is not new, and what a crash hid is not new either.
    for number, now in ((1, {"b"}), (2, {"hidden"})):
        after = Results((*same[:number], Seen(DIFFERENT, frozenset(now), (), True), *same[number + 1 :]))
        assert objection(before, after) is None


def test_cases_are_those_of_check(runner: Runner) -> None:
    trials = Trials.drawn(runner, 0, 20, WRONG)
    drawn = [item for item in map(runner.drawn, range(18)) if item.lost is None]
    assert [item.case for item, _ in trials.answered][: len(drawn)] == [item.case for item in drawn]
