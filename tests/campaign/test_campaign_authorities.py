"""The authority in a campaign: named in the report, replaceable by name, its crashes and gaps told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from conformance.campaign import contrast as contrasts
from conformance.campaign.check import check
from conformance.campaign.contrast import PARSED, TOKENS, contrast
from conformance.campaign.settings import Settings
from conformance.errors import UsageError
from conformance.gate.exits import exit_code
from conformance.oracles import copies, harmony, load
from conformance.oracles.authorities import DEFAULT, find
from conformance.oracles.library import InProcess, OracleFailedError, OracleRefusedError
from conformance.report.authorities_page import comparison_json, comparison_markdown
from conformance.resources import resource
from conformance.sources import make_template
from conformance.sources.base import Provenance

REFERENCE = make_template(
    "t",
    resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8"),
    Provenance(kind="file", location="t"),
)
FAST = Settings(cases=80, engines=("jinja2",))


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    for name in [name for name in load._loaded if name != DEFAULT]:
        load._loaded.pop(name).close()  # type: ignore[attr-defined]


def have(*names: str) -> None:
    for name in names:
        try:
            copies.fetch(find(name))
        except UsageError as error:
            pytest.skip(f"{name} cannot be fetched: {error}")


def test_the_report_says_who_judged() -> None:
    report = check([REFERENCE], FAST)
    assert report.authority == load.authority().authority
    assert (report.run.unanswered, report.run.layout_failures) == ({}, 0)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_another_authority_judges_by_its_own_reading(jobs: int) -> None:
    have("oss-harmony")
    report = check(
        [REFERENCE], Settings(cases=80, engines=("jinja2",), authority="oss-harmony", jobs=jobs), shrink=False
    )
    assert report.authority is not None
    assert (report.authority.name, report.authority.origin) == ("oss-harmony", "own copy")
    (target,) = report.targets
    assert 0 < target.cases.equal < target.cases.total
    assert {"content-type-marker", "recipient-placement"} <= {found.rule for found in target.divergences}
    # Its own profile says how it reads, so that every answer is explained.
    assert report.run.layout_failures == 0


def test_two_authorities_judge_in_one_process() -> None:
    have("oss-harmony")
    ours = check([REFERENCE], FAST)
    theirs = check(
        [REFERENCE], Settings(cases=80, engines=("jinja2",), authority="oss-harmony"), shrink=False
    )
    again = check([REFERENCE], FAST)
    assert ours.targets[0].verdict == again.targets[0].verdict == "conforms"
    assert theirs.targets[0].verdict == "diverges"


def test_a_crash_of_the_authority_costs_its_case_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = check([REFERENCE], FAST)
    render, asked = InProcess.render, 0

    def crashing(self, messages, **how):
        nonlocal asked
        asked += 1
        if asked % 10 == 0:
            raise OracleFailedError("openai-harmony crashed on a conversation: no entry")
        return render(self, messages, **how)

    monkeypatch.setattr(InProcess, "render", crashing)
    report = check([REFERENCE], FAST)
    assert list(report.run.unanswered) == ["openai-harmony crashed on a conversation: no entry"]
    lost = sum(report.run.unanswered.values())
    assert 5 <= lost < 20
    assert report.targets[0].cases.total == whole.targets[0].cases.total - lost
    assert report.targets[0].verdict == "conforms"


def test_an_authority_that_never_answers_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_, **__):
        raise OracleRefusedError("no")

    monkeypatch.setattr(InProcess, "render", refusing)
    report = check([REFERENCE], FAST)
    assert report.targets[0].verdict == "error"
    assert exit_code(report) == 3


def test_a_layout_that_does_not_explain_the_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    original = harmony.plan

    def wrong(case, profile, _opening=None):
        made = original(case, profile)
        made.kept[0].text += "x"
        return made

    monkeypatch.setattr(harmony, "plan", wrong)
    report = check([REFERENCE], FAST)
    assert report.run.layout_failures == report.targets[0].cases.total
    assert report.targets[0].verdict == "conforms"


def test_oss_harmony_is_told_apart_completely() -> None:
    """Its three departures and nothing else, each with a conversation that can lose nothing more."""
    have("oss-harmony")
    found = contrast(["oss-harmony"], seed=0, cases=300)
    (other,) = found.others
    kinds = {kind.what: kind for kind in other.kinds}
    assert other.cases == 300
    assert 0 < other.equal < 300
    assert {"content-type-marker", "recipient-placement", "result-author", "default-literal"} <= set(kinds)
    assert not {"unclassified", "thinking-retention", TOKENS} & set(kinds)
    assert all(kind.minimal for kind in other.kinds)
    recipient = kinds["recipient-placement"]
    assert len(recipient.case.conversation.messages) == 1
    assert recipient.expected.startswith("assistant to=functions.f<|channel|>commentary")
    assert recipient.actual.startswith("assistant<|channel|>commentary to=functions.f")
    default = kinds["default-literal"]
    assert default.actual.replace("e+", "e") == default.expected != default.actual
    page = comparison_markdown(found)
    assert "HT304 recipient-placement" in page
    assert str(Path.home()) not in page
    again = contrast(["oss-harmony"], seed=0, cases=300)
    assert comparison_json(again) == comparison_json(found)


def test_openai_harmony_0_0_3_differs_in_tokens_alone() -> None:
    have("openai-harmony-0.0.3", "openai-harmony-0.0.4")
    found = contrast(["openai-harmony-0.0.3", "openai-harmony-0.0.4"], seed=0, cases=120)
    old, newer = found.others
    assert {kind.what for kind in old.kinds} - {PARSED} == {TOKENS}
    assert (newer.equal, newer.cases) == (120, 120)


def test_a_comparison_that_is_interrupted_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    have("openai-harmony-0.0.4")
    make = contrasts.case_at

    def interrupted(seed: int, index: int):
        if index == 3:
            raise KeyboardInterrupt
        return make(seed, index)

    monkeypatch.setattr(contrasts, "case_at", interrupted)
    found = contrast(["openai-harmony-0.0.4"], seed=0, cases=10)
    assert (found.complete, found.others[0].cases) == (False, 3)
    assert "Incomplete" in comparison_markdown(found)
    assert msgspec.json.decode(comparison_json(found))["run"]["complete"] is False
