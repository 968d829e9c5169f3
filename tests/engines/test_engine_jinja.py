"""What the two Jinja2 engines give a template, and how they report its errors."""

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.engines import (
    Crashed,
    Engine,
    EngineHost,
    LimitExceeded,
    Limits,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    engine_names,
    get_engine,
    register,
)
from conformance.engines.in_process import InProcessHost
from conformance.errors import UsageError

# Shows everything that a template can ask of its caller.
EVERYTHING = """
{%- for m in messages %}{{ m | tojson }}{{ '\n' }}{% endfor %}
{{- tools | tojson }}{{ documents }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ pad_token }}
{%- for x in [unk_token, sep_token, mask_token, extra, tokenize, model] %}{{ x is defined }}{% endfor %}
{{- reasoning_effort }}{{ builtin_tools | tojson }}{% generation %} kept {% endgeneration %}
  {%- for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
"""

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "<é&'>", "parameters": {"type": "object"}},
}

CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "be ✓"},
    {"role": "user", "content": None},
    {
        "role": "assistant",
        "content": None,
        "thinking": "hm",
        "tool_calls": [{"id": None, "function": {"x": None}}],
    },
    {"role": "assistant", "reasoning_content": "so", "tool_calls": None},
    {"role": "assistant", "reasoning": "and", "content": ""},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")),
        bos_token="<|startoftext|>",
        eos_token="<|return|>",
        pad_token="<|endoftext|>",
    )


@pytest.mark.parametrize(
    ("tools", "kwargs", "prompt"),
    [
        (None, {}, False),
        ([TOOL], {"reasoning_effort": "high", "builtin_tools": ["browser"]}, True),
        ([], {"bos_token": "mine", "extra": 1.5}, True),
    ],
)
def test_transformers_equals_a_real_tokenizer(
    transformers: EngineHost, tokenizer: Any, tools: list[Any] | None, kwargs: dict[str, Any], prompt: bool
) -> None:
    template = EVERYTHING.replace("{{ builtin_tools | tojson }}", "{{ (builtin_tools or 0) | tojson }}")
    expected = tokenizer.apply_chat_template(
        CONVERSATION,
        tools=tools,
        chat_template=template,
        add_generation_prompt=prompt,
        tokenize=False,
        **kwargs,
    )
    outcome = transformers.render(template, Request(CONVERSATION, tools, kwargs, prompt, "2025-06-28"))
    assert outcome == Rendered(expected)


def test_continue_final_message_reaches_transformers(transformers: EngineHost, tokenizer: Any) -> None:
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    options = {"continue_final_message": True}
    expected = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)
    outcome = transformers.render(template, Request(messages, None, options, False, "2025-06-28"))
    assert outcome == Rendered(expected) == Rendered("<user>a<end><assistant>b")


def test_only_transformers_rewrites_messages(transformers: EngineHost, plain: EngineHost) -> None:
    template = "{% for m in messages %}{{ m | tojson }};{% endfor %}"
    messages = [{"role": "assistant", "content": None, "reasoning_content": "so"}]
    request = Request(messages, None, {}, False, "2025-06-28")
    assert plain.render(template, request) == Rendered(json.dumps(messages[0]) + ";")
    rewritten = {"thinking": "so", "role": "assistant", "reasoning_content": "so"}
    assert transformers.render(template, request) == Rendered(json.dumps(rewritten) + ";")


def test_an_empty_conversation_is_refused_by_transformers_only(
    transformers: EngineHost, plain: EngineHost
) -> None:
    request = Request([], None, {}, False, "2025-06-28")
    assert plain.render("x", request) == Rendered("x")
    outcome = transformers.render("x", request)
    assert isinstance(outcome, Crashed)
    assert (outcome.kind, outcome.line) == ("ValueError", None)


def test_the_clock_stands_at_the_moment_of_the_request(
    host: EngineHost, request_of: Callable[..., Request]
) -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M:%S %B %d %j%Z') }}"
    dates = ["2024-02-29", "1999-12-31", "2024-02-29", "2030-01-01"]
    outcomes = list(host.render_many(template, [request_of(date=date) for date in dates]))
    time = f"{request_of().moment:%H:%M:%S}"
    assert time != "12:00:00"
    assert outcomes == [
        Rendered(f"2024-02-29 {time} February 29 060"),
        Rendered(f"1999-12-31 {time} December 31 365"),
        Rendered(f"2024-02-29 {time} February 29 060"),
        Rendered(f"2030-01-01 {time} January 01 001"),
    ]


@pytest.mark.parametrize("name", ["strftime_now", "raise_exception"])
def test_a_helper_is_printed_as_transformers_has_it(
    host: EngineHost, request_of: Callable[..., Request], name: str
) -> None:
    outcome = host.render(f"{{{{ {name} }}}}", request_of())
    assert isinstance(outcome, Rendered)
    assert re.fullmatch(rf"<function _\w*compile_jinja_template\.<locals>\.{name} at 0x\w+>", outcome.text)


def test_more_templates_than_the_cache_holds(host: EngineHost, request_of: Callable[..., Request]) -> None:
    templates = [f"{number} {{{{ strftime_now('%d') }}}}" for number in range(140)]
    for template in [*templates, templates[0]]:
        assert host.render(template, request_of()) == Rendered(template[:-25].strip() + " 28")


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


def test_lines_are_those_of_the_macro(host: EngineHost, request_of: Callable[..., Request]) -> None:
    assert host.render(LINES, request_of("raise")) == Rejected("not raise", 7)
    outcome = host.render(LINES, request_of("x"))
    assert isinstance(outcome, Crashed)
    assert (outcome.kind, outcome.line) == ("UndefinedError", 8)
    assert host.render("a\n\n{{ 1 / 0 }}", request_of()) == Crashed(
        "ZeroDivisionError", "division by zero", 3
    )


@pytest.mark.parametrize(
    "argument", ["none", "missing", "[1, {'a': none}]", "'x' * 9000", "'\\ud800'", "namespace()"]
)
def test_odd_rejections(host: EngineHost, request_of: Callable[..., Request], argument: str) -> None:
    outcome = host.render(f"{{{{ raise_exception({argument}) }}}}", request_of())
    assert isinstance(outcome, Rejected)
    assert outcome.line == 1
    assert len(outcome.message) <= 2000


def test_text_that_no_tokenizer_takes(host: EngineHost, request_of: Callable[..., Request]) -> None:
    outcome = host.render("{{ '\\ud800' }}", request_of())
    assert isinstance(outcome, Crashed)
    assert outcome.kind == "UnicodeEncodeError"


@pytest.mark.parametrize(
    ("template", "message", "line"),
    [
        ("a\n{% if x %}\n", "Unexpected end of template", 2),
        ("a\n\n{{ x | nothing }}", "No filter named 'nothing'", 3),
        ("{% fetch %}", "unknown tag 'fetch'", 1),
        ("{{ " + "(" * 400 + "1" + ")" * 400 + " }}", "RecursionError|parenthes|nested", None),
    ],
)
def test_syntax_problems(
    host: EngineHost, request_of: Callable[..., Request], template: str, message: str, line: int | None
) -> None:
    problem = host.compile_check(template)
    assert isinstance(problem, SyntaxProblem)
    assert re.search(message, problem.message), problem
    assert problem.line == line
    outcome = host.render(template, request_of())
    assert isinstance(outcome, Crashed)
    assert outcome.line == line
    assert host.compile_check("{% generation %}{{ x }}{% endgeneration %}") is None


def test_no_information_escapes(host: EngineHost, request_of: Callable[..., Request]) -> None:
    for expression in (
        "''.__class__",
        "'{0.__class__}'.format(1)",
        "messages.__init__",
        "joiner.__globals__",
    ):
        outcome = host.render(f"{{{{ {expression} }}}}", request_of())
        assert outcome == Rendered("") or (isinstance(outcome, Crashed) and outcome.kind == "SecurityError")


NUMBERS: list[Any] = [
    *(
        2**53 + 1,
        2**63,
        2**64,
        2**70,
        -(2**70),
        10**40,
        0,
        -0.0,
        0.1,
        1e16,
        1e20,
        1e-7,
        5e-324,
        1.7976931348623157e308,
    ),
    *(True, False, None),
]


def test_numbers_survive_exactly(host: EngineHost) -> None:
    template = "{{ messages[0].n | tojson }}"
    outcome = host.render(template, Request([{"role": "user", "n": NUMBERS}], None, {}, False, "2025-06-28"))
    assert outcome == Rendered(json.dumps(NUMBERS))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(values, min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_any_value_survives_the_trip(plain: EngineHost, drawn: list[Any]) -> None:
    requests = [
        Request([{"content": value}], [{"t": value}], {"k": value}, True, "2025-06-28") for value in drawn
    ]
    outcomes = plain.render_many("{{ [messages[0].content, tools[0].t, k] | tojson }}", requests)
    for value, outcome in zip(drawn, outcomes, strict=True):
        assert outcome == Rendered(json.dumps([value] * 3, ensure_ascii=False))


def test_a_lone_surrogate_is_the_callers_mistake(
    plain: EngineHost, request_of: Callable[..., Request]
) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        plain.submit("x", [request_of("fine"), request_of("\ud800")])
    assert plain.render("x", request_of()) == Rendered("x")


@pytest.mark.parametrize("engine", ["transformers", "jinja2"])
def test_in_process_host_agrees(
    engine: str, request: pytest.FixtureRequest, request_of: Callable[..., Request]
) -> None:
    worker: EngineHost = request.getfixturevalue("transformers" if engine == "transformers" else "plain")
    with InProcessHost(engine, limits=Limits(output_chars=10)) as host:
        assert host.version() == worker.version()
        for template in (
            "{{ messages[0].content }}",
            "{{ raise_exception('x') }}",
            "{{ 1/0 }}",
            "{{",
            "{{ '\\ud800' }}",
        ):
            assert host.compile_check(template) == worker.compile_check(template)
            assert host.render(template, request_of()) == worker.render(template, request_of())
        assert host.collect(host.submit("x", [request_of()] * 2)) == list(
            host.render_many("x", [request_of()] * 2)
        )
        assert isinstance(host.render("{{ 'a' * 11 }}", request_of()), LimitExceeded)


def test_registry() -> None:
    assert {"transformers", "jinja2"} <= set(engine_names())
    assert math.prod(int(part) for part in get_engine("jinja2").version().split(".")) > 0
    assert get_engine("transformers").available() is None
    with pytest.raises(UsageError, match="There is no engine 'jinja3'; choose from"):
        get_engine("jinja3")


def test_registration_is_validated() -> None:
    class Nameless(Engine): ...

    class Lazy(Engine):
        name = "lazy"

    with pytest.raises(TypeError, match="has no name"):
        register(Nameless)
    with pytest.raises(TypeError, match="engine lazy does not define version"):
        register(Lazy)
    with pytest.raises(ValueError, match="registered twice"):
        register(type("Other", (type(get_engine("jinja2")),), {}))


@pytest.mark.parametrize("field", ["time_s", "memory_bytes", "output_chars"])
def test_limits_are_positive(field: str) -> None:
    with pytest.raises(UsageError, match=f"{field} must be greater than 0"):
        Limits(**{field: 0})
