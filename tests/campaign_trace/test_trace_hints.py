"""Hints of planted templates, and whether they lead to the planted branches."""

import pytest

from conformance.conversation import User
from conformance.generate import Hints, case_at
from conformance.template.hints import hints_of

WORDS = {
    "compared": ("{% if messages[0].content == 'zanzibar' %}{% endif %}", ["zanzibar"]),
    "searched for": ("{% for m in messages %}{{ 'a' if 'zanzibar' in m.content }}{% endfor %}", ["zanzibar"]),
    "in a list": ("{% if x in ['one', ('two', 'user')] %}{% endif %}", ["one", "two"]),
    "starts": ("{{ x.content.startswith('abra') or x.endswith(('cad', 'abra')) }}", ["cad", "abra"]),
    "split": ("{{ x.split('</think>')[-1].lstrip('\\n') }}", ["</think>"]),
    "tests": ("{% if x is eq('one') %}{% endif %}{{ x|selectattr('a', 'eq', 'b') }}", ["one"]),
    "through a variable": ("{% set end = '</tag>' %}{% if end in message.content %}{% endif %}", ["</tag>"]),
    "on either side": ("{{ 'left' == x }}{{ 'r' != y }}", ["left", "r"]),
    "ordinary": ("{{ x == 'user' or y == 'string' or z == '' or w == '  ' }}", []),
    "boilerplate": ("{{ 'Never wait for this' }}{% if x == '" + "long " * 20 + "' %}{% endif %}", []),
}


@pytest.mark.parametrize("name", WORDS)
def test_words(name: str) -> None:
    template, expected = WORDS[name]
    assert sorted(hints_of(template).words) == sorted(expected)


MESSAGES = {
    "{% for m in messages %}{% if loop.index == 9 %}{% endif %}{% endfor %}": 9,
    "{% for m in messages %}{% if loop.index > 8 %}{% endif %}{% endfor %}": 9,
    "{% for m in messages[1:] %}{% if 8 < loop.index %}{% endif %}{% endfor %}": 9,
    "{% for m in messages %}{% if loop.index0 == 8 %}{% endif %}{% endfor %}": 9,
    "{% for m in messages %}{{ 'x' if loop.index % 7 == 0 }}{% endfor %}": 7,
    "{% set rest = messages[1:] %}{% for m in rest %}{{ loop.length >= 12 }}{% endfor %}": 12,
    "{% if messages|length > 5 %}{% endif %}": 6,
    "{% if messages|length - 1 == 5 %}{% endif %}": 6,
    "{{ messages[4].content }}": 5,
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n == 6 }}{% endfor %}": 6,
    "{% for t in tools %}{{ loop.index == 9 }}{% endfor %}": 0,
    "{% if x|length > 50 or messages[0]|length > 9 or messages|length > 5000 %}{% endif %}": 0,
    "{% for m in messages %}{{ loop.index == true }}{{ loop.index > 'a' }}{% endfor %}": 0,
}


@pytest.mark.parametrize("template", MESSAGES)
def test_lengths_of_conversations(template: str) -> None:
    assert hints_of(template).messages == MESSAGES[template]


def test_schema_keys() -> None:
    template = (
        "{% macro type(spec) %}{{ spec.minimum }}{{ spec['pattern'] }}{{ spec.get('format') }}{{ spec.items() }}"
        "{% if 'deprecated' in spec and 'zanzibar' in spec.description %}{% endif %}{% endmacro %}"
        "{% set ns = namespace(found=false) %}{{ ns.found }}"
        "{% for m in messages %}{{ m.weight }}{{ loop.last }}{% endfor %}"
    )
    assert hints_of(template).keys == ("minimum", "pattern", "format", "deprecated")


@pytest.mark.parametrize(
    "template", ["{% if", "{{ a ]", "{% endmacro %}", "", "text", "(" * 5000, "{{ " + "(" * 5000]
)
def test_what_does_not_parse_gives_no_hints(template: str) -> None:
    assert hints_of(template) == Hints()


def test_they_are_bounded() -> None:
    hints = hints_of("".join(f"{{{{ x == 'word{n}' }}}}{{{{ x.key{n} }}}}" for n in range(500)))
    assert (len(hints.words), len(hints.keys)) == (150, 60)


def test_planted_branches_are_reached() -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'user' and 'zanzibar' in m.content %}Z{% endif %}"
        "{% if loop.index == 9 %}9{% endif %}{% endfor %}"
    )
    hints = hints_of(template)
    reached = {"word": 0, "ninth": 0}
    for index in range(250):
        messages = case_at(0, index, hints).conversation.messages
        reached["word"] += any(isinstance(each, User) and "zanzibar" in each.text for each in messages)
        reached["ninth"] += len(messages) >= 9
    assert min(reached.values()) >= 10, reached
