"""Where text comes from: notes change nothing, lines are right inside macros, and gaps name their condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.engines.base import Rendered, Request
from conformance.engines.in_process import InProcessHost
from conformance.generate import case_at
from conformance.report.model import Origin
from conformance.report.origin_words import sentence
from conformance.resources import resource
from conformance.shapes import draw, shapes
from conformance.template.origin import OriginTracer
from conformance.template.provenance import Jinja2Provenance, Provenance
from conformance.template.traced_text import Traced, join, through

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


def request(*contents: str) -> Request:
    messages = [{"role": "user", "content": content} for content in contents or ("hello",)]
    return Request(messages, None, {}, False, "2025-06-28")


@pytest.fixture(scope="module", name="plain")
def _plain() -> InProcessHost:
    return InProcessHost("jinja2")


@pytest.fixture(scope="module", name="noted")
def _noted() -> InProcessHost:
    return InProcessHost(Jinja2Provenance)


def test_the_reference_writes_the_same_with_notes_and_every_character_has_a_line(
    plain: InProcessHost, noted: InProcessHost
) -> None:
    choices = shapes(())
    seen = 0
    for index in range(120):
        case, shape = case_at(3, index), draw(choices, index)
        if shape.loses(case):
            continue
        asked = shape.request(case)
        one, other = plain.render(REFERENCE, asked), noted.render(REFERENCE, asked)
        if isinstance(one, Rendered):
            assert isinstance(other, Rendered)
            told = msgspec.json.decode(other.text, type=Provenance)
            assert told.text == one.text
            assert sum(length for length, _ in told.runs) == len(told.text)
            assert all(chain for _, chain in told.runs)
            seen += 1
    assert seen > 50


OPERATIONS: dict[str, Callable[[str], Any]] = {
    "slice": lambda text: text[1:-1],
    "character": lambda text: text[:1] and text[-1],
    "strip": lambda text: text.strip(),
    "lstrip": lambda text: text.lstrip("a "),
    "rstrip": lambda text: text.rstrip("b"),
    "split": lambda text: text.split("a"),
    "split at blanks": lambda text: text.split(None, 1),
    "rsplit": lambda text: text.rsplit("b", 1),
    "splitlines": lambda text: text.splitlines(True),
    "partition": lambda text: text.partition("b"),
    "replace": lambda text: text.replace("ab", "xyz"),
    "replace by nothing": lambda text: text.replace("a", "", 2),
    "upper": lambda text: text.upper(),
    "join": lambda text: text.join(["1", "2"]),
    "add": lambda text: "<" + text + ">",
    "characters": lambda text: list(text),
    "removeprefix": lambda text: text.removeprefix("a"),
    "removesuffix": lambda text: text.removesuffix("b"),
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(st.lists(st.text("ab \n", max_size=6), max_size=4))
def test_a_text_that_remembers_behaves_as_any(name: str, parts: list[str]) -> None:
    traced = join([through(part, number) for number, part in enumerate(parts)])
    one, other = OPERATIONS[name]("".join(parts)), OPERATIONS[name](traced)
    assert other == one
    for each in [other] if isinstance(other, str) else other:
        if isinstance(each, Traced):
            assert sum(length for length, _ in each.runs) == len(each)


# In each, <n> is written by line n.
PLANTED = {
    "measured": "{% macro a(x) %}<1>{{ x }}{% endmacro %}\n{% set x = a('yy') %}\n"
    "{% if x|length > 6 %}<3>{% else %}\n<4>{{ x }}{% endif %}{{ '<4>' }}{{ a('z') }}",
    "trimmed": "{% macro a() %}\n<2>\n{% endmacro %}{{ a()|trim }}",
    "sliced": "{% macro a() -%}\nxx<2>\n{{ '<3>' }}\n{%- endmacro %}\n{{ a()[2:] }}{{ '<5>' }}",
    "replaced": "{% macro a() %}<_>{% endmacro %}\n{{ a()|replace('_', '1') }}",
    "chosen": "{% set x = '<1>'\n if false else '<2>' %}\n{{ x }}{{ '<3>' }}",
    "handed over": "{% macro a(x) %}{{ x ~ '<1>' }}{% endmacro %}\n\n{{ a('<3>') }}",
    "joined": "{% set x = '<1>' %}\n{% set y = '<2>' %}\n{{ x ~ y }}",
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_line_is_the_one_that_wrote_it_first(
    plain: InProcessHost, noted: InProcessHost, name: str
) -> None:
    template = PLANTED[name]
    outcome = plain.render(template, request())
    assert isinstance(outcome, Rendered)
    tracer = OriginTracer(noted, template)
    found = list(re.finditer(r"<(\d+)>", outcome.text))
    assert found
    for match in found:
        line, _ = tracer.origin(request(), outcome.text, match.start(), "", match[0])
        expected = int(match[1])
        # An inline if over two lines counts as its first, as Jinja says.
        assert line == expected or (name == "chosen" and expected == 2 and line == 1)


GAP = """{{- 'a' -}}
{%- set role = 'tool' -%}
{%- set kind = 'none' -%}
{%- if role == 'user' -%}
  {{- 'other' -}}
{%- endif -%}
{%- if kind == 'some' -%}
  {{- '|null|' -}}
{%- endif -%}
{{- 'z' -}}
"""


def test_a_gap_names_the_condition_whose_branch_would_have_written(noted: InProcessHost) -> None:
    line, origin = OriginTracer(noted, GAP).origin(request(), "az", 0, "a|null|z", "az")
    assert line is None
    assert origin == Origin(between=[1, 10], condition=7, sets=[3])


def test_a_gap_without_a_telling_branch_names_the_first_condition_that_was_false(
    noted: InProcessHost,
) -> None:
    _, origin = OriginTracer(noted, GAP).origin(request(), "az", 0, "a…z", "az")
    assert origin is not None
    assert (origin.between, origin.condition) == ([1, 10], 4)


def test_text_of_the_other_branch_names_the_condition_and_what_it_reads(noted: InProcessHost) -> None:
    macro = "{% macro m(flag) %}\n{%- if flag %}yes\n{%- else %}no{% endif %}{% endmacro %}\n"
    template = macro + "{% set f = false %}\n{{ m(f) }}"
    line, origin = OriginTracer(noted, template).origin(request(), "no", 0, "yes", "no")
    assert line == 3
    assert origin is not None
    assert (origin.condition, origin.went, origin.sets, origin.trail) == (2, False, [4], [5])


def test_another_text_than_the_one_given_is_never_traced(noted: InProcessHost) -> None:
    assert OriginTracer(noted, GAP).origin(request(), "another", 0, "b", "another") == (None, None)
    assert OriginTracer(noted, "{% nonsense %}").origin(request(), "x", 0, "", "x") == (None, None)


def test_the_words_say_between_which_lines_and_why(example: Callable[..., Any]) -> None:
    shown = example(Origin(between=[402, 410], condition=403, sets=[400]))
    assert sentence(shown) == (
        "Nothing was written between lines 402 and 410; the condition in line 403 was false "
        "(it reads what line 400 set)."
    )
    assert sentence(example(Origin(trail=[5, 9]), line=3)) == "Printed through lines 5, 9."
    assert sentence(example(None, line=3)) is None
    assert (
        sentence(example(Origin(decisive=[9]), line=3))
        == "Line 9 decides: going the other way there, the text is right."
    )
    assert sentence(example(Origin(decisive=[9, 4]), line=3)) == (
        "Each of lines 9, 4 decides: going the other way there, the text is right."
    )


@pytest.fixture(name="example")
def _example() -> Callable[..., Any]:
    def make(origin: Origin | None, line: int | None = None) -> Any:
        from conformance.conversation import Case, Conversation, Options, User
        from conformance.report.model import Example

        return Example(
            case_id="0", case=Case(Conversation((User("x"),)), Options()), engine="jinja2", shape="hf", expected="",
            actual="", offset=0, region="", message_index=None, template_line=line, origin=origin,
        )  # fmt: skip

    return make
