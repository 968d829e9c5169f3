"""Branches of planted templates: which exist, and which are said never to have run."""

import time
from collections.abc import Iterator

import pytest

from conformance.engines import engine_names
from conformance.engines.base import Request
from conformance.errors import UnjudgedError, UsageError
from conformance.generate import case_at
from conformance.report.model import Branch
from conformance.shapes import draw, shapes
from conformance.sources import catalogue
from conformance.template.branches import BranchProbe, branches


def request(*messages: tuple[str, str], **kwargs: object) -> Request:
    listed = [{"role": role, "content": content} for role, content in messages or (("user", "hello"),)]
    return Request(listed, None, kwargs, False, "2025-06-28")


@pytest.fixture(scope="module", name="probe")
def _probe() -> Iterator[BranchProbe]:
    with BranchProbe("jinja2") as probe:
        yield probe


def never_run(probe: BranchProbe, template: str, *requests: Request) -> list[tuple[int, str]]:
    return [(branch.line, branch.what) for branch in probe.run(template, requests or [request()]).never_run]


def test_every_kind_of_branch_has_a_line_and_a_description() -> None:
    template = (
        "{%- macro m(x) -%}\n  {{- x }}\n{%- endmacro -%}\n"
        "{%- for a in b -%}\n  text {{ a }}\n{%- else -%}\n  none\n{%- endfor -%}\n"
        "{% if q == 'r' %}1{% elif s %}\n2{% else %}3{% endif %}{% if t %}4{% endif %}{% if 1 %}{% endif %}\n"
        "\n{{ 'u' if v.w[0]|length > 1 else 'w' }}{{ 'x' if y is defined and not z(1) }}"
    )
    assert [(point.line, point.what) for point in branches(template)] == [
        (1, "macro m(x)"),
        (2, "{{- x }}"),
        (4, "for a in b"),
        (5, "text"),
        (4, "else of for a in b"),
        (7, "none"),
        (9, "if q == 'r'"),
        (9, "1"),
        (9, "elif s"),
        (10, "2"),
        (9, "else of elif s"),
        (10, "3"),
        (10, "if t"),
        (10, "4"),
        (10, "false: if t"),
        (10, "if 1"),
        (10, "false: if 1"),
        (12, "{{ 'u' if v.w[0]|length > 1 else 'w' }}"),
        (12, "inline if v.w[0]|length > 1"),
        (12, "else of inline if v.w[0]|length > 1"),
        (12, "inline if y is defined and not z(1)"),
        (12, "else of inline if y is defined and not z(1)"),
        (12, "true: y is defined"),
        (12, "false: y is defined"),
        (12, "true: z(1)"),
        (12, "false: z(1)"),
    ]


# Template, and what never runs for one user message "hello".
PLANTED = {
    "an if that is false": ("{% if messages[1] %}\nx{% endif %}", [(1, "if messages[1]")]),
    "an if that is never false": ("a\n{% if messages %}x{% endif %}", [(2, "false: if messages")]),
    "an else": ("{% if messages %}x{% else %}y{% endif %}", [(1, "else of if messages")]),
    "an elif and its else": (
        "{% if messages %}x\n{% elif b %}y{% else %}z{% endif %}",
        [(2, "elif b"), (2, "else of elif b")],
    ),
    "a loop": ("{% for m in nothing %}\n{{ m }}{% endfor %}", [(1, "for m in nothing")]),
    "a loop's else": ("{% for m in messages %}x{% else %}y{% endfor %}", [(1, "else of for m in messages")]),
    "a macro that is not called": (
        "{% macro a() %}x\n{% if y %}z{% endif %}{% endmacro %}",
        [(1, "macro a()")],
    ),
    "a macro in a macro": (
        "{% macro a() %}{% macro b() %}x{% endmacro %}y{% endmacro %}{{ a() }}",
        [(1, "macro b()")],
    ),
    "what follows a break": (
        "{% for m in messages %}\n{% break %}\n{{ 'x' }}{% endfor %}",
        [(3, "{{ 'x' }}")],
    ),
    "the arm of an inline if": (
        "{% set x = 'a' if messages else 'b' %}",
        [(1, "else of inline if messages")],
    ),
    "an inline if without else": ("{{ 'a' if nothing }}", [(1, "inline if nothing")]),
    "a call block": (
        "{% macro a() %}x{% if b %}{{ caller() }}{% endif %}{% endmacro %}\n{% call a() %}\ny{% endcall %}",
        [(1, "if b"), (3, "y")],
    ),
    "a set block": ("{% set x %}{% if y %}z{% endif %}{% endset %}", [(1, "if y")]),
    "an operand that is always true": (
        "{% for m in messages %}{% if m and m.content == 'hello' %}x{% else %}y{% endif %}{% endfor %}",
        [(1, "else of if m and m.content == 'hello'")],
    ),
    "an operand that is never asked": (
        "{% for n in [1, 2] %}{% if n == 1 or messages or unasked %}x{% else %}y{% endif %}{% endfor %}",
        [(1, "else of if n == 1 or messages or unasked")],
    ),
    "operands of a condition that went both ways": (
        "{% for n in [1, 2] %}{{ n == 1 and messages and 'x' or '' }}{% endfor %}",
        [(1, "false: messages")],
    ),
    "nothing": ("{% for m in messages %}{{ m.content }}{% endfor %}", []),
    "plain text": ("a\nb", []),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_branches_are_listed(probe: BranchProbe, name: str) -> None:
    template, expected = PLANTED[name]
    assert never_run(probe, template) == expected


def test_the_share_counts_what_lies_inside_too(probe: BranchProbe) -> None:
    result = probe.run("{% if a %}{% if b %}x{% endif %}{% endif %}", [request()])
    assert result.share == pytest.approx(1 / 5)
    assert result.never_run == [Branch(line=1, what="if a")]
    assert probe.run("", [request()]).share == 1


def test_hits_before_a_crash_count(probe: BranchProbe) -> None:
    template = "{% if messages %}\n{{ raise_exception('no') }}\n{% endif %}\n{{ 'x' }}"
    assert never_run(probe, template) == [(1, "false: if messages"), (4, "{{ 'x' }}")]
    assert never_run(probe, "{% if messages %}{{ 1 + 'a' }}{% endif %}") == [(1, "false: if messages")]


def test_conditions_keep_their_meaning(probe: BranchProbe) -> None:
    template = (
        "{% set x = ('a' if messages[7] is defined else 'b') if messages else 'c' %}"
        "{% if x == 'b' %}{% if (x if nothing) is undefined %}yes{% else %}no{% endif %}{% else %}no{% endif %}"
    )
    assert {what for _, what in never_run(probe, template)} == {
        "inline if messages[7] is defined",
        "else of inline if messages",
        "else of if x == 'b'",
        "inline if nothing",
        "else of if (x if nothing) is undefined",
    }


def test_a_word_and_a_ninth_message_are_reached_or_listed(probe: BranchProbe) -> None:
    template = (
        "{% for m in messages %}\n{% if 'zanzibar' in m.content %}Z{% endif %}\n"
        "{% if loop.index > 8 %}9{% endif %}\n{% endfor %}"
    )
    short, long = [("user", "hi")], [("user", "hi")] * 9
    word, ninth = (2, "if 'zanzibar' in m.content"), (3, "if loop.index > 8")
    assert never_run(probe, template, request(*short)) == [word, ninth]
    assert never_run(probe, template, request(*long)) == [word]
    assert never_run(probe, template, request(*long, ("user", "to zanzibar"))) == []


def test_it_stops_when_every_branch_has_run(probe: BranchProbe) -> None:
    result = probe.run("{{ 'x' if messages[0].content == 'a' }}", [request(("user", c)) for c in "ab" * 500])
    assert (result.share, result.cases) == (1, 2)


def test_templates_that_do_not_compile(probe: BranchProbe) -> None:
    assert branches("{% if x %}") == []
    deep = "{% for a in b %}" * 30 + "{% endfor %}" * 30  # Jinja parses it, Python does not compile it
    with pytest.raises(UnjudgedError, match="could not be counted"):
        probe.run(deep, [request()])


def test_only_two_engines_can_tell_and_users_do_not_see_them() -> None:
    with pytest.raises(UsageError, match="transformers or jinja2"):
        BranchProbe("minijinja")
    assert not [name for name in engine_names() if "branches" in name]


def test_transformers_preprocessing_holds() -> None:
    # transformers drops keys whose value is None; plain Jinja2 does not.
    template = "{% if 'content' in messages[0] %}x{% endif %}"
    asked = Request([{"role": "assistant", "content": None}], None, {}, False, "2025-06-28")
    with BranchProbe("transformers") as transformers, BranchProbe("jinja2") as jinja2:
        transformers.start()
        assert never_run(transformers, template, asked) == [(1, "if 'content' in messages[0]")]
        assert never_run(jinja2, template, asked) == [(1, "false: if 'content' in messages[0]")]
        if not catalogue.is_cached("openai-gpt-oss-120b"):
            pytest.skip("openai's template is not cached: conformance templates fetch")
        (fetched,) = catalogue.fetch(["openai-gpt-oss-120b"], offline=True)
        assert fetched.template is not None
        choices = shapes()
        drawn = [(case_at(0, index), draw(choices, index)) for index in range(300)]
        requests = [shape.request(case) for case, shape in drawn if shape.loses(case) is None]
        start = time.perf_counter()
        result = transformers.run(fetched.template.text, requests)
        assert time.perf_counter() - start < 5  # a tenth of that on a quiet machine
        assert 0.9 < result.share < 1
        assert Branch(line=318, what="if last_tool_call.name is none") in result.never_run
