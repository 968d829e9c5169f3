"""Taking a template apart loses nothing, and agrees with Jinja's own reading."""

from __future__ import annotations

import pytest
from fix_helpers import REFERENCE, WRONG, known_templates
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from conformance.template.marks import GRAMMAR
from conformance.template.parts import (
    Block,
    Source,
    Tag,
    Text,
    UnreadableError,
    blocks,
    constants,
    scan,
    walk,
)

KINDS = {"if": nodes.If, "for": nodes.For, "macro": nodes.Macro}


def agrees_with_jinja(text: str) -> None:
    source = Source(text)
    tree = GRAMMAR.parse(text)
    for keyword, kind in KINDS.items():
        found = list(blocks(source.parts, keyword))
        # An elif is an If of its own in Jinja's tree, and a condition in an output is a CondExpr.
        arms = sum(arm.tag.keyword in ("if", "elif") for block in found for arm in block.arms)
        expected = len(list(tree.find_all(kind)))
        assert (arms if keyword == "if" else len(found)) == expected, keyword
    for block in blocks(source.parts, "if"):
        assert source.text[block.start : block.end].startswith("{%")
        assert source.text[block.start : block.end].endswith("%}")


def rebuilt(text: str) -> str:
    """Return a text put together again from its parts, with what no part covers: the ends of raw blocks."""
    out, position = [], 0
    for part in scan(text):
        assert part.start >= position, "two parts overlap"
        between = text[position : part.start]
        assert not between or "endraw" in between
        out += [between, text[part.start : part.end]]
        if isinstance(part, Text):
            assert part.value == text[part.start : part.end]
        position = part.end
    return "".join([*out, text[position:]])


@pytest.mark.parametrize("text", [REFERENCE, WRONG], ids=["reference", "wrong"])
def test_our_templates_survive(text: str) -> None:
    assert rebuilt(text) == text
    assert Source(text).replaced() == text
    agrees_with_jinja(text)


def test_every_template_of_the_catalogue_survives() -> None:
    for template in known_templates():
        assert rebuilt(template.text) == template.text, template.name
        source = Source(template.text)
        # Every tag replaced by itself.
        tags = [part for part in walk(source.parts) if isinstance(part, Tag)]
        again = source.replaced(*((tag.start, tag.end, source.slice(tag, tag)) for tag in tags))
        assert again == template.text, template.name
        agrees_with_jinja(template.text)


HARD = [
    "{{ '}}' }}",
    '{{ "a\\"}}b" }}',
    "{{ {'a': {'b': 1}} }}",
    "{{ {'a': {}}}}",
    "{# {{ not a tag }} #}x",
    "{#- a -#}",
    "{##}",
    "{% raw %}{{ x }}{% if %}{% endraw %}y",
    "{%- raw -%} {% {%- endraw -%}",
    "{% set x %}block {{ y }}{% endset %}{{ x }}",
    "{% set x = 'a=b' %}{% set y %}={% endset %}",
    "{% if a %}1{% elif b %}2{% else %}3{% endif %}",
    "{% for a in b if a %}{{ a }}{% else %}none{% endfor %}",
    "{%+ if a +%}1{%- endif -%}\r\n2\r3\n",
    "{% generation %}{{ x }}{% endgeneration %}",
    "\ufeff{{ x }}\n\n",
]


@pytest.mark.parametrize("text", HARD)
def test_hard_places(text: str) -> None:
    assert rebuilt(text) == text
    assert Source(text).replaced() == text


@given(st.lists(st.sampled_from([*HARD, " ", "{", "}", "%}", "text\n"]), max_size=6).map("".join))
def test_joined_pieces_survive_or_are_refused(text: str) -> None:
    try:
        Source(text)
    except UnreadableError:
        return
    assert rebuilt(text) == text


@pytest.mark.parametrize(
    "text",
    ["{{ x", "{% if a %}", "{% endif %}", "{% raw %}x", "{# x", "{% nothing %}", "{{ 'x }}", "{{ ( }}"],
)
def test_what_jinja_cannot_read_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableError):
        Source(text)


def test_what_is_written_includes_macros_and_no_tests() -> None:
    source = Source(
        "{% macro m() %}inner{{ 'x' }}{% endmacro %}{% if a == 'test' %}{{ m() ~ 'y' }}{% endif %}"
    )
    block = source.parts[1]
    assert isinstance(block, Block)
    assert sorted(source.writes([block])) == sorted("yinnerx")


def test_replacing_and_indents() -> None:
    source = Source("a\n  {{ 'b' }}{{ 'c' }}")
    first, second = (part for part in source.parts if isinstance(part, Tag))
    assert source.replaced((second.start, second.end, "C"), (first.start, first.end, "B")) == "a\n  BC"
    assert (source.indent(first), source.indent(second)) == ("  ", "")
    assert constants(first) == ["b"]
