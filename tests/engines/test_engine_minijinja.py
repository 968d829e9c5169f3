"""What the MiniJinja engines give a template, how their hosts differ, and how they end what is hostile."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_helpers import SHORT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.engines import (
    Crashed,
    EngineHost,
    LimitExceeded,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    get_engine,
)
from conformance.engines.in_process import InProcessHost
from conformance.engines.minijinja_values import (
    python_json,
    serde_float,
    serde_json,
    with_formatter,
    with_generation,
)

HOSTS = ("minijinja-tgi", "minijinja-mistralrs", "minijinja-dynamo")
ALL = ("minijinja", *HOSTS)
MISSING = get_engine("minijinja").available()
needs_engine = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
pytestmark = needs_engine


@pytest.fixture(scope="module")
def hurried() -> Iterator[EngineHost]:
    with EngineHost("minijinja", limits=SHORT) as host:
        yield host


@pytest.fixture(scope="module")
def hosts() -> dict[str, InProcessHost]:
    return {name: InProcessHost(name) for name in ALL}


def text(host: InProcessHost, template: str, **kwargs: Any) -> str:
    outcome = host.render(
        template, Request([{"role": "user", "content": "x"}], None, kwargs, False, "2025-06-28")
    )
    assert isinstance(outcome, Rendered), outcome
    return outcome.text


VALUE = {"a": "<é&'>", "items": [1, 1.0, 1e20, 1e-7, None, True, 2**63], "o": {}}

# What `VALUE | tojson` is in each host.
COMPACT = r'{"a":"\u003cé\u0026\u0027\u003e","items":[1,1.0,1e20,1e-7,null,true,9223372036854775808],"o":{}}'
WRITTEN = {
    "minijinja": json.dumps(VALUE, ensure_ascii=False),
    "minijinja-tgi": COMPACT,
    "minijinja-mistralrs": COMPACT,
    "minijinja-dynamo": """{"a": "<é&'>", "items": [1, 1.0, 1e20, 1e-7, null, true, 9223372036854775808], "o": {}}""",
}


@pytest.mark.parametrize("name", ALL)
def test_tojson_has_the_form_of_the_host(hosts: dict[str, InProcessHost], name: str) -> None:
    host = hosts[name]
    assert text(host, "{{ v | tojson }}", v=VALUE) == WRITTEN[name]
    escaped = r'"a\u003c"' if WRITTEN[name] == COMPACT else '"a<"'
    assert text(host, "{% filter tojson %}a<{% endfilter %}") == escaped
    assert text(host, "{{ v | tojson(indent=2) }}", v={"a": [1, 2.0], "o": {}}) == json.dumps(
        {"a": [1, 2.0], "o": {}}, indent=2
    )
    assert text(host, "{{ 'x | tojson' }} | tojson {# | tojson #}") == "x | tojson | tojson "


def test_keyword_arguments_of_tojson(hosts: dict[str, InProcessHost]) -> None:
    template = "{{ v | tojson(ensure_ascii=true, separators=(',', ':'), sort_keys=true) }}"
    assert text(hosts["minijinja"], template, v={"b": "é", "a": 1}) == r'{"a":1,"b":"\u00e9"}'
    assert text(hosts["minijinja-dynamo"], template, v={"b": 1, "a": 2}) == '{"b": 1, "a": 2}'
    outcome = hosts["minijinja-tgi"].render(template, Request([], None, {"v": 1}, False, "2025-06-28"))
    assert isinstance(outcome, Crashed)
    assert "ensure_ascii" in outcome.message


def test_blocks_are_trimmed_but_in_tgi(hosts: dict[str, InProcessHost]) -> None:
    for name, host in hosts.items():
        expected = "\n  \nx" if name == "minijinja-tgi" else "x"
        assert text(host, "{% if true %}\n  {% endif %}\nx") == expected


def test_only_tgi_hands_over_absent_tools_as_none(hosts: dict[str, InProcessHost]) -> None:
    for name, host in hosts.items():
        assert text(host, "{{ tools is defined }}") == str(name == "minijinja-tgi")
        assert text(host, "{{ documents is defined or reasoning_effort is defined }}") == "False"
        assert text(host, "{{ pad_token is defined }}") == str(name == "minijinja")
        assert text(host, "{{ bos_token }}{{ eos_token }}") == "<|startoftext|><|return|>"
        assert text(host, "{{ bos_token }}", bos_token="mine") == "mine"


@pytest.mark.parametrize(
    ("tag", "compiles"),
    [
        ("{% generation %}", ("minijinja", "minijinja-mistralrs", "minijinja-dynamo")),
        ("{%- generation -%}", ("minijinja",)),
    ],
)
def test_the_generation_tag(hosts: dict[str, InProcessHost], tag: str, compiles: tuple[str, ...]) -> None:
    template = f"a\n{tag}{{% set y = 1 %}}{{{{ messages[0].content }}}}{tag.replace('gen', 'endgen')}"
    for name, host in hosts.items():
        problem = host.compile_check(template)
        if name in compiles:
            assert problem is None
            assert text(host, template) in ("a\nx", "ax")
        else:
            assert problem == SyntaxProblem("unknown statement generation", 2)
    assert text(hosts["minijinja"], template + "{{ y is defined }}").endswith("False")


def test_length_of_nothing_is_zero_in_dynamo(hosts: dict[str, InProcessHost]) -> None:
    assert (
        text(hosts["minijinja-dynamo"], "{{ nothing | length }}{{ none | length }}{{ 'é😀' | length }}")
        == "002"
    )
    outcome = hosts["minijinja"].render("{{ none | length }}", Request([], None, {}, False, "2025-06-28"))
    assert isinstance(outcome, Crashed)


def test_values_are_maps_and_not_python_objects(hosts: dict[str, InProcessHost]) -> None:
    template = "{{ 'items' in v }}{{ v['items'] is defined }}{{ v.keys is defined }}{{ v.items() | length }}"
    for host in hosts.values():
        assert text(host, template, v={"a": 1}) == "FalseFalseFalse1"
        outcome = host.render("{{ messages.append(1) }}", Request([], None, {}, False, "2025-06-28"))
        assert outcome == Crashed("UnknownMethod", "sequence has no method named append", 1)


def test_the_clock_stands_at_the_moment_of_the_request(hosts: dict[str, InProcessHost]) -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M') }}"
    for host in hosts.values():
        for date in ("2024-02-29", "1999-12-31"):
            request = Request([], None, {}, False, date)
            assert host.render(template, request) == Rendered(f"{date} {request.moment:%H:%M}")


LINES = """line 1
{% macro outer(x) %}
  {{ inner(x) }}
{% endmacro %}
{% macro inner(x) %}

  {% if x == 'raise' %}{{ raise_exception('not ' ~ x) }}{% endif %}
  {{- x.missing.deeper }}
{% endmacro %}
{{ outer(messages[0].content) }}
"""


def test_lines_are_those_of_the_macro(hurried: EngineHost, request_of: Callable[..., Request]) -> None:
    assert hurried.render(LINES, request_of("raise")) == Rejected("not raise", 7)
    assert hurried.render(LINES, request_of("x")) == Crashed("UndefinedError", "`x.missing` is undefined", 8)
    assert hurried.render("\n{{ raise_exception('at the top') }}", request_of()) == Rejected("at the top", 2)
    # Once without the function does not mean always without it.
    assert hurried.render(LINES, request_of("raise")) == Rejected("not raise", 7)


@pytest.mark.parametrize(
    ("template", "message", "line"),
    [
        ("a\n{% if x %}\n", "unexpected end of input", 2),
        ("{% fetch %}", "unknown statement fetch", 1),
        ("\n{{ 'abc }}", "unexpected end of string", 2),
        ("{{ " + "(" * 400 + "1" + ")" * 400 + " }}", "recursion", 1),
    ],
)
def test_syntax_problems(
    hurried: EngineHost, request_of: Callable[..., Request], template: str, message: str, line: int
) -> None:
    problem = hurried.compile_check(template)
    assert isinstance(problem, SyntaxProblem)
    assert re.search(message, problem.message)
    assert problem.line == line
    assert isinstance(hurried.render(template, request_of()), Crashed)


HOSTILE = {
    "range": ("{% for i in range(10**9) %}x{% endfor %}", "InvalidOperation"),
    "loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "time"),
    "exponential": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "time",
    ),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "InvalidOperation"),
    "multiply": ("{{ 'a' * 10**10 }}", "InvalidOperation"),
    "double": (
        "{% set ns = namespace(s='a') %}{% for i in range(50) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "memory|time|worker-died",
    ),
    "flood": ("{{ 'a' * 10**6 }}", "output"),
    "mro": ("{{ ''.__class__.__mro__ }}", "UndefinedError"),
    "globals": ("{{ strftime_now.__globals__.os }}", "UndefinedError"),
    "self": ("{{ strftime_now.__self__.set('x') }}", "UndefinedError|UnknownMethod"),
    "code": ("{{ raise_exception.__code__.co_code }}", "UndefinedError"),
    "import": ("{% include '/etc/passwd' %}", "TemplateNotFound"),
    "itself": ("{% include 'chat' %}", "BadInclude|InvalidOperation|time"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template_ends_at_its_limit(
    hurried: EngineHost, request_of: Callable[..., Request], name: str
) -> None:
    template, expected = HOSTILE[name]
    outcome = hurried.render(template, request_of())
    assert isinstance(outcome, (Crashed, LimitExceeded)), outcome
    assert re.fullmatch(expected, outcome.kind if isinstance(outcome, Crashed) else outcome.limit), outcome
    assert hurried.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


def request_with(argument: Any = None, default: Any = None) -> Request:
    call = {"function": {"name": "f", "arguments": {"a": [argument]}}}
    schema = {
        "type": "object",
        "properties": {"default": {"type": "number", "default": default, "minimum": 2**80}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return Request([{"role": "assistant", "tool_calls": [call]}], [tool], {}, True, "2025-06-28")


@pytest.mark.parametrize("name", HOSTS)
def test_hosts_lose_integers_of_more_than_64_bits(name: str) -> None:
    engine = get_engine(name)
    for number in (2**64 - 1, -(2**63), 1e300, True, "1" * 40):
        assert engine.loses(request_with(number, number)) is None
    for number in (2**64, -(2**63) - 1):
        assert engine.loses(request_with(number)) == (
            "an integer outside of -9223372036854775808 to 18446744073709551615 in arguments"
        )
    # Harmony reads it as a float too, and here as the same one.
    assert engine.loses(request_with(default=2**64)) is None
    assert engine.loses(request_with(default=1025070882185690853877)) is not None
    assert engine.loses(request_with(default=10**400)) is not None


def test_minijinja_itself_keeps_128_bits(hosts: dict[str, InProcessHost]) -> None:
    engine = get_engine("minijinja")
    for number in (2**128 - 1, -(2**127)):
        assert engine.loses(request_with(number, number)) is None
        assert text(hosts["minijinja"], "{{ v | tojson }}", v=number) == str(number)
    assert engine.loses(request_with(2**128)) is not None


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**127), 2**128 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@given(json_values)
@quick
def test_any_value_survives_the_trip(hosts: dict[str, InProcessHost], value: Any) -> None:
    request = Request([{"content": value}], [{"t": value}], {"k": value}, True, "2025-06-28")
    outcome = hosts["minijinja"].render("{{ [messages[0].content, tools[0].t, k] | tojson }}", request)
    assert outcome == Rendered(json.dumps([value] * 3, ensure_ascii=False))


@given(json_values)
@quick
def test_the_forms_of_json_mean_the_same(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    assert json.loads(python_json(written)) == value
    for compact in (False, True):
        for indent in (None, 2):
            assert json.loads(serde_json(written, compact=compact, html_safe=True, indent=indent)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (0.05, "0.05"), (1e-5, "0.00001"), (1.5e-7, "1.5e-7"),
        (1e16, "1e16"), (123456789012345.0, "123456789012345.0"), (1e15, "1000000000000000.0"),
        (1.7976931348623157e308, "1.7976931348623157e308"), (5e-324, "5e-324"), (-2.75, "-2.75"),
    ],
)  # fmt: skip
def test_floats_as_serde_json_writes_them(value: float, expected: str) -> None:
    assert serde_float(value) == expected


def test_only_tags_are_rewritten() -> None:
    source = "x|tojson {# {{ a|tojson }} #}{% raw %}{{ a|tojson }}{% endraw %}{{ '|tojson' }}{{ \"it's\" | tojson }}"
    assert with_formatter(source) == source.replace("it's\" | tojson", "it's\" | tojson|__tojson")
    untouched = "{# {% generation %} #}{% raw %}{% generation %}{% endraw %}{{ '{% generation %}' }}"
    assert with_generation(untouched) == untouched
    assert with_generation("{%- generation %}\n{% endgeneration -%}") == "{%- with %}\n{% endwith -%}"


def test_a_missing_package_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from conformance.engines import minijinja

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(minijinja, "version", missing)
    for name in ALL:
        assert get_engine(name).available() == (
            'minijinja is not installed: pip install "chat-template-conformance[engines]"'
        )
