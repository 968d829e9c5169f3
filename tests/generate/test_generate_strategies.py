"""The Hypothesis driver: the same grammar, valid cases, and small ones when something is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Options,
    Tool,
    ToolResult,
    User,
    case_from_json,
    check_case,
    to_json,
)
from conformance.generate import Hints, RandomDraw, Weighted
from conformance.generate.coverage import features
from conformance.strategies import cases, conversations, schemas, tools

QUICK = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
HI = User(text="Hi")


def smallest(wanted: Callable[[Case], bool]) -> Case:
    chosen = settings(
        max_examples=3000,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
    )
    return find(cases(), wanted, settings=chosen)


@given(cases())
@QUICK
def test_cases_are_valid(case: Case) -> None:
    check_case(case)
    assert case_from_json(to_json(case)) == case


@given(conversations(), tools(), schemas())
@QUICK
def test_parts_are_valid(conversation: Conversation, tool: Tool, schema: dict[str, object]) -> None:
    made = Tool(name="f", parameters={"type": "object", "properties": {"a": schema}})
    check_case(Case(conversation=conversation))
    check_case(Case(conversation=Conversation(tools=(tool, made) if tool.name != "f" else (tool,))))


def test_the_smallest_case_says_hi() -> None:
    assert smallest(lambda case: True) == Case(conversation=Conversation(messages=(HI,)))


def test_a_case_with_tools_shrinks_to_one_bare_tool() -> None:
    found = smallest(lambda case: bool(case.conversation.tools))
    assert found == Case(conversation=Conversation(messages=(HI,), tools=(Tool(name="f"),)))


def test_options_shrink_to_the_one_that_matters() -> None:
    found = smallest(lambda case: case.options.reasoning_effort == "high")
    assert found.options == Options(reasoning_effort="high")
    assert found.conversation == Conversation(messages=(HI,))


@pytest.mark.parametrize("feature", ["schema-nullable", "thinking-alone"])
def test_what_a_feature_needs_is_all_that_stays(feature: str) -> None:
    found = smallest(lambda case: feature in features(case))
    assert len(found.conversation.messages) <= 2
    assert len(to_json(found)) < 330, to_json(found)


def test_results_shrink_with_their_calls() -> None:
    found = smallest(lambda case: any(isinstance(m, ToolResult) for m in case.conversation.messages))
    user, step, result = found.conversation.messages
    assert user == HI
    assert isinstance(step, Assistant)
    assert len(step.calls) == 1
    assert isinstance(result, ToolResult)


def test_hints_reach_hypothesis_too() -> None:
    found = find(
        conversations(Hints(words=("sesame",))),
        lambda talk: any(isinstance(message, User) and "sesame" in message.text for message in talk.messages),
        settings=settings(max_examples=3000, deadline=None, database=None, derandomize=True),
    )
    assert found.messages == (User(text="sesame"),)


def test_random_draws_respect_weights_and_bounds() -> None:
    draw = RandomDraw(0)
    table = Weighted((1, "rare"), (9, "common"))
    picked = [draw.pick(table) for _ in range(4000)]
    assert 250 < picked.count("rare") < 550
    assert {draw.integer(2, 4) for _ in range(200)} == {2, 3, 4}
    assert {draw.choice("abc") for _ in range(200)} == set("abc")
    assert {len(draw.many(lambda d: d.chance(0.5), 1, 3)) for _ in range(200)} == {1, 2, 3}
    assert 1 <= len(draw.text("xy", 1, 4)) <= 4
    assert not any(draw.chance(0.0) for _ in range(100))
    assert all(draw.chance(1.0) for _ in range(100))


@pytest.mark.parametrize("rows", [[], [(0, "a")]])
def test_a_table_without_weight_is_refused(rows: list[tuple[int, str]]) -> None:
    with pytest.raises(ValueError, match="weight"):
        Weighted(*rows)
