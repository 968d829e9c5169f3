"""Compare what two engines made of one template and one request, and name the cause of a difference."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from conformance.compare.base import parting
from conformance.engines.base import Crashed, LimitExceeded, Outcome, Rejected, Rendered, SyntaxProblem

Cause: TypeAlias = Literal[
    "numbers",
    "tojson form",
    "container printing",
    "null",
    "whitespace",
    "undefined",
    "missing feature",
    "key order",
    "text left out",
    "one engine fails",
    "other",
]

# What engines say of a filter, test, method or statement that they do not have.
_MISSING = re.compile(
    r"unknown (filter|function|method|test|block|statement|tag)|not implemented|unsupported|no filter named"
    r"|no test named|not callable|not a function|callee is not|has no method|invalid operation: (object|value) has"
    r"|unknown keyword|too many arguments|unexpected keyword",
    re.IGNORECASE,
)
_UNDEFINED = re.compile(r"undefined|has no attribute", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NUMERIC = frozenset("0123456789+-.eE")
_NULLS = ("None", "null", "none", "undefined")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
# A stretch longer than this is compared by its first characters only.
_STRETCH = 4_000


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two outcomes that differ: the cause, and the stretches that begin at the first differing character.

    `offset` counts characters in both texts; it is None where an engine wrote no text.
    """

    cause: Cause
    offset: int | None = None
    one: str = ""
    other: str = ""


def disagreement(one: Outcome | SyntaxProblem, other: Outcome | SyntaxProblem) -> Disagreement | None:
    """Return how two engines' outcomes differ, or None: equal texts, or both refuse or fail."""
    if isinstance(one, Rendered) and isinstance(other, Rendered):
        return None if one.text == other.text else _texts(one.text, other.text)
    if isinstance(one, Rendered):
        return Disagreement(_failure(other))
    if isinstance(other, Rendered):
        return Disagreement(_failure(one))
    # A refusal that is a crash elsewhere is no prompt in either.
    return None


def _failure(outcome: Outcome | SyntaxProblem) -> Cause:
    if isinstance(outcome, SyntaxProblem):
        return "missing feature"
    if isinstance(outcome, Crashed):
        if _MISSING.search(outcome.message) or _MISSING.search(outcome.kind):
            return "missing feature"
        if _UNDEFINED.search(outcome.message) or _UNDEFINED.search(outcome.kind):
            return "undefined"
    assert isinstance(outcome, Crashed | Rejected | LimitExceeded)
    return "one engine fails"


def _texts(one: str, other: str) -> Disagreement:
    offset = parting(one, other)
    tail = parting(one[offset:][::-1], other[offset:][::-1])
    first, second = one[offset : len(one) - tail], other[offset : len(other) - tail]
    return Disagreement(
        _cause(one, other, offset, first, second), offset, first[:_STRETCH], second[:_STRETCH]
    )


def _cause(one: str, other: str, offset: int, first: str, second: str) -> Cause:
    if _number_at(one, offset) != _number_at(other, offset) and _same_number(one, other, offset):
        return "numbers"
    if "".join(first.split()) == "".join(second.split()):
        # Blanks after `,` and `:` are a form of JSON; others stand in the text.
        inside = _inside_json(one, offset) or _inside_json(other, offset)
        return "tojson form" if inside else "whitespace"
    if _unescaped(one[offset - 6 if offset > 6 else 0 :]) == _unescaped(
        other[offset - 6 if offset > 6 else 0 :]
    ):
        return "tojson form"
    if _null(one, other, offset):
        return "null"
    if _container(first, second) or _container(second, first) or _boolean(one, other, offset):
        return "container printing"
    if sorted(first) == sorted(second) and ":" in first:
        return "key order"
    if _unescaped(first[:_STRETCH]).replace(" ", "") == _unescaped(second[:_STRETCH]).replace(" ", ""):
        return "tojson form"
    return "text left out" if not first.strip() or not second.strip() else "other"


def _number_at(text: str, offset: int) -> str:
    """Return the number in which (or right behind which) an offset lies, or an empty string."""
    begin = offset
    while begin > 0 and text[begin - 1] in _NUMERIC and offset - begin < 400:
        begin -= 1
    found = _NUMBER.match(text, begin)
    return found[0] if found and found.end() >= offset else ""


def _same_number(one: str, other: str, offset: int) -> bool:
    """Say whether the numbers at an offset are one number as far as a double can tell."""
    try:
        a, b = float(_number_at(one, offset)), float(_number_at(other, offset))
    except ValueError:
        return False
    return a == b or abs(a - b) <= 1e-5 * max(abs(a), abs(b))


def _inside_json(text: str, offset: int) -> bool:
    return offset > 0 and text[offset - 1] in ",:{["


def _unescaped(text: str) -> str:
    """Return a text with the escapes undone that some tojson filters write for HTML or non-ASCII characters."""
    try:
        plain = _ESCAPED.sub(lambda found: json.loads(f'"{found[0]}"'), text)
    except ValueError:
        return text
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&#39;", "'")


def _null(one: str, other: str, offset: int) -> bool:
    """Say whether at an offset one engine writes a word for nothing, and the other another word or nothing."""

    def word(text: str) -> str:
        # The words may share their first letters.
        for back in range(5):
            for null in _NULLS:
                if offset >= back and text.startswith(null, offset - back) and len(null) > back:
                    return null
        return ""

    a, b = word(one), word(other)
    if a and b:
        return a != b
    null, text = (a, other) if a else (b, one)
    if not null:
        return False
    # Nothing stands where the other has the word: what follows the word goes on at once.
    full = one if a else other
    start = next(offset - back for back in range(5) if full.startswith(null, offset - back))
    rest = full[start + len(null) : start + len(null) + 12]
    return text.startswith(rest, start)


def _container(printed: str, plain: str) -> bool:
    """Say whether one stretch looks like Python's way of printing lists, dicts and booleans, the other not."""
    marks = ("'", "True", "False", "None", "[object Object]")
    return any(mark in printed and mark not in plain for mark in marks) and bool(
        set(plain) & set('"[]{}tf,') or "object" in printed
    )


def _boolean(one: str, other: str, offset: int) -> bool:
    """Say whether one engine writes True or False where the other writes true or false."""
    return any(
        {one[offset : offset + len(word)], other[offset : offset + len(word)]} == {word, word.lower()}
        for word in ("True", "False")
    )
