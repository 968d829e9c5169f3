"""Hostile templates and dying workers: each costs its own case and nothing else."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_helpers import SHORT
from hostile_engine import (
    BreaksOnLoad,
    HostileEngine,
    NeverLoads,
    NotInstalled,
    NotUnderstood,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.engines import (
    Crashed,
    EngineHost,
    LimitExceeded,
    Limits,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
)
from conformance.errors import ConformanceError, UnjudgedError, UsageError

REGISTERED_ENGINES = (HostileEngine, NeverLoads, BreaksOnLoad, NotUnderstood, NotInstalled)
HOSTILE_TEMPLATES = {
    "range": ("{% for i in range(10**9) %}x{% endfor %}", "OverflowError"),
    "loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "time"),
    "exponential": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "time",
    ),
    "power": ("{{ (10 ** (10 ** 8)) > messages | length }}", "time"),
    "sort": ("{{ (range(90000) | list * 1000) | sort | length }}", "memory|time"),
    "multiply": ("{{ 'a' * 10**10 }}", "memory"),
    "pad": ("{{ 'a' | center(10**10) }}", "memory"),
    "list": ("{{ ([0] * 10**9) | length }}", "memory"),
    "double": (
        "{% set ns = namespace(s='a') %}{% for i in range(50) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "memory|time",  # a busy machine copies too slowly to get there
    ),
    "flood": ("{{ 'a' * 10**6 }}", "output"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "mro": ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    "subclasses": ("{{ ().__class__.__base__.__subclasses__() }}", "SecurityError"),
    "globals": ("{{ cycler.__init__.__globals__ }}", "SecurityError"),
    "lipsum": ("{{ lipsum.__globals__['os'].popen('id').read() }}", "SecurityError|UndefinedError"),
    "mutate": ("{{ messages.append(1) }}", "SecurityError"),
    "import": ("{% include '/etc/passwd' %}", "TypeError"),
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_hostile_template_ends_at_its_limit(
    plain: EngineHost, request_of: Callable[..., Request], name: str
) -> None:
    template, expected = HOSTILE_TEMPLATES[name]
    outcome = plain.render(template, request_of())
    assert isinstance(outcome, (Crashed, LimitExceeded)), outcome
    assert re.fullmatch(expected, outcome.kind if isinstance(outcome, Crashed) else outcome.limit), outcome
    assert plain.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


@pytest.mark.parametrize("name", ["loops", "multiply", "recursion", "mro", "flood"])
def test_hostile_template_in_transformers(
    transformers: EngineHost, request_of: Callable[..., Request], name: str
) -> None:
    template, expected = HOSTILE_TEMPLATES[name]
    outcome = transformers.render(template, request_of())
    assert isinstance(outcome, (Crashed, LimitExceeded)), outcome
    assert re.fullmatch(expected, outcome.kind if isinstance(outcome, Crashed) else outcome.limit), outcome
    assert transformers.render("{{ messages[0].content }}", request_of("next")) == Rendered("next")


DIED = {"exit": "exit code 7", "segfault": "signal 11"}
NO_OUTCOME = ("garbage", "forged", "endless", "wrong")


def expected_of(order: str) -> object:
    name, _, argument = order.partition(":")
    match name:
        case "ok":
            return Rendered(argument)
        case "reject":
            return Rejected(argument, 2)
        case "raise":
            return Crashed("KeyError", repr(argument), None)
        case "hang" | "stubborn":
            return LimitExceeded("time", "it ran longer than 0.4 s")
        case "deaf":
            return LimitExceeded("time", "it did not stop within 0.8 s and was killed")
        case "idle":
            return LimitExceeded("time", "it gave no answer for 5 s and was killed")
        case "memory":
            return LimitExceeded("memory", "it needed more than 256 MiB of memory")
        case "exit" | "segfault":
            return LimitExceeded("worker-died", f"its worker ended with {DIED[name]}")
        case _:
            return LimitExceeded("worker-died", "it sent something that is no outcome")


@pytest.mark.parametrize("order", ["hang", "stubborn", "deaf", "idle", "memory", *DIED, *NO_OUTCOME])
def test_each_way_to_go_wrong(hostile: EngineHost, request_of: Callable[..., Request], order: str) -> None:
    orders = ["ok:before", order, "ok:after"]
    outcomes = list(hostile.render_many("", map(request_of, orders)))
    assert outcomes == [expected_of(order) for order in orders]


mixtures = st.lists(
    st.one_of(
        *[st.text(st.characters(codec="utf-8"), max_size=20).map("ok:{}".format)] * 16,
        *[st.sampled_from(["reject:no", "raise:key", "memory", *DIED, *NO_OUTCOME])] * 3,
        st.sampled_from(["hang", "deaf"]),
    ),
    max_size=40,
)


@given(mixtures)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_nothing_is_lost_and_order_is_kept(hostile: EngineHost, orders: list[str]) -> None:
    requests = [
        Request([{"role": "user", "content": order}], None, {}, False, "2025-06-28") for order in orders
    ]
    assert list(hostile.render_many("", requests)) == [expected_of(order) for order in orders]


def test_tickets_may_be_collected_in_any_order(
    hostile: EngineHost, request_of: Callable[..., Request]
) -> None:
    first = hostile.submit("a", [request_of("ok:1"), request_of("exit"), request_of("ok:2")])
    empty = hostile.submit("a", [])
    second = hostile.submit("b", [request_of("ok:3")])
    assert hostile.collect(second) == [Rendered("3")]
    assert first.done
    assert hostile.collect(first) == [expected_of(order) for order in ("ok:1", "exit", "ok:2")]
    assert hostile.collect(empty) == []


def test_a_death_from_outside_blames_nobody(hostile: EngineHost, request_of: Callable[..., Request]) -> None:
    assert hostile.render("", request_of("die-once")) == Rendered("alive")


def test_a_moment_in_which_the_machine_froze_blames_nobody(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile", limits=SHORT) as host:
        orders = [request_of("ok:before"), request_of("freeze-once"), request_of("ok:after")]
        assert [*host.render_many("", orders)] == [Rendered("before"), Rendered("thawed"), Rendered("after")]
        late = [*host.render_many("", [request_of("hang")] * 5)]
        assert [outcome.limit for outcome in late if isinstance(outcome, LimitExceeded)] == ["time"] * 5


def test_a_machine_that_does_something_else_costs_a_case_nothing(
    hostile: EngineHost, request_of: Callable[..., Request]
) -> None:
    assert hostile.render("", request_of("sleep:1.2")) == Rendered("awake")


def test_a_killed_worker_process_is_started_again(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile") as host:
        ticket = host.submit("", [request_of(f"ok:{number}") for number in range(50)])
        host.version()
        assert host._process is not None
        host._process._process.kill()
        assert host.collect(ticket) == [Rendered(str(number)) for number in range(50)]


def test_closing_ends_the_worker_at_once_even_when_it_hangs(request_of: Callable[..., Request]) -> None:
    with EngineHost("hostile") as host:
        assert host.render("", request_of("ok:x")) == Rendered("x")
        host.submit("", [request_of("deaf")])
        assert host._process is not None
        process = host._process._process
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_many_large_cases_do_not_block_each_other(
    hostile: EngineHost, request_of: Callable[..., Request]
) -> None:
    # Both directions exceed every socket buffer: whoever waited for the other would wait for ever.
    texts = [f"{number}" * 10_000 for number in range(300)]
    ticket = hostile.submit("", [request_of(f"ok:{text}") for text in texts])
    assert hostile.collect(ticket) == [Rendered(text) for text in texts]


def test_requests_are_taken_lazily(request_of: Callable[..., Request]) -> None:
    taken = []

    def source() -> object:
        for number in range(1000):
            taken.append(number)
            yield request_of(f"ok:{number}")

    with EngineHost("hostile", window=32) as host:
        outcomes = host.render_many("", source())  # type: ignore[arg-type]
        assert taken == []
        assert next(outcomes) == Rendered("0")
        assert len(taken) <= 48
        assert [*outcomes] == [Rendered(str(number)) for number in range(1, 1000)]


def test_the_channel_survives_printing(hostile: EngineHost, request_of: Callable[..., Request]) -> None:
    assert hostile.render("", request_of("print")) == Rendered("printed")


def test_the_worker_sees_no_secrets_and_writes_no_files(
    hostile: EngineHost, request_of: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with EngineHost("hostile") as host:
        outcome = host.render("", request_of("world"))
    assert isinstance(outcome, Rendered)
    environment, zone, session = json.loads(outcome.text)
    assert "secret" not in json.dumps(environment)
    assert environment["HOME"] != os.environ.get("HOME")
    assert (environment["TZ"], environment["PYTHONHASHSEED"], zone) == ("UTC", "0", "UTC")
    assert session != os.getsid(0)
    target = tmp_path / "stolen"
    assert isinstance(hostile.render("", request_of(f"write:{target}")), Crashed)
    assert not target.exists() or target.read_text() == ""
    assert isinstance(hostile.render("", request_of("open")), Crashed)


def test_compile_check_is_under_the_limits_too(hostile: EngineHost) -> None:
    assert hostile.compile_check("good") is None
    assert hostile.compile_check("bad") == SyntaxProblem("bad", 3)
    assert hostile.compile_check("hang") == SyntaxProblem(
        "compiling it was ended: it ran longer than 0.4 s", None, ended=True
    )


@pytest.mark.parametrize(
    ("engine", "error", "message"),
    [
        ("no-such", UsageError, "There is no engine 'no-such'; choose from .*jinja2.*transformers"),
        ("hostile_engine:HostileEngine", UsageError, "There is no engine"),
        ("os:abort", UsageError, "There is no engine"),
        ("not-installed", UnjudgedError, "cannot be used: it is not installed: pip install"),
        ("not-understood", UnjudgedError, "too old; upgrade"),
        ("breaks-on-load", UnjudgedError, "did not start: RuntimeError: no luck"),
        ("never-loads", UnjudgedError, "did not start within 1 s"),
    ],
)
def test_an_engine_that_does_not_start_says_why(
    engine: str, error: type[ConformanceError], message: str
) -> None:
    startup = 1 if engine == "never-loads" else 60
    with pytest.raises(error, match=message), EngineHost(engine, limits=Limits(startup_s=startup)) as host:
        host.version()
