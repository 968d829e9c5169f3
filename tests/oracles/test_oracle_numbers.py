"""How the layout prints JSON values, against what Harmony prints: numbers, strings, lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conformance.conversation import Case, Conversation, Tool, User
from conformance.oracles.base import Rendering
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.schema_layout import rust_float, rust_json, rust_lines

CaseOf = Callable[..., Case]
PROPERTY = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
FIRST = "\nv?: any, // default: "


def with_defaults(values: list[Any]) -> Case:
    """Return a case with one tool whose properties have these defaults: one render for many values."""
    properties = {f"v{number}": {"default": value} for number, value in enumerate(values)}
    tool = Tool(name="f", parameters={"type": "object", "properties": properties})
    return Case(conversation=Conversation(messages=(User(text="Hi"),), tools=(tool,)))


def printed(rendered: Rendering) -> list[str]:
    marker = " // default: "
    return [line.partition(marker)[2] for line in rendered.text.split("\n") if marker in line]


def check(values: list[Any]) -> None:
    oracle = HarmonyOracle()
    rendered = oracle.render(with_defaults(values))
    assert printed(rendered) == [rust_json(value) for value in values]
    assert rendered.exact_spans


# A mantissa of up to 17 digits and an exponent, the way people and programs write numbers.
WRITTEN = st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"),
    st.integers(-(10**17), 10**17),
    st.integers(-25, 25),
)


@PROPERTY
@given(
    st.lists(st.one_of(WRITTEN, st.floats(-1e22, 1e22).map(lambda x: round(x, 6))), min_size=10, max_size=40)
)
@example([0.0, -0.0, 0.1, 1.0, 1e15, 1e16, 1e17, 123456789012345680.0, 9.007199254740993e15])
@example([1e-4, 1e-5, 1e-6, 9e-7, 1.5e-5, 0.00012345, 1e20, 1e21, -2.5e-10])
def test_written_floats(values: list[float]) -> None:
    oracle = HarmonyOracle()
    got = printed(oracle.render(with_defaults(values)))
    for value, text in zip(values, got, strict=True):
        # Reading may round to a neighbour (next test); printing may not.
        assert text == rust_float(float(text))
        assert text == rust_float(value) or abs(float(text) - value) <= 4 * math.ulp(value)


def test_numbers_are_read_as_harmony_reads_them() -> None:
    """serde_json reads floats without its feature `float_roundtrip`: some with many digits and far exponents
    come back as a neighbour, and the layout has to follow it there."""
    from random import Random

    random = Random(7)
    oracle = HarmonyOracle()
    values: list[float | int] = [
        round(random.uniform(-1000, 1000), random.randint(0, 6)) for _ in range(1000)
    ]
    values += [float(f"{random.randint(1, 999)}e{random.randint(-20, 20)}") for _ in range(500)]
    values += [random.random() * 10.0 ** random.randint(-300, 300) for _ in range(1500)]
    values += [random.getrandbits(random.randint(60, 200)) for _ in range(500)]
    values += [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 829532384067721563871]
    rendered = oracle.render(with_defaults(values))
    assert printed(rendered) == [rust_json(value) for value in values]
    assert rendered.exact_spans
    neighbours = sum(
        text != rust_float(float(value)) for text, value in zip(printed(rendered), values, strict=True)
    )
    assert neighbours > 100, "none was misread: is Harmony's reader another one now?"


@PROPERTY
@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=20))
@example([2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 2**65, 2**69 + 12345])
@example([2**100, 10**30, 10**300, -(10**40)])
def test_integers(values: list[int]) -> None:
    check(values)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-100, 100)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\\n é', max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@PROPERTY
@given(st.lists(JSON.filter(lambda value: not isinstance(value, str)), min_size=1, max_size=12))
@example(
    [['\x00\x1f\x7f\u2028\u00ad\U0001f600"\\/\b\f\n\r\t'], {"": [{}], "b": [], "a": None}, [True, False]]
)
def test_values(values: list[Any]) -> None:
    check(values)


@PROPERTY
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
@example('say "c" // or \\ not')
@example("a\r\nb\u2028c")
def test_string_defaults_stand_as_they_are(text: str) -> None:
    oracle = HarmonyOracle()
    schema = {"properties": {"v": {"type": "string", "default": text}}, "type": "object"}
    case = Case(conversation=Conversation(tools=(Tool(name="f", parameters=schema),)))
    rendered = oracle.render(case)
    assert rendered.exact_spans
    assert f'v?: string, // default: "{text}"\n' in rendered.text


LINES = st.lists(st.sampled_from(["a", " ", "\n", "\r", "\r\n", "\u2028", "\x85", "\x0b", "//"]), max_size=9)


@PROPERTY
@given(LINES.map("".join))
@example("\r")
@example("a\r\r\nb\n\nc\n")
def test_tool_descriptions_are_split_as_rust_does(text: str) -> None:
    oracle = HarmonyOracle()
    case = Case(
        conversation=Conversation(tools=(Tool(name="f", description=text), Tool(name="g", description="g")))
    )
    rendered = oracle.render(case)
    assert rendered.exact_spans
    lines = "".join(f"// {line}\n" for line in rust_lines(text))
    assert f"namespace functions {{\n\n{lines}type f = () => any;\n\n// g\n" in rendered.text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\n\n", ["a", ""]),
        ("a\r\nb", ["a", "b"]),
        ("a\rb", ["a\rb"]),
        ("a\r", ["a\r"]),
        ("a\r\n", ["a"]),
        ("a\u2028b\x85c\x0bd", ["a\u2028b\x85c\x0bd"]),
    ],
)
def test_rust_lines(text: str, lines: list[str]) -> None:
    assert rust_lines(text) == lines


def test_a_property_description_of_two_lines_is_written_as_harmony_does(case_of: CaseOf) -> None:
    """Harmony comments only the first line of a property's description; that is the right answer all the same."""
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": "one\ntwo"}}}
    rendered = HarmonyOracle().render(case_of("user: Hi", tools=(Tool(name="f", parameters=schema),)))
    assert "// one\ntwo\na?: string,\n" in rendered.text


def test_null_in_a_name_hides_nullable(case_of: CaseOf) -> None:
    """Harmony looks for `null` in the whole text of the type (facts: a property called `nullx`)."""

    def made(name: str) -> str:
        inner = {"type": "object", "properties": {name: {"type": "string"}}, "nullable": True}
        schema = {"type": "object", "properties": {"a": inner}}
        rendered = HarmonyOracle().render(case_of("user: Hi", tools=(Tool(name="f", parameters=schema),)))
        assert rendered.exact_spans
        return rendered.text

    assert "} | null,\n" in made("b")
    assert "} | null,\n" not in made("nullx")
