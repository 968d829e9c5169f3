"""What a campaign counts, against counting by hand; and no false alarm on plain conversations."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from plain_cases import differing

from conformance.campaign import check as check_module
from conformance.campaign import examples as examples_module
from conformance.campaign import runner as runner_module
from conformance.campaign.check import Silent, check
from conformance.campaign.judge import Judge
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.cli.judging import cut_short
from conformance.conversation import Case
from conformance.engines.base import Crashed, Limits, Rejected, Rendered
from conformance.errors import EXIT_CONFORMS, EXIT_UNJUDGED, EXIT_USAGE, NotCompiledError
from conformance.gate.exits import exit_code
from conformance.generate import case_at
from conformance.oracles import harmony as harmony_module
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.opening import Shared
from conformance.oracles.plan import Plan, plan
from conformance.oracles.profile import Profile, profile, profiles
from conformance.resources import resource
from conformance.shapes import draw, shapes
from conformance.sources import Template, catalogue, make_template, resolve
from conformance.sources.base import Provenance

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
OPENAI = "openai-gpt-oss-120b"


def template(text: str, name: str = "t") -> Template:
    return make_template(name, text, Provenance(kind="file", location=name))


def changed(old: str, new: str) -> Template:
    assert REFERENCE.count(old) == 1, old
    return template(REFERENCE.replace(old, new))


MARKER = "~ '<|channel|>commentary json<|message|>'"
CONSTRAIN = changed(MARKER, "~ '<|channel|>commentary <|constrain|>json<|message|>'")
SPACED = changed(MARKER, "~ '<|channel|>commentary <|constrain|> json<|message|>'")
FINAL = changed("<|channel|>final<|message|>' ~ content", "<|channel|>final<|message|>' ~ (content | trim)")


def openai_template() -> Template:
    if not catalogue.is_cached(OPENAI):
        pytest.skip(f"{OPENAI} is not in the cache; `conformance templates fetch` gets it")
    return resolve(OPENAI, offline=True)[0]


def rendered(runner: Runner, target: Template, count: int) -> Iterator[tuple[Case, Any]]:
    """Render the campaign's cases with nothing of the campaign's own loop."""
    (host,) = runner.hosts.values()
    choices = shapes()
    for index in range(count):
        case, shape = case_at(0, index), draw(choices, index)
        if shape.loses(case) is None:
            yield case, host.collect(host.submit(target.text, [shape.request(case)]))[0]


@pytest.mark.parametrize("name", ["constrain", "spaced", "final", "openai"])
def test_shares_and_statuses_against_counting_by_hand(name: str) -> None:
    target = {"constrain": CONSTRAIN, "spaced": SPACED, "final": FINAL}.get(name) or openai_template()
    oracles = {profile_name: HarmonyOracle(profile_name) for profile_name in profiles()}
    right = dict.fromkeys(oracles, 0)
    counts = {"equal": 0, "different": 0, "rejected": 0, "crashed": 0}
    count, total = 120, 0
    with Runner(Settings(cases=count, engines=("jinja2",))) as runner:
        for case, outcome in rendered(runner, target, count):
            total += 1
            if isinstance(outcome, Rendered):
                for profile_name, oracle in oracles.items():
                    right[profile_name] += outcome.text == oracle.render(case).text
                same = outcome.text == oracles["harmony"].render(case).text
                counts["equal" if same else "different"] += 1
            else:
                assert isinstance(outcome, Rejected | Crashed)
                counts["rejected" if isinstance(outcome, Rejected) else "crashed"] += 1
        tally = runner.run([target], 0, count).tallies[0]
    assert tally.counts == counts
    assert tally.total == total
    assert tally.inexpressible == count - total
    assert {key: tally.right.get(key, 0) for key in right} == right
    assert name != "constrain" or right["constrain"] == total > right["harmony"]


def test_another_default_profile_turns_the_shares_round() -> None:
    settings = Settings(cases=60, engines=("jinja2",), profile="constrain")
    target = check([CONSTRAIN], settings, shrink=False).targets[0]
    assert target.verdict == "conforms"
    assert target.right_under["constrain"] == 1.0
    assert target.right_under["harmony"] < 1.0


@pytest.fixture
def wrong_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(case: Case, chosen: Profile, _shared: Shared | None = None) -> Plan:
        made = plan(case, chosen)
        made.kept[0].pieces.insert(1, ("wrong", "", "WRONG"))
        made.kept[0].text = "".join(piece[2] for piece in made.kept[0].pieces)
        return made

    monkeypatch.setattr(harmony_module, "plan", wrong)


@pytest.mark.usefixtures("wrong_layout")
def test_shares_hold_even_where_the_layout_does_not() -> None:
    """A new version of Harmony that our layout does not follow must not cost anybody their share."""
    judge = Judge(profile("harmony"))
    for index in range(40):
        case = case_at(0, index)
        answer = judge.answer(case)
        assert answer is not None
        assert not answer.rendering.exact_spans
        judgement = judge.judge(answer, Rendered(answer.rendering.text))
        by_hand = {
            name for name in profiles() if HarmonyOracle(name).render(case).text == answer.rendering.text
        }
        assert set(judgement.right) == by_hand


def comparable(report: Any) -> Any:
    data = msgspec.to_builtins(report)
    data["run"].pop("elapsed_s")
    return data


@pytest.mark.parametrize(
    "sizes",
    [(7, 13), pytest.param((1, 1), marks=pytest.mark.long), pytest.param((200, 200), marks=pytest.mark.long)],
)
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]) -> None:
    settings = Settings(cases=70, engines=("jinja2",))
    usual = check([FINAL, CONSTRAIN], settings, shrink=False)
    monkeypatch.setattr(runner_module, "_FIRST_BATCH", sizes[0])
    monkeypatch.setattr(runner_module, "_BATCH", sizes[1])
    assert comparable(check([FINAL, CONSTRAIN], settings, shrink=False)) == comparable(usual)


def test_targets_do_not_depend_on_each_other() -> None:
    settings = Settings(cases=50, engines=("jinja2",))
    both = check([CONSTRAIN, FINAL], settings, shrink=False).targets
    alone = [check([t], settings, shrink=False).targets[0] for t in (CONSTRAIN, FINAL)]
    assert msgspec.to_builtins(both) == msgspec.to_builtins(alone)


def test_an_interruption_while_shrinking_keeps_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examples_module.Shrinker, "shrink", interrupted)
    report = check([CONSTRAIN, FINAL], Settings(cases=150, engines=("jinja2",)))
    assert not report.run.complete
    assert report.run.cases == 150
    assert [target.verdict for target in report.targets] == ["diverges", "diverges"]
    assert all(target.divergences for target in report.targets)
    assert not any(d.example.minimal for target in report.targets for d in target.divergences)


class _Clock(Silent):
    """A clock that stands still, and jumps to the end of the run's time once so many cases are done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jump_after: int) -> None:
        self._now, self._jump_after = 0.0, jump_after
        for module in (check_module, runner_module):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self._now))

    def progress(self, template: Template, done: int, total: int) -> None:
        if done >= self._jump_after:
            self._now = 1e6


@pytest.mark.parametrize(
    ("at_least", "verdict", "code"), [(None, "error", 3), (1, "conforms", 0), (400, "error", 3)]
)
def test_too_few_cases_are_no_verdict(
    monkeypatch: pytest.MonkeyPatch, at_least: int | None, verdict: str, code: int
) -> None:
    settings = Settings(cases=400, engines=("jinja2",), seconds=60, at_least=at_least)
    report = check([template(REFERENCE)], settings, _Clock(monkeypatch, jump_after=1))
    assert (report.run.complete, report.run.ended) == (False, "time")
    assert 0 < report.run.cases < 400
    (target,) = report.targets
    assert target.verdict == verdict
    assert (target.error is None) == (verdict == "conforms")
    assert max(exit_code(report), EXIT_UNJUDGED if cut_short(report, settings) else EXIT_CONFORMS) == code


def test_what_diverged_before_the_time_was_up_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(cases=400, engines=("jinja2",), seconds=60)
    report = check([CONSTRAIN], settings, _Clock(monkeypatch, jump_after=30))
    assert report.targets[0].verdict == "diverges"
    assert not any(found.example.minimal for found in report.targets[0].divergences)
    assert cut_short(report, settings)


def test_a_hanging_template_beside_another_costs_only_itself() -> None:
    loop = "{% for _ in range(9999) %}"
    hanging = template(loop * 3 + "{% endfor %}" * 3, "hanging")
    other = template("{{ messages[0].role }}", "other")
    settings = Settings(cases=60, engines=("jinja2",), limits=Limits(time_s=0.15, grace_s=0.3))
    both = {target.name: target for target in check([hanging, other], settings, shrink=False).targets}
    (alone,) = check([other], settings, shrink=False).targets
    assert msgspec.to_builtins(both["other"]) == msgspec.to_builtins(alone)
    assert both["hanging"].cases.crashed == both["hanging"].cases.total < 40
    assert both["hanging"].verdict == "diverges"
    assert "given up" in (both["hanging"].error or "")


def test_only_what_was_read_to_its_end_is_called_unreadable() -> None:
    """To compile it was ended, or its worker died: that is exit code 3, and no word about the user's file."""
    settings = Settings(cases=20, engines=("jinja2",), limits=Limits(time_s=0.1, grace_s=0.3))
    endless, wrong = template("{{ a }}" * 30_000, "endless"), template("{% if", "wrong")
    other = template("{{ messages[0].role }}", "other")
    with pytest.raises(
        NotCompiledError, match="endless could not be judged: compiling it was ended"
    ) as caught:
        check([endless], settings, shrink=False)
    assert caught.value.exit_code == EXIT_UNJUDGED
    beside = check([endless, other], settings, shrink=False)
    assert [target.verdict for target in beside.targets] == ["error", "diverges"]
    assert exit_code(beside) == EXIT_UNJUDGED
    unreadable = check([wrong, other], settings, shrink=False)
    assert [target.unreadable for target in unreadable.targets] == [True, False]
    assert exit_code(unreadable) == EXIT_USAGE


def test_no_false_alarm_on_plain_conversations() -> None:
    """20,000 of them by hand: `python tests/campaign/plain_cases.py`, none differs."""
    target = openai_template()
    assert differing(target.text, 600) == []
    assert differing(target.text, 200, engine="jinja2", seed=1) == []


def test_no_false_alarm_of_the_reference_template() -> None:
    assert differing(REFERENCE, 300, engine="jinja2", seed=2) == []


# One character or word each: what a careless edit does. All of them are seen within a few hundred cases.
INSTRUCTIONS = "{{- '# Instructions\\n\\n' ~ instructions -}}"
SMALL_FAULTS = {
    "a blank after the marker": (MARKER, "~ '<|channel|>commentary  json<|message|>'"),
    "another date": ("Knowledge cutoff: 2024-06", "Knowledge cutoff: 2024-07"),
    "a newline too many": (INSTRUCTIONS, INSTRUCTIONS.replace("instructions -", "instructions ~ '\\n' -")),
    "no note": ("must go to the commentary channel", "must go to commentary channel"),
    "thinking as final": (
        "<|channel|>analysis<|message|>' ~ thought",
        "<|channel|>final<|message|>' ~ thought",
    ),
    "preamble as analysis": ("commentary<|message|>' ~ content", "analysis<|message|>' ~ content"),
    "no recipient": (" to=assistant<|channel|>commentary<|message|>'", "<|channel|>commentary<|message|>'"),
    "two blanks": ("'\\n} // namespace functions'", "'\\n}  // namespace functions'"),
}


def test_small_faults_are_caught() -> None:
    targets = [changed(old, new) for old, new in SMALL_FAULTS.values()]
    report = check(targets, Settings(cases=150, engines=("jinja2",)), shrink=False)
    verdicts = dict(zip(SMALL_FAULTS, (target.verdict for target in report.targets), strict=True))
    assert set(verdicts.values()) == {"diverges"}, verdicts
    assert all(target.unclassified_share == 0.0 for target in report.targets)
    named = {
        fault: sorted(d.rule for d in t.divergences if d.severity != "note")
        for fault, t in zip(SMALL_FAULTS, report.targets, strict=True)
    }
    assert named["preamble as analysis"] == ["preamble-channel"]
    assert named["a newline too many"] == ["instructions-trailing-newlines"]
