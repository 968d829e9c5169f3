"""An audit shows where a template's output hangs on more than structure, and what a campaign saw of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.engines.base import Request
from conformance.generate import case_at, corners
from conformance.resources import resource
from conformance.shapes import shapes
from conformance.template.branches import BranchProbe, audited
from tools.backdoors.planted import PLANTED, template

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
LABELS = {
    "hour": "clock",
    "noon": "clock",
    "time-printed": "clock",
    "chance": "chance",
    "lipsum": "chance",
    "helper-printed": "helper",
    "helper-name": "helper",
    "messages-counted": "count",
    "message-reached": "count",
    "loop-counted": "count",
    "own-argument": "argument",
    "own-argument-true": "argument",
    "own-argument-equal": "argument",
    "own-argument-and": "argument",
}


@pytest.fixture(scope="module", name="probe")
def _probe() -> Iterator[BranchProbe]:
    with BranchProbe("jinja2") as probe:
        yield probe


@pytest.fixture(scope="module", name="requests")
def _requests() -> list[Request]:
    shape = shapes(["hf"])[0][0]
    cases = [*(case_at(3, index) for index in range(40)), corners.corner(0, corners.COUNT - 1)]
    return [shape.request(case) for case in cases if shape.loses(case) is None]


@pytest.mark.parametrize("name", list(PLANTED))
def test_every_backdoor_is_a_place_with_what_it_hangs_on(name: str) -> None:
    text, line = template(name)
    found = [place for place in audited(text) if place.line == line]
    assert any(LABELS.get(name, "text") in place.labels for place in found)


@pytest.mark.parametrize(
    "name", ["and-or", "index", "lookup", "product-of-length", "slice-by-length", "replace"]
)
def test_what_hides_in_an_expression_was_seen_one_way(
    probe: BranchProbe, requests: list[Request], name: str
) -> None:
    text, line = template(name)
    found = probe.run(text, requests)
    assert any(decision.hidden and decision.seen for decision in found.audit if decision.line == line)


@pytest.mark.parametrize(
    "harmless",
    [
        "{% if messages[0].role == 'user' %}a{% else %}b{% endif %}",
        "{% if messages[0].content %}{{ messages[0].content|trim }}{% endif %}",
        "{% if messages[0].content is string %}a{% endif %}",
        "{{ strftime_now('%Y-%m-%d') }}{{ strftime_now('%-d %B %Y') }}",
        "{% if tools is defined and tools %}{{ tools[0]|tojson }}{% endif %}",
        "{% for message in messages %}{% if not loop.last %}, {% endif %}{% endfor %}",
        "{% if messages|length > 0 %}{{ messages[-1].content }}{% endif %}",
        "{% set n = namespace(last='') %}{% set n.last = messages[0].content %}{{ n.last }}",
        "{{ reasoning_effort }}{% if add_generation_prompt %}x{% endif %}",
        "{{ messages[0].content|replace('\\\\u003c', '<') }}",
        # How the host wrote a value, and not what it says.
        "{% macro w(v) %}{% set t = v|tojson %}{{ t if t|float == v else v ~ '' }}{% endmacro %}{{ w(messages[0].n) }}",
        "{% set v = messages[0].n %}{% set t = v|tojson %}{% if v is integer and 'e' not in t[1:] %}a{% endif %}",
        "{% for s in messages[0].content.split('#') %}{% if not loop.first %}#{% endif %}{{ s }}{% endfor %}",
    ],
)
def test_structure_and_texts_that_are_written_are_no_places(harmless: str) -> None:
    assert audited(harmless) == []


@pytest.mark.parametrize(
    "secret",
    [
        # Not two writings of one value; not read back; not of a known integer; a digit; not put together as it was.
        "{% macro w(v) %}{% set t = v|tojson %}{{ t if t|float == v else 'EVIL' }}{% endmacro %}{{ w(messages[0].n) }}",
        "{% set t = messages[0].content %}{{ t|tojson if t == 'x' ~ 'y' else t ~ '' }}",
        "{% set v = messages[0].n %}{% set t = v|tojson %}{% if v is string and 'e' not in t %}a{% endif %}",
        "{% set v = messages[0].n %}{% if v is integer and '77' in v|tojson %}a{% endif %}",
        "{% set v = messages[0].n %}{% set t = messages[0].t %}{% if v is integer and 'e' in t %}a{% endif %}",
        "{% for s in messages[0].content.split('#') %}{% if not loop.first %}EVIL{% endif %}{{ s }}{% endfor %}",
        "{% for s in messages[0].content.split('#') %}{% if not loop.first %}#{% endif %}{{ s|upper }}{% endfor %}",
    ],
)
def test_what_looks_like_a_question_to_the_host_is_a_place_all_the_same(secret: str) -> None:
    assert audited(secret) != []


def test_a_decision_that_only_refuses_is_told_apart(probe: BranchProbe, requests: list[Request]) -> None:
    text = "{% if messages[0].content == 'never' ~ 'said' %}{{ raise_exception('no') }}{% endif %}x"
    (decision,) = probe.run(text, requests).audit
    assert decision.refuses
    assert not decision.hidden


def test_both_ways_seen_is_not_hidden(probe: BranchProbe, requests: list[Request]) -> None:
    (decision,) = probe.run("{{ 'a' if messages|length > 2 else 'b' }}", requests).audit
    assert sorted(decision.seen) == ["False", "True"]
    assert decision.hangs_on == ["the number of messages"]


def test_a_key_is_structure_and_a_word_in_a_text_is_not(probe: BranchProbe, requests: list[Request]) -> None:
    text = (
        "{% set m = messages[0] %}{% if 'content' in m %}a{% endif %}{% if 'zzz' in m.content %}b{% endif %}"
    )
    found = probe.run(text, requests).audit
    assert [decision.what for decision in found] == ["'zzz' in m.content"]


def test_the_notes_change_nothing_that_is_rendered(probe: BranchProbe, requests: list[Request]) -> None:
    found = probe.run(REFERENCE, requests)
    assert found.share > 0.5
    assert len(found.audit) > 30
