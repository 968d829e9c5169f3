"""Limits of time in the process that judges, and what a report keeps of long texts."""

from __future__ import annotations

import hashlib
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from conformance import bounds
from conformance.bounds import KEPT_CHARS, READ_CHARS, TimeIsUpError, time_limit
from conformance.conversation import Case, Conversation, User
from conformance.report.cut import fitted
from conformance.report.model import Example
from conformance.template.branches import branches
from conformance.template.hints import hints_of


def _spin() -> None:
    while True:
        pass


def test_code_that_never_ends_is_ended() -> None:
    with pytest.raises(TimeIsUpError), time_limit(0.05):
        _spin()


def test_a_pattern_that_never_ends_is_ended() -> None:
    with pytest.raises(TimeIsUpError), time_limit(0.05):
        re.match(r"(?:a|aa)*b", "a" * 100)


def test_only_work_counts_and_not_the_time_that_passes() -> None:
    with time_limit(0.05):
        time.sleep(0.3)
    with pytest.raises(TimeIsUpError), time_limit(0.01):  # 15 times as long, and it hangs
        time.sleep(60)
    with pytest.raises(TimeIsUpError), time_limit(60, wall_s=0.01):
        time.sleep(60)


def test_the_work_of_workers_counts() -> None:
    def work() -> None:
        bounds.charge(float("nan"))
        bounds.charge(-1e9)
        time.sleep(0.05)
        bounds.charge(100)
        time.sleep(60)

    before = bounds.cost()
    with pytest.raises(TimeIsUpError), time_limit(90):
        work()
    assert 100 <= bounds.cost() - before < 190


def test_the_inner_block_ends_alone() -> None:
    with time_limit(60), pytest.raises(TimeIsUpError), time_limit(0.05):
        _spin()


def test_the_outer_block_ends_both_though_the_inner_one_takes_the_blame() -> None:
    def work() -> None:
        with pytest.raises(TimeIsUpError), time_limit(60):
            _spin()
        _spin()

    with pytest.raises(TimeIsUpError), time_limit(0.05):
        work()


def test_nothing_is_left_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(60):
        pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_threads_have_no_limit() -> None:
    def work() -> int:
        with time_limit(0.001):
            return sum(range(100))

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 4950


def test_a_template_that_is_too_long_is_not_read() -> None:
    text = "{% if tools == 'word' %}x{% endif %}"
    assert branches(text)
    assert hints_of(text).words
    assert branches(text + " " * READ_CHARS) == []
    assert not hints_of(text + " " * READ_CHARS).words


_EXAMPLE = Example(
    case_id="0",
    case=Case(Conversation((User("x"),))),
    engine="jinja2",
    shape="hf",
    expected="abc",
    actual="abd",
    offset=2,
    actual_offset=2,
    region="",
    message_index=None,
    template_line=None,
)


def test_short_texts_are_kept_whole() -> None:
    assert fitted(_EXAMPLE) is _EXAMPLE


@pytest.mark.parametrize("place", [0, 50_000, 99_999])
def test_of_long_texts_the_place_of_the_difference_is_kept(place: int) -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(100_000))
    found = fitted(replace(_EXAMPLE, actual=text, actual_offset=place))
    assert found.expected == "abc"
    assert found.actual is not None
    assert found.actual_cut is not None
    assert found.actual_offset is not None
    assert len(found.actual) == KEPT_CHARS
    assert found.actual[found.actual_offset] == text[place]
    assert found.actual_cut.start + found.actual_offset == place
    assert found.actual_cut.length == len(text)
    assert found.actual_cut.sha256 == hashlib.sha256(text.encode()).hexdigest()
