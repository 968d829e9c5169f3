"""Each cause of a rule has a card of its own: places whose smallest cases lead to different lines are two causes."""

from __future__ import annotations

from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.report.model import Divergence
from conformance.resources import resource
from conformance.sources import Provenance, make_template

REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
USER = "text_at(message, 'content', 'the content of a user message')"
RESULT = "text_at(message, 'content', 'the content of a tool message')"


def found(*edits: tuple[str, str], rule: str) -> list[Divergence]:
    text = REFERENCE
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    template = make_template("t", text, Provenance(kind="file", location="t"))
    (target,) = check([template], Settings(cases=60, engines=("jinja2",))).targets
    assert target.by_engine[0].rules[rule] >= max(d.count for d in target.divergences if d.rule == rule)
    return [divergence for divergence in target.divergences if divergence.rule == rule]


def line_of(text: str) -> int:
    return REFERENCE[: REFERENCE.index(text)].count("\n") + 1


def lines(card: Divergence) -> list[int]:
    origin, line = card.example.origin, card.example.template_line
    assert origin is not None
    return origin.between if line is None else [line]


def test_two_lines_that_break_one_rule_are_two_cards_with_their_own_shares() -> None:
    cards = found((USER, f"{USER}|trim"), (RESULT, f"{RESULT}|trim"), rule="text-trimmed")
    assert {card.cause for card in cards} == {"user message", "tool result"}
    by_cause = {card.cause: card for card in cards}
    user, result = by_cause["user message"], by_cause["tool result"]
    assert [card.count for card in cards] == sorted((user.count, result.count), reverse=True)
    assert user.count > 0 < result.count
    assert line_of(USER) in lines(user)
    assert line_of(RESULT) in lines(result)
    assert user.example.case_id != result.example.case_id
    assert "tool result" not in user.example.region
    assert {user.key, result.key} == {f"text-trimmed: {card.cause}" for card in cards}


def test_one_line_in_several_places_stays_one_card_without_a_cause() -> None:
    # One line writes all names of properties, at the top and inside of others.
    (card,) = found(
        ("'' if name in required else '?'", "'?' if name in required else ''"), rule="required-mark"
    )
    assert card.cause == ""
