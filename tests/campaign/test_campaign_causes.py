"""Each cause of a rule has a card of its own: places whose smallest cases lead to different lines are two causes."""

from __future__ import annotations

from conformance.campaign.check import check
from conformance.campaign.runner import Settings
from conformance.report.model import Divergence
from conformance.resources import resource
from conformance.sources import Provenance, make_template

REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
USER = "'the content of a user message') ~ '<|end|>'"
RESULT = "'the content of a tool message') ~ '<|end|>'"


def found(*edits: tuple[str, str], rule: str) -> list[Divergence]:
    text = REFERENCE
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    template = make_template("t", text, Provenance(kind="file", location="t"))
    (target,) = check([template], Settings(cases=80, engines=("jinja2",))).targets
    assert target.by_engine[0].rules[rule] >= max(d.count for d in target.divergences if d.rule == rule)
    return [divergence for divergence in target.divergences if divergence.rule == rule]


def line_of(text: str) -> int:
    return REFERENCE[: REFERENCE.index(text)].count("\n") + 1


def test_two_lines_that_break_one_rule_are_two_cards_with_their_own_shares() -> None:
    ended = [(USER, USER.replace("<|end|>", "<|end|>\\n")), (RESULT, RESULT.replace("<|end|>", "<|end|>\\n"))]
    cards = found(*ended, rule="extra-newline")
    assert {card.cause for card in cards} == {"user message, end", "tool result, end"}
    by_cause = {card.cause: card for card in cards}
    user, result = by_cause["user message, end"], by_cause["tool result, end"]
    assert user.count > result.count > 0
    assert user.example.template_line == line_of(USER)
    assert result.example.template_line == line_of(RESULT)
    assert user.example.case_id != result.example.case_id
    assert "tool result" not in user.example.region
    assert {user.key, result.key} == {f"extra-newline: {card.cause}" for card in cards}


def test_one_line_in_several_places_stays_one_card_without_a_cause() -> None:
    # One line writes all names of properties, at the top and inside of others.
    (card,) = found(("mark ~ ': ' ~ nullable", "mark ~ ':  ' ~ nullable"), rule="tool-layout")
    assert card.cause == ""
