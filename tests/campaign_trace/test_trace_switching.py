"""Which decision would have made the text right: each planted mistake lies in another line than the one that wrote."""

from __future__ import annotations

import pytest

from conformance.campaign.judge import Judge
from conformance.campaign.locate import mended
from conformance.conversation import Case, Conversation, Options, User
from conformance.engines.base import Rejected, Rendered, Request
from conformance.engines.in_process import InProcessHost
from conformance.oracles.profile import profile
from conformance.report.model import Origin
from conformance.resources import resource
from conformance.template.origin import OriginTracer
from conformance.template.provenance import Jinja2Provenance, Switch, switched

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
REQUEST = Request([{"role": "user", "content": "hello"}], None, {}, False, "2025-06-28")

# Each writes "no" (or what is given last) where "yes" is right; the mistake is in the lines named.
PLANTED = {
    "condition": ("{% set a = messages|length > 1 %}\n{% if a %}yes{% else %}no{% endif %}", [2, 1], "no"),
    "number": ("{% set n = 2 %}\n{% set m = n + 1 %}\n{% if m == 2 %}yes{% else %}no{% endif %}", [3, 2, 1], "no"),
    "written twice": (
        "{% macro a(x) %}{{ x }}{% endmacro -%}\n{{- a('yes') -}}\n{{- a('yes') -}}", [3, 1, 2], "yesyes",
    ),
    "backwards": ("{% for x in ['s', 'e', 'y'] %}\n{{- x -}}\n{% endfor %}", [1], "sey"),
    "inline if": ("{% set x = 'no' if true else 'yes' %}\n\n{{- x -}}", [1], "no"),
    "one turn": ("{% for x in 'yesno' %}\n{%- if x in 'yeso' %}{{ x }}{% endif -%}\n{% endfor %}", [2], "yeso"),
}  # fmt: skip


@pytest.fixture(scope="module", name="noted")
def _noted() -> InProcessHost:
    return InProcessHost(Jinja2Provenance)


@pytest.mark.parametrize("name", PLANTED)
def test_the_lines_that_decide_are_named(noted: InProcessHost, name: str) -> None:
    template, lines, written = PLANTED[name]
    text = InProcessHost("jinja2").render(template, REQUEST)
    assert isinstance(text, Rendered)
    at = text.text.index(written)
    _, origin = OriginTracer(noted, template).origin(
        REQUEST, text.text, at, "yes", text.text[at:], lambda other: other.strip() == "yes"
    )
    assert origin is not None
    assert origin.decisive == lines


def test_nothing_is_named_where_no_decision_helps(noted: InProcessHost) -> None:
    _, origin = OriginTracer(noted, "{{ 'no' }}").origin(REQUEST, "no", 0, "yes", "no", lambda t: t == "yes")
    assert origin == Origin()


def test_a_failure_names_the_decision_that_led_to_it(noted: InProcessHost) -> None:
    template = "{% set wrong = true %}\n{% if wrong %}\n{{ raise_exception('x') }}{% else %}yes{% endif %}"
    assert isinstance(InProcessHost("jinja2").render(template, REQUEST), Rejected)
    assert OriginTracer(noted, template).failure(REQUEST, "yes".__eq__) == Origin(decisive=[2, 1])
    assert OriginTracer(noted, template).failure(REQUEST, "no".__eq__) is None


def test_a_switch_is_seen_by_no_template_and_changes_one_place(noted: InProcessHost) -> None:
    template = "{{ _conformance_switch is defined }}{% if true %}a{% endif %}"
    asked = switched(REQUEST, Switch(1))
    assert noted.render(template, asked) == Rendered("False")
    assert "_conformance_switch" not in REQUEST.kwargs


def test_mended_is_a_text_without_the_finding_and_without_another() -> None:
    judge = Judge(profile("harmony"))
    case = Case(Conversation((User("x"), User("y"))), Options())
    answer = judge.ask(case)
    right = answer.rendering.text
    wrong = right.replace("user<|message|>x", "User<|message|>x")
    judgement = judge.judge(answer, Rendered(wrong), confirm=False)
    (found,) = judgement.found
    told = mended(judge, answer, judgement, found)
    assert told(right)
    assert not told(wrong)
    assert not told(right.replace("y<|end|>", "y"))
    both = wrong.replace("y<|end|>", "y")
    judgement = judge.judge(answer, Rendered(both), confirm=False)
    header = next(each for each in judgement.found if each.rule == "role-header")
    assert mended(judge, answer, judgement, header)(right.replace("y<|end|>", "y"))
