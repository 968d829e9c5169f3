"""Features: each is found where it is, each is reached, and pairs said to be impossible never meet."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.generate import case_at
from conformance.generate.coverage import CoverageCounter, features
from conformance.generate.features import BIT, FEATURES, INDEX, MEANINGS, POSSIBLE, bits, names_of


@cache
def counted(seed: int, cases: int) -> CoverageCounter:
    counter = CoverageCounter()
    for index in range(cases):
        counter.add(case_at(seed, index))
    return counter


@pytest.mark.parametrize("seed", [0, 1, 20260101])
def test_the_default_budget_reaches_all_features_and_nearly_all_pairs(seed: int) -> None:
    counter = counted(seed, 2000)
    assert counter.missing_features == ()
    assert counter.features_share == 1
    assert counter.pairs_share >= 0.97  # promised: 0.95


def test_what_is_declared_impossible_never_meets_and_the_rest_does() -> None:
    counter = counted(5, 20_000)
    assert counter.impossible_pairs == ()
    assert counter.pairs_share > 0.999  # all of them after 250,000 cases


def test_the_table_is_in_order() -> None:
    assert len(MEANINGS) == len(FEATURES)  # no name twice
    for feature in FEATURES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", feature.name)
        assert 5 < len(feature.meaning) < 80
        assert "\n" not in feature.meaning
        assert not {*feature.needs, *feature.excludes} - set(BIT)
        assert BIT[feature.name] == 1 << INDEX[feature.name]
    for i, possible in enumerate(POSSIBLE):
        assert not possible >> i & 1
        assert all(POSSIBLE[j] >> i & 1 for j in bits(possible))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("effort-low", "effort-high"),
        ("tools-none", "schema-enum-mixed"),
        ("tools-none", "parameters-absent"),
        ("instructions-absent", "instructions-later"),
        ("ends-user", "ends-result"),
        ("turns-one", "thinking-several-turns"),
        ("instructions-absent", "ends-instructions"),  # it needs a later instruction, which excludes it
    ],
)
def test_pairs_that_cannot_meet(one: str, other: str) -> None:
    assert not POSSIBLE[INDEX[one]] & BIT[other]


def case(*messages: Any, tools: tuple[Tool, ...] = (), **options: Any) -> Case:
    return Case(conversation=Conversation(messages=messages, tools=tools), options=Options(**options))


def with_schema(schema: dict[str, Any]) -> Case:
    tool = Tool(name="f", description="d", parameters={"type": "object", "properties": {"a": schema}})
    return case(User(text="Hi"), tools=(tool,))


def test_the_plainest_case_has_the_plainest_features() -> None:
    assert features(case(User(text="Hi"))) == {
        "effort-none", "mode-generation", "instructions-absent", "turns-one", "ends-user", "tools-none",
    }  # fmt: skip


def test_calls_and_results() -> None:
    call = ToolCall(name="f", arguments={"a": [2**60, 1e30, None, "é"]})
    raw = ToolCall(name="f", arguments='{"a":1}\n')
    found = features(
        case(
            Instructions(text="Be kind.\n", role="developer"),
            Instructions(text=""),
            User(text="<|end|>"),
            Assistant(thinking="hm", preamble="wait", calls=(call, raw)),
            ToolResult(call=1, content="{}"),
            ToolResult(call=0, content=""),
            Assistant(calls=(ToolCall(name="f", arguments="{"),)),
            mode="training",
            builtin_tools=("python", "browser"),
        )
    )
    assert found >= {
        "instructions-developer", "instructions-trailing-newline", "instructions-later", "text-special-token",
        "preamble-with-thinking", "parallel-calls", "results-out-of-order", "results-missing", "result-json",
        "result-empty", "calls-several-steps", "call-unknown-tool", "arguments-nested", "arguments-float",
        "arguments-big-integer", "arguments-constant", "arguments-not-ascii", "arguments-string-compact",
        "arguments-string-lines", "arguments-not-json", "ends-call", "mode-training", "builtin-python-first",
    }  # fmt: skip
    assert "instructions-empty" not in found  # only the first ones are the instructions


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "number", "default": 1e-7}, {"schema-default-float", "schema-default-float-exponent"}),
        ({"type": "number", "default": -0.0}, {"schema-default-float-whole"}),
        ({"type": "integer", "default": 2**64}, {"schema-default-big-integer", "schema-type-integer"}),
        ({"type": ["null", "string"]}, {"schema-type-union-null", "schema-type-null-first"}),
        ({"enum": ["a", None], "default": "a"}, {"schema-enum-mixed", "schema-enum-default"}),
        ({"enum": [True, 1]}, {"schema-enum-mixed"}),
        (
            {"type": "integer", "enum": [1, 2], "nullable": True},
            {"schema-enum-integers", "schema-nullable-other"},
        ),
        (
            {"oneOf": [{"type": "string", "enum": ["a"], "default": "a", "description": "x"}]},
            {"schema-one-of-single", "schema-one-of-enum-default", "schema-one-of-described"},
        ),
        ({"type": "array", "items": {"type": "array"}}, {"schema-array-of-arrays", "schema-array-no-items"}),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
            {"schema-nested-depth-3"},
        ),
        ({"type": "object", "description": "o"}, {"schema-nested-empty", "schema-object-description"}),
        ({"description": "a\n\nb"}, {"schema-type-absent", "schema-description-multiline"}),
        ({"description": "<b>"}, {"schema-description-hostile"}),
    ],
)
def test_schema_features(schema: dict[str, Any], expected: set[str]) -> None:
    assert features(with_schema(schema)) >= expected | {"schema-property", "schema-optional", "tools-one"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two", set()),
        ("a\nb", {"text-multiline"}),
        ("a \n", {"text-edge-newline"}),
        (" a", {"text-edge-blank"}),
        ("{{ x }}", {"text-jinja", "text-json"}),
        ('{"a": 1}', {"text-quotes", "text-json"}),
        ("a\r\nb", {"text-carriage-return", "text-multiline"}),
        ("\x00", {"text-control"}),
        ("\u2028", {"text-not-ascii", "text-unicode-break"}),
        ("x" * 10_000, {"text-long"}),
        ("é" * 5_000, {"text-long", "text-not-ascii"}),
    ],
)
def test_text_features(text: str, expected: set[str]) -> None:
    assert {name for name in features(case(User(text=text))) if name.startswith("text-")} == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "oneOf", "enum", "default", "description", "required"]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "type", "properties", "required", "description"]), json_values))
@settings(max_examples=200, deadline=None, database=None)
def test_odd_schemas_of_users_do_not_break_the_count(parameters: dict[str, Any]) -> None:
    assert "tools-one" in features(case(User(text="Hi"), tools=(Tool(name="f", parameters=parameters),)))
    features(with_schema(parameters))


def test_counters_of_several_processes_can_be_merged() -> None:
    whole, left, right = CoverageCounter(), CoverageCounter(), CoverageCounter()
    for index in range(200):
        made = case_at(0, index)
        mask = (left if index % 2 else right).add(made)
        assert names_of(mask) == features(made)
        whole.add_mask(mask)
    left.merge(right)
    assert (left.cases, left.counts) == (200, whole.counts)
    assert left.pairs_share == whole.pairs_share


def test_an_empty_counter_has_seen_nothing() -> None:
    counter = CoverageCounter()
    assert (counter.features_share, counter.pairs_share) == (0, 0)
    assert len(counter.missing_features) == len(FEATURES)
