"""What llama.cpp's engine gives a template, what it cannot write, and how it ends what is hostile."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import SHORT

from conformance.engines import (
    Crashed,
    EngineHost,
    LimitExceeded,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    get_engine,
    llama_cpp,
)
from conformance.engines.in_process import InProcessHost
from conformance.engines.llama_cpp_wasm import read_wasm, wasm_file
from conformance.errors import UnjudgedError
from conformance.sources import catalogue

BOTH = ("llama.cpp", "llama.cpp-raw")
MISSING = get_engine("llama.cpp").available()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def hurried() -> Iterator[EngineHost]:
    with EngineHost("llama.cpp-raw", limits=SHORT) as host:
        yield host


@pytest.fixture(scope="module")
def hosts() -> dict[str, InProcessHost]:
    return {name: InProcessHost(name) for name in BOTH}


def test_the_clock_stands_at_the_moment_of_the_request(hosts: dict[str, InProcessHost]) -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M:%S %B %j') }}"
    for host in hosts.values():
        for date, day in (
            ("2024-02-29", "February 060"),
            ("1999-12-31", "December 365"),
            ("2030-01-01", "January 001"),
        ):
            request = Request([{"role": "user", "content": "x"}], None, {}, False, date)
            assert host.render(template, request) == Rendered(f"{date} {request.moment:%H:%M:%S} {day}")


def test_what_is_absent_stays_absent(
    hosts: dict[str, InProcessHost], request_of: Callable[..., Request]
) -> None:
    template = "{{ tools is defined or documents is defined }} {{ bos_token }}{{ eos_token }}"
    for host in hosts.values():
        assert host.render(template, request_of()) == Rendered("False <|startoftext|><|return|>")
        assert host.render("{{ bos_token }}", request_of(bos_token="mine")) == Rendered("mine")


def test_only_the_normaliser_changes_messages(
    hosts: dict[str, InProcessHost], request_of: Callable[..., Request]
) -> None:
    # A template that reads texts only gets the parts of a content joined.
    template = "{% for m in messages %}{{ 'text' if m['content'] is string else 'parts' }}{% endfor %}"
    request = Request(
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        None,
        {},
        False,
        "2025-06-28",
    )
    assert hosts["llama.cpp-raw"].render(template, request) == Rendered("parts")
    assert hosts["llama.cpp"].render("{{ messages[0]['content'] + '' }}", request) == Rendered("a\nb")
    bare = Request([{"role": "user", "content": ["a"]}], None, {}, False, "2025-06-28")
    assert get_engine("llama.cpp").loses(bare) == "a content part that is bare text"
    assert isinstance(hosts["llama.cpp"].render(template, bare), Crashed)
    assert get_engine("llama.cpp-raw").loses(bare) is None
    assert hosts["llama.cpp-raw"].render(template, bare) == Rendered("parts")


def test_the_first_blanks_are_trimmed_alike(
    hosts: dict[str, InProcessHost], request_of: Callable[..., Request]
) -> None:
    for template in (
        "  {% if true %}\nx{% endif %}\n",
        "\n{% if true %}x{% endif %}",
        "{%- if true %}x{% endif %} \n",
    ):
        assert len({str(host.render(template, request_of())) for host in hosts.values()}) == 1


LINES = """line 1
{% macro inner(x) %}

  {% if x == 'raise' %}{{ raise_exception('not ' ~ x) }}{% endif %}
  {{- 1 + {} }}
{% endmacro %}
{{ inner(messages[0].content) }}
"""


def test_lines_are_those_of_the_macro(
    hosts: dict[str, InProcessHost], request_of: Callable[..., Request]
) -> None:
    for host in hosts.values():
        assert host.render(LINES, request_of("raise")) == Rejected("not raise", 4)
        outcome = host.render(LINES, request_of("x"))
        assert outcome == Crashed("render", 'Unknown operator "+" between Integer and Object', 5)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a\n{% if %}\n", "Unexpected token"),
        ("{% fetch %}", "Unknown statement: fetch"),
        ("\n{{ 'abc }}", "unexpected end of input"),
        ("{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", "out of bounds|call stack exhausted"),
    ],
)
def test_syntax_problems(
    hurried: EngineHost, request_of: Callable[..., Request], template: str, message: str
) -> None:
    problem = hurried.compile_check(template)
    assert isinstance(problem, SyntaxProblem)
    assert re.search(message, problem.message)
    assert problem.line is None
    assert isinstance(hurried.render(template, request_of()), Crashed)


def test_compiling_does_not_run_the_template(hurried: EngineHost) -> None:
    assert hurried.compile_check(HOSTILE["loops"][0]) is None
    assert (
        hurried.compile_check("{% generation %}{{ x }}{% endgeneration %}{{ raise_exception('x') }}") is None
    )


HOSTILE = {
    "loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "time"),
    "range": ("{{ range(1000000000) | length }}", "time|memory"),
    "exponential": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "time",
    ),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "Trap"),
    "double": (
        "{% set ns = namespace(s='a') %}{% for i in range(50) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "memory|time",
    ),
    "flood": (
        "{% set ns = namespace(s='a') %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "output|time",
    ),
    "include": ("{% include '/etc/passwd' %}", "parser"),
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


@pytest.mark.parametrize(
    "expression", ["''.__class__.__mro__", "strftime_now.__globals__", "messages.__init__"]
)
def test_there_are_no_python_internals(
    hurried: EngineHost, request_of: Callable[..., Request], expression: str
) -> None:
    outcome = hurried.render(f"{{{{ {expression} }}}}", request_of())
    assert outcome == Rendered("") or isinstance(outcome, Crashed)


def test_memory_has_an_end(request_of: Callable[..., Request]) -> None:
    host = InProcessHost("llama.cpp-raw")
    assert host.render(HOSTILE["double"][0], request_of()) == LimitExceeded(
        "memory", "it needed more than 256 MiB of memory"
    )
    assert host.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


def request_with(argument: Any = None, default: Any = None) -> Request:
    call = {"function": {"name": "f", "arguments": {"a": [argument]}}}
    schema = {
        "type": "object",
        "properties": {"default": {"type": "number", "default": default, "minimum": 2**80}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return Request([{"role": "assistant", "tool_calls": [call]}], [tool], {}, True, "2025-06-28")


INTEGER, FLOAT = (
    "an integer outside of 64 signed bits",
    "a float that neither six digits nor six decimals hold",
)


@pytest.mark.parametrize(
    ("number", "in_arguments", "as_default"),
    [
        (2**63 - 1, None, None),
        (-(2**63), None, None),
        (2**63, INTEGER, INTEGER),
        (2**64, INTEGER, INTEGER),
        # Harmony reads it as the float 1e20, and so does llama.cpp.
        (10**20, INTEGER, None),
        (10**400, INTEGER, INTEGER),
        (1.5e300, None, None),
        (-0.0, None, None),
        (123456789.125, None, None),
        (48.858370, None, None),
        (48.85837009, FLOAT, FLOAT),
        (5e-324, FLOAT, FLOAT),
        (True, None, None),
        ("1" * 30, None, None),
    ],
)
def test_losses_of_numbers(number: Any, in_arguments: str | None, as_default: str | None) -> None:
    for name in BOTH:
        engine = get_engine(name)
        assert engine.loses(request_with(argument=number)) == in_arguments
        assert engine.loses(request_with(default=number)) == as_default


def test_an_array_without_items_breaks_openais_template(hosts: dict[str, InProcessHost]) -> None:
    if not catalogue.is_cached("openai-gpt-oss-120b"):
        pytest.skip("openai-gpt-oss-120b is not cached here; `conformance templates fetch` gets it")
    fetched = catalogue.fetch(["openai-gpt-oss-120b"], offline=True)[0].template
    assert fetched is not None
    for schema, breaks in (
        ({"type": "array", "items": {"type": "string"}}, False),
        ({"type": "array"}, True),
    ):
        parameters = {"type": "object", "properties": {"tags": schema}}
        tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}
        request = Request([{"role": "user", "content": "x"}], [tool], {}, True, "2025-06-28")
        for host in hosts.values():
            outcome = host.render(fetched.text, request)
            if breaks:
                assert outcome == Crashed("render", "Function is not a bool value", 12)
            else:
                assert isinstance(outcome, Rendered)


def test_another_file_is_not_run(tmp_path: Path) -> None:
    known = wasm_file()
    assert known is not None
    other = tmp_path / "llamacpp-jinja.wasm"
    other.write_bytes(known.read_bytes() + b"\0")
    with pytest.raises(UnjudgedError, match=r"does not know the file llamacpp-jinja.wasm .*pip install"):
        read_wasm(other)


def test_a_missing_package_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp, "wasm_file", lambda: None)
    for name in BOTH:
        assert get_engine(name).available() == (
            'the installed ggufdoctor lacks llama.cpp\'s engine: pip install "chat-template-conformance[engines]"'
        )
