"""What the engine huggingface-js gives a template, what it cannot carry, and how it ends what is hostile."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.engines import (
    Crashed,
    EngineHost,
    LimitExceeded,
    Limits,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
    get_engine,
    huggingface_js,
)
from conformance.engines.in_process import InProcessHost
from conformance.engines.npm_package import FOLDER_VARIABLE
from conformance.errors import UnjudgedError
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import draw, shapes
from conformance.sources import catalogue

NAME, OLD = "huggingface-js", "huggingface-js-0.5.5"
ENGINE = get_engine(NAME)
MISSING = ENGINE.available()
needs_engine = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def js() -> Iterator[EngineHost]:
    if MISSING is not None:
        pytest.skip(MISSING)
    with EngineHost(NAME) as host:
        yield host


@pytest.fixture(scope="module")
def hurried() -> Iterator[EngineHost]:
    if MISSING is not None:
        pytest.skip(MISSING)
    with EngineHost(NAME, limits=Limits(time_s=0.4, grace_s=0.4)) as host:
        yield host


# What a template sees


def test_a_template_sees_what_transformers_js_gives_it(js: EngineHost) -> None:
    template = (
        "{{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ bos_token }} {{ eos_token }} "
        "{{ pad_token }} {{ model_identity is defined }} {{ reasoning_effort }} {{ messages | tojson }}"
    )
    messages = [{"role": "user", "content": None}, {"role": "assistant", "content": "a\u2028\n\x7f🎉"}]
    request = Request(messages, None, {"reasoning_effort": "low", "pad_token": "mine"}, True, "2025-06-28")
    assert js.render(template, request) == Rendered(
        "true true true <|startoftext|> <|return|> mine false low "
        '[{"role": "user", "content": null}, {"role": "assistant", "content": "a\u2028\\n\x7f🎉"}]'
    )


@pytest.mark.parametrize("date", ["2025-06-28", "1999-12-31", "2024-02-29"])
def test_the_clock_stands_at_the_moment_of_the_request(
    js: EngineHost, request_of: Callable[..., Request], date: str
) -> None:
    request = request_of(date=date)
    outcome = js.render("{{ strftime_now('%Y-%m-%d %H:%M') }}", request)
    assert outcome == Rendered(f"{date} {request.moment:%H:%M}")


def test_month_names_are_english(js: EngineHost, request_of: Callable[..., Request]) -> None:
    outcome = js.render("{{ strftime_now('%d %B %b') }}", request_of(date="2025-03-09"))
    assert outcome == Rendered("09 March Mar")


def test_refusals_are_told_from_errors(js: EngineHost, request_of: Callable[..., Request]) -> None:
    assert js.render("{{ raise_exception('no: ' ~ eos_token) }}", request_of()) == Rejected(
        "no: <|return|>", None
    )
    assert js.render("{% macro f() %}{{ raise_exception('in') }}{% endmacro %}{{ f() }}", request_of()) == (
        Rejected("in", None)
    )
    assert js.render("{{ 1 + none }}", request_of()) == Crashed(
        "Error", "Cannot perform operation on null values", None
    )
    assert js.render("{{ 'a' | nofilter }}", request_of()) == Crashed(
        "Error", "Unknown StringValue filter: nofilter", None
    )
    # What the template makes of the function is not a refusal.
    assert isinstance(js.render("{{ raise_exception | length }}", request_of()), Crashed)


def test_templates_that_do_not_parse(js: EngineHost, request_of: Callable[..., Request]) -> None:
    assert js.compile_check("{{ 1 }}") is None
    assert js.compile_check("{% if %}") == SyntaxProblem("Unexpected token: CloseStatement", None)
    nested = js.compile_check("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}")
    assert nested == SyntaxProblem("RangeError: Maximum call stack size exceeded", None)
    assert js.render("{% if %}", request_of()) == Crashed(
        "SyntaxError", "Unexpected token: CloseStatement", None
    )


def test_half_of_a_surrogate_pair_is_a_crash(js: EngineHost, request_of: Callable[..., Request]) -> None:
    outcome = js.render("{{ messages[0].content[0] }}", request_of("🎉"))
    assert isinstance(outcome, Crashed)
    assert outcome.kind == "UnicodeEncodeError"


# What JavaScript cannot carry


def with_arguments(arguments: object) -> Request:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    return Request([{"role": "assistant", "tool_calls": [call]}], None, {}, False, "2025-06-28")


def with_schema(schema: object, *, bare: bool = False) -> Request:
    function = {"name": "f", "description": "", "parameters": schema}
    tool = function if bare else {"type": "function", "function": function}
    return Request([], [tool], {}, False, "2025-06-28")


def with_default(default: object) -> Request:
    return with_schema({"type": "object", "properties": {"a": {"type": "number", "default": default}}})


FLOAT, INTEGER, KEYS = "float without a fraction", r"integer over 2\*\*53", "whole numbers as keys"
LOST: list[tuple[object, str | None, str | None]] = [
    # value, what is lost of it as an argument, and as a default
    (1, None, None),
    (0.5, None, None),
    (1e-7, None, None),
    (5e-324, None, None),
    (True, None, None),
    (1.0, FLOAT, FLOAT),
    (-0.0, FLOAT, FLOAT),
    (1e20, FLOAT, None),
    (1e21, None, None),
    (1.5e300, None, None),
    (-(2.0**63), FLOAT, None),
    (2.0**63, FLOAT, FLOAT),
    (2**53, None, None),
    (2**53 + 1, INTEGER, INTEGER),
    (-(2**53) - 1, INTEGER, INTEGER),
    (2**60, INTEGER, INTEGER),  # printed as 1152921504606847000
    (10**20, None, None),
    (10**20 + 1, INTEGER, None),
    (10**21, INTEGER, None),
    (2**64 - 1, INTEGER, INTEGER),
    (2**64, INTEGER, None),
    (10**400, INTEGER, INTEGER),
    ({"b": 1, "a": 2}, None, None),
    ({"1": 1, "2": 2, "b": 3}, None, None),
    ({"2": 1, "1": 2}, KEYS, KEYS),
    ({"b": 1, "1": 2}, KEYS, KEYS),
    ({"b": 1, "01": 2, "4294967295": 3, "-1": 4, "1.0": 5}, None, None),
    ({"a": [{"b": 2.0}]}, FLOAT, FLOAT),
    ("1.0", None, None),
    ('{"2": 1.0, "1": 9007199254740993}', None, None),
    (None, None, None),
]


@pytest.mark.parametrize(("value", "argument", "default"), LOST, ids=[repr(row[0])[:30] for row in LOST])
def test_losses_of_values(value: object, argument: str | None, default: str | None) -> None:
    arguments = value if isinstance(value, str) else {"x": value}
    for request, expected in ((with_arguments(arguments), argument), (with_default(value), default)):
        lost = ENGINE.loses(request)
        assert lost is None if expected is None else lost is not None and re.search(expected, lost), lost


@pytest.mark.parametrize(
    ("schema", "lost"),
    [
        (None, False),
        ({"type": "object", "properties": {"b": {}, "1": {}}}, True),
        ({"type": "array", "items": {"type": "object", "properties": {"b": {}, "1": {}}}}, True),
        ({"oneOf": [{"type": "string"}, {"type": "number", "default": 1.0}]}, True),
        ({"type": "object", "properties": {"a": {"type": "object", "default": {"k": 1.0}}}}, True),
        # Harmony prints none of these.
        ({"type": "object", "default": 1.0}, False),
        ({"type": "object", "properties": {"a": {"type": "number", "enum": [1.0], "minimum": 1.0}}}, False),
        ({"type": "object", "properties": {"a": {"type": "number", "examples": [1.0, 2**60]}}}, False),
        ({"type": "array", "items": {"type": "number", "default": 1.0}}, False),
        ({"type": "string", "properties": {"b": {}, "1": {}}}, False),
        ({"properties": 1, "oneOf": 2, "items": 3, "type": "object"}, False),
    ],
)
def test_losses_of_schemas(schema: object, lost: bool) -> None:
    for bare in (False, True):
        assert (ENGINE.loses(with_schema(schema, bare=bare)) is not None) == lost


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 1),
        (-0.0, 0),
        (1e20, 10**20),
        (2**53 + 1, 2**53),
        (2**60, 2**60 + 1),
        (10**21, 1e21),
        ({"2": 0, "1": 0}, {"1": 0, "2": 0}),
        ({"b": 0, "7": 0}, {"7": 0, "b": 0}),
    ],
)
def test_what_is_lost_reaches_no_template(js: EngineHost, one: object, other: object) -> None:
    template = "{{ messages | tojson }}{{ messages[0].tool_calls[0].function.arguments.x is integer }}"
    first, second = (with_arguments({"x": value}) for value in (one, other))
    assert ENGINE.loses(first) is not None
    assert js.render(template, first) == js.render(template, second)


def test_keys_that_only_look_like_numbers_keep_their_places(js: EngineHost) -> None:
    request = with_arguments({"b": 1, "01": 2, "4294967295": 3, "-1": 4, "__proto__": 5})
    outcome = js.render("{{ messages[0].tool_calls[0].function.arguments | tojson }}", request)
    assert outcome == Rendered('{"b": 1, "01": 2, "4294967295": 3, "-1": 4, "__proto__": 5}')


@pytest.mark.parametrize("name", [NAME, OLD])
def test_the_reference_template_is_right_wherever_nothing_is_lost(name: str) -> None:
    if (missing := get_engine(name).available()) is not None:
        pytest.skip(missing)
    source = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    oracle, choices = HarmonyOracle(), shapes()
    requests, expected, lost = [], [], 0
    for index in range(400):
        case, shape = case_at(11, index), draw(choices, index)
        if shape.loses(case):
            continue
        request = shape.request(case)
        if ENGINE.loses(request):
            lost += 1
            continue
        requests.append(request)
        expected.append(Rendered(oracle.render(case).text))
    assert 0 < lost < len(requests)
    with EngineHost(name) as host:
        assert list(host.render_many(source, requests)) == expected


def test_the_old_package_lacks_what_the_new_one_has(
    js: EngineHost, request_of: Callable[..., Request]
) -> None:
    if (missing := get_engine(OLD).available()) is not None:
        pytest.skip(missing)
    with EngineHost(OLD) as old:
        for template, reason in (
            ("{{ messages is sequence }}", "Unknown test: sequence"),
            ("{{ 1|string }}", "Unknown NumericValue filter: string"),
        ):
            assert isinstance(js.render(template, request_of()), Rendered)
            assert old.render(template, request_of()) == Crashed("Error", reason, None)


# A real template


def test_a_parameter_named_items_breaks_openais_template(js: EngineHost) -> None:
    if not catalogue.is_cached("openai-gpt-oss-120b"):
        pytest.skip("openai-gpt-oss-120b is not cached here; `conformance templates fetch` gets it")
    fetched = catalogue.fetch(["openai-gpt-oss-120b"], offline=True)[0].template
    assert fetched is not None
    jinja2 = InProcessHost("jinja2")
    for name, breaks in (("item", False), ("items", True)):
        request = with_schema({"type": "object", "properties": {name: {"type": "string"}}})
        request.messages.append({"role": "user", "content": "x"})
        assert isinstance(jinja2.render(fetched.text, request), Rendered)
        outcome = js.render(fetched.text, request)
        if breaks:
            assert outcome == Crashed(
                "Error", "Cannot call something that is not a function: got ObjectValue", None
            )
        else:
            assert isinstance(outcome, Rendered)


# Hostile templates

HOSTILE: dict[str, tuple[str, str]] = {
    "range": ("{% for i in range(10**9) %}x{% endfor %}", "time|memory"),
    "loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "time"),
    "exponential": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "time",
    ),
    # The package takes the overflow of the stack for an undefined variable.
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "Error|RangeError"),
    "nesting": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "RangeError"),
    "double": (
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "RangeError",
    ),
    "list": (
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "time|memory|RangeError",
    ),
    "flood": (
        "{% set ns = namespace(s='a') %}{% for i in range(23) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "output",
    ),
    "large flood": (
        "{% set ns = namespace(s='a') %}{% for i in range(28) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "output",
    ),
    "constructor": ("{{ ''.constructor.constructor('return process')().exit() }}", "Error"),
    "function": ("{{ raise_exception.constructor('return 1')() }}", "Error"),
    "prototype": ("{{ messages[0].__proto__.polluted() }}", "Error"),
    "require": ("{{ require('fs').readFileSync('/etc/passwd') }}", "Error"),
    "include": ("{% include '/etc/passwd' %}", "SyntaxError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_at_its_limit(
    js: EngineHost, hurried: EngineHost, request_of: Callable[..., Request], name: str
) -> None:
    template, expected = HOSTILE[name]
    host = hurried if "time" in expected else js
    outcome = host.render(template, request_of())
    assert isinstance(outcome, Crashed | LimitExceeded), outcome
    assert re.fullmatch(expected, outcome.kind if isinstance(outcome, Crashed) else outcome.limit), outcome
    assert host.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


@needs_engine
def test_a_heap_that_overflows_is_a_matter_of_memory(
    request_of: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_js, "_HEAP_MIB", 48)
    host = InProcessHost(NAME)
    assert host.render("{% for i in range(10**9) %}x{% endfor %}", request_of()) == LimitExceeded(
        "memory", "it needed more than 48 MiB of memory"
    )
    assert host.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


@needs_engine
def test_node_reaches_no_files_and_no_processes(tmp_path: Path) -> None:
    command = huggingface_js._node_command()
    if not any("permission" in word for word in command):
        pytest.skip("this node has no permission model")
    command[-1] = """
        import fs from "node:fs";
        import { execSync } from "node:child_process";
        const tries = {
          read: () => fs.readFileSync("/etc/passwd"),
          list: () => fs.readdirSync("."),
          write: () => fs.writeFileSync("written", "x"),
          run: () => execSync("true"),
          eval: () => Function("return 1")(),
        };
        const done = Object.keys(tries).filter((name) => { try { tries[name](); return true } catch {} });
        fs.writeSync(1, JSON.stringify({ done }));
    """
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == '{"done":[]}'


# Processes


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def node_of(host: EngineHost) -> tuple[int, int]:
    """Return the ids of the session and of its node."""
    assert host._process is not None
    (session,) = children(host._process._process.pid)
    (node,) = children(session)
    return session, node


def gone(pid: int) -> bool:
    """Wait until a process has ended; false when it is still there after a while."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


SPIN = HOSTILE["loops"][0]


@linux
@needs_engine
@pytest.mark.parametrize("template", ["{{ messages[0].content }}", SPIN])
@pytest.mark.parametrize("victim", ["session", "worker", "close"])
def test_node_dies_with_its_session(request_of: Callable[..., Request], template: str, victim: str) -> None:
    with EngineHost(NAME) as host:
        assert host.render("x", request_of()) == Rendered("x")
        session, node = node_of(host)
        host.submit(template, [request_of()])
        time.sleep(0.05)
        assert host._process is not None
        if victim == "session":
            os.kill(session, signal.SIGKILL)
        elif victim == "worker":
            host._process._process.kill()
            os.kill(session, signal.SIGKILL)
        if victim != "close":
            assert gone(node)
    assert gone(node)


@linux
@needs_engine
def test_a_node_killed_from_outside_blames_no_case(request_of: Callable[..., Request]) -> None:
    with EngineHost(NAME) as host:
        assert host.render("x", request_of()) == Rendered("x")
        _, node = node_of(host)
        os.kill(node, signal.SIGKILL)
        assert host.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")
        assert node_of(host)[1] != node


# What is missing


def test_the_version_is_that_of_the_package() -> None:
    assert ENGINE.version() == huggingface_js.PACKAGE.version == "0.5.11"
    assert get_engine(OLD).version() == "0.5.5"


def test_no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ENGINE.available() == "node is not installed: install Node.js 18 or newer"


def _fake_node(folder: Path, body: str) -> None:
    script = folder / "node"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo v16.20.2", "node is v16.20.2; install Node.js 18 or newer"),
        ("exit 1", "node is broken; install Node.js 18 or newer"),
        (
            '[ "$1" = --version ] && echo v20.1.0 || exit 3',
            "node does not start: node ended with exit code 3",
        ),
    ],
)
@needs_engine
def test_a_node_that_does_not_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, message: str
) -> None:
    _fake_node(tmp_path, body)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(UnjudgedError, match=re.escape(message)), EngineHost(NAME) as host:
        host.version()


def test_a_package_that_is_missing_or_altered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_node(tmp_path, "echo v20.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for text in (None, "export class Template {}"):
        if text is not None:
            huggingface_js.PACKAGE.path().write_text(text)
        assert ENGINE.available() == (
            "@huggingface/jinja is not fetched: conformance engines fetch huggingface-js"
        )
        with pytest.raises(UnjudgedError, match="conformance engines fetch huggingface-js"):
            get_engine(NAME).load()
        with (
            pytest.raises(UnjudgedError, match="conformance engines fetch huggingface-js"),
            EngineHost(NAME) as host,
        ):
            host.version()
