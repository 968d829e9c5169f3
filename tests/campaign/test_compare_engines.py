"""How two engines' outcomes are compared, and what the cause of a difference is called."""

import pytest

from conformance.compare.engines import disagreement
from conformance.engines.base import Crashed, LimitExceeded, Outcome, Rejected, Rendered, SyntaxProblem


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        ("default: 1.0,", "default: 1,", "numbers"),
        ("default: 1e+20", "default: 100000000000000000000", "numbers"),
        ("default: 0.30000000000000004", "default: 0.3", "numbers"),
        ("default: 2.5", "default: 3.5", "other"),
        ('{"a": 1}', '{"a":1}', "tojson form"),
        ('"<b>"', '"\\u003cb\\u003e"', "tojson form"),
        ('"it\'s"', '"it\\u0027s"', "tojson form"),
        ("x None y", "x null y", "null"),
        ("x None y", "x none y", "null"),
        ("x None y", "x  y", "null"),
        ("a\n\nb", "a\nb", "whitespace"),
        ("['a', 1]", '["a", 1]', "container printing"),
        ("flag True", "flag true", "container printing"),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "key order"),
        ("<|start|>one<|end|>two", "<|start|>two", "text left out"),
        ("abc", "abd", "other"),
    ],
)
def test_causes_of_different_texts(one: str, other: str, cause: str) -> None:
    for pair in ((one, other), (other, one)):
        found = disagreement(Rendered(pair[0]), Rendered(pair[1]))
        assert found is not None
        assert found.cause == cause
        assert found.offset is not None
        assert pair[0][: found.offset] == pair[1][: found.offset]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (Crashed("TypeError", "'str' object is not callable", 3), "missing feature"),
        (Crashed("InvalidOperation", "unknown filter: filter sum is unknown", 3), "missing feature"),
        (SyntaxProblem("unknown statement", 2), "missing feature"),
        (
            Crashed("Error", "Cannot call something that is not a function: got UndefinedValue", None),
            "missing feature",
        ),
        (Crashed("UndefinedError", "'x' is undefined", 3), "undefined"),
        (Crashed("UndefinedError", "'dict object' has no attribute 'content'", 3), "undefined"),
        (Crashed("ZeroDivisionError", "division by zero", 3), "one engine fails"),
        (Rejected("no", 1), "one engine fails"),
        (LimitExceeded("time", "too slow"), "one engine fails"),
    ],
)
def test_causes_of_failures(failure: Outcome | SyntaxProblem, cause: str) -> None:
    for pair in ((Rendered("a"), failure), (failure, Rendered("a"))):
        found = disagreement(*pair)
        assert found is not None
        assert (found.cause, found.offset) == (cause, None)


def test_equal_texts_and_common_failures_do_not_disagree() -> None:
    assert disagreement(Rendered("a"), Rendered("a")) is None
    assert disagreement(Rejected("no", 1), Crashed("TypeError", "x", None)) is None
