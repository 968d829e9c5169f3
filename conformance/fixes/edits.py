"""The smallest repairs: one literal, one condition, one filter, one white-space mark, read off what a case shows.

Where a template's text parts from Harmony's, what stands there instead says which literal could be changed into what;
where a whole stretch is missing or too much, a condition near by may be wrong. Each candidate is one edit of one tag,
and only what a trial proves is kept.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conformance.compare.base import parting
from conformance.fixes.base import Size, SkippedError
from conformance.template.parts import Block, Source, Tag, Text, walk

_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_NEAR = 3  # lines around the one that wrote what differs
_MOST_LITERALS, _MOST_TESTS = 24, 60
_INTEGER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_COMPARED = re.compile(r"(?<![=!<>])(==|!=|>=|<=|>|<)(?!=)")
_OTHER = {"==": "!=", "!=": "==", ">": ">=", ">=": ">", "<": "<=", "<=": "<"}
_FLIPPED = {"first": "last", "last": "first", "index": "index0", "index0": "index"}
_FILTER = re.compile(r"\s*\|\s*\w+(?:\([^()]*\))?")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Hunk:
    """Where two texts part: `actual` at `start` of the template's text should be `expected`; `lines` are near it."""

    text: str
    start: int
    actual: str
    expected: str
    lines: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """Where what should be replaced ends."""
        return self.start + len(self.actual)


def hunk(expected: str, actual: str, text: str, actual_start: int, lines: Iterable[int] = ()) -> Hunk:
    """Return what has to be replaced in `text` where a difference lies, without what both have in common."""
    first = parting(expected, actual)
    last = parting(expected[first:][::-1], actual[first:][::-1])
    return Hunk(
        text,
        actual_start + first,
        actual[first : len(actual) - last],
        expected[first : len(expected) - last],
        tuple(dict.fromkeys(lines)),
    )


@dataclass(frozen=True)
class Edit:
    """One edit of one tag as a fix: `old` becomes `new` between `before` and `after`, which make the place unique."""

    line: int
    before: str
    old: str
    new: str
    after: str
    rules: tuple[str, ...] = ()
    size: Size = "edit"

    @property
    def name(self) -> str:
        """Where it is."""
        return f"line-{self.line}"

    @property
    def what(self) -> str:
        """What it changes."""
        if not self.old.strip():
            return f"line {self.line}: adds {_shown(self.new)}"
        if not self.new.strip():
            return f"line {self.line}: removes {_shown(self.old)}"
        return f"line {self.line}: {_shown(self.old)} becomes {_shown(self.new)}"

    def apply(self, source: Source) -> str:
        """Return the changed source; raises SkippedError when its place is not there, or there twice."""
        place = self.before + self.old + self.after
        if source.text.count(place) != 1:
            raise SkippedError(f"its place in line {self.line} is not there any more")
        return source.text.replace(place, self.before + self.new + self.after)


def _shown(text: str) -> str:
    text = repr(text.strip() or text)[1:-1]
    return f"`{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}`"


def candidates(source: Source, where: Hunk) -> Iterator[Edit]:
    """Yield edits that might mend what a case shows, the likeliest first, each once."""
    seen: set[tuple[int, int, str]] = set()
    for start, end, new in [*_literals(source, where), *_marks(source, where), *_tests(source, where)]:
        key = (start, end, new)
        if key not in seen and source.text[start:end] != new:
            seen.add(key)
            yield _edit(source, start, end, new)


def _edit(source: Source, start: int, end: int, new: str) -> Edit:
    """Return an edit with as much around it as makes its place unique."""
    text, around = source.text, 8
    while True:
        first, last = max(0, start - around), min(len(text), end + around)
        if text.count(text[first:last]) == 1 or (first, last) == (0, len(text)):
            break
        around *= 2
    line = text.count("\n", 0, start) + 1
    return Edit(line, text[first:start], text[start:end], new, text[end:last])


def _literals(source: Source, where: Hunk) -> Iterator[tuple[int, int, str]]:
    """Yield literals that may have written what differs, changed so that they write what is expected.

    A literal may have, where its text stands in the template's own output at the place of the difference. The longest
    come first, since a newline stands everywhere.
    """
    found = []
    for start, end, value, quote in _written(source):
        at = where.text.find(value, max(0, where.start - len(value)), where.end + len(value)) if value else -1
        while at >= 0:
            skip = where.start - at
            if skip >= 0 and where.end <= at + len(value):
                new = value[:skip] + where.expected + value[skip + len(where.actual) :]
                near = min(
                    (abs(source.text.count("\n", 0, start) + 1 - line) for line in where.lines), default=0
                )
                found.append((-len(value), near, start, end, _quoted(new, quote)))
            at = where.text.find(value, at + 1, where.end + len(value))
    for _, _, start, end, new in sorted(found)[:_MOST_LITERALS]:
        yield start, end, new


def _written(source: Source) -> Iterator[tuple[int, int, str, str]]:
    """Yield every literal and every text between tags: where it is, its value, and its quote."""
    for part in walk(source.parts):
        if isinstance(part, Text):
            yield part.start, part.end, part.value, ""
        elif isinstance(part, Tag) and part.kind != "comment":
            for literal in _LITERAL.finditer(source.text, part.start, part.end):
                value = _value(literal[0])
                if value is not None:
                    yield literal.start(), literal.end(), value, literal[0][0]


def _value(literal: str) -> str | None:
    """Return what a Jinja literal stands for: it is written as in Python, and may hold line ends."""
    try:
        value = ast.literal_eval(literal.replace("\n", "\\n"))
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, str) else None


def _quoted(value: str, quote: str) -> str:
    if not quote:
        return value
    plain = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return quote + plain.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + quote


def _tags(source: Source, where: Hunk) -> list[Tag]:
    """Return the tags near the difference, the nearest first, with the tests of the blocks around them."""
    found: dict[int, tuple[int, Tag]] = {}
    for part in walk(source.parts):
        tags = (
            [arm.tag for arm in part.arms]
            if isinstance(part, Block)
            else [part]
            if isinstance(part, Tag)
            else []
        )
        begin = source.text.count("\n", 0, part.start) + 1
        end = source.text.count("\n", 0, part.end) + 1
        for line in where.lines:
            away = 0 if begin <= line <= end else min(abs(begin - line), abs(end - line))
            if away > _NEAR:
                continue
            for tag in tags:
                if tag.kind == "comment":
                    continue
                distance = abs(source.text.count("\n", 0, tag.start) + 1 - line)
                if tag.start not in found or distance < found[tag.start][0]:
                    found[tag.start] = (distance, tag)
    return [tag for _, tag in sorted(found.values(), key=lambda item: (item[0], item[1].start))]


def _marks(source: Source, where: Hunk) -> Iterator[tuple[int, int, str]]:
    """Yield white-space marks added to and taken from tags near by, where only white space differs."""
    if (where.actual + where.expected).strip():
        return
    for tag in _tags(source, where):
        for at, outside in ((tag.start + 2, tag.start - 1), (tag.end - 3, tag.end)):
            if source.text[at : at + 1] == "-":
                yield at, at + 1, ""
            elif source.text[outside : outside + 1].isspace():
                position = at if at == tag.start + 2 else at + 1
                yield position, position, "-"


def _tests(source: Source, where: Hunk) -> Iterator[tuple[int, int, str]]:
    """Yield tests and expressions near by with one thing changed."""
    found: list[tuple[int, int, str]] = []
    for tag in _tags(source, where):
        begin = source.text.index(tag.body, tag.start) if tag.body else tag.start
        if tag.keyword in ("if", "elif"):
            test = tag.rest
            start = source.text.index(test, tag.start + 2 + len(tag.keyword)) if test else begin
            found += [(start, start + len(test), new) for new in _tested(test)]
        found += list(_changed(source, begin, begin + len(tag.body)))
    yield from found[:_MOST_TESTS]


def _tested(test: str) -> Iterator[str]:
    """Yield a test negated, halved, and with its halves joined otherwise."""
    yield test[4:] if test.startswith("not ") else f"not ({test})"
    for word, other in ((" and ", " or "), (" or ", " and ")):
        parts = _split(test, word)
        if len(parts) > 1:
            for number in range(len(parts)):
                yield word.join(parts[:number] + parts[number + 1 :])
            yield other.join(parts)
            for number, part in enumerate(parts):
                turned = part[4:] if part.startswith("not ") else f"not {part}"
                yield word.join([*parts[:number], turned, *parts[number + 1 :]])


def _split(test: str, word: str) -> list[str]:
    """Split a test at a word that stands outside of brackets and strings."""
    parts, depth, last, position = [], 0, 0, 0
    while position < len(test):
        if literal := _LITERAL.match(test, position):
            position = literal.end()
            continue
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(test[position], 0)
        if depth == 0 and test.startswith(word, position):
            parts.append(test[last:position])
            position = last = position + len(word)
            continue
        position += 1
    return [*parts, test[last:]]


def _changed(source: Source, begin: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield one comparison, number, loop position, filter or constant of a stretch changed."""
    text = source.text
    inside = [literal.span() for literal in _LITERAL.finditer(text, begin, end)]

    def code(start: int) -> bool:
        return not any(first <= start < last for first, last in inside)

    for found in _COMPARED.finditer(text, begin, end):
        if code(found.start()):
            yield found.start(), found.end(), _OTHER[found[1]]
    for found in _INTEGER.finditer(text, begin, end):
        if code(found.start()):
            for number in (int(found[0]) + 1, int(found[0]) - 1):
                if number >= 0:
                    yield found.start(), found.end(), str(number)
    for found in re.compile(r"(?<=loop\.)(first|last|index0|index)\b").finditer(text, begin, end):
        yield found.start(), found.end(), _FLIPPED[found[1]]
    for found in re.compile(r"\b(true|false|True|False)\b").finditer(text, begin, end):
        if code(found.start()):
            yield found.start(), found.end(), {"true": "false", "false": "true"}[found[1].lower()]
    for found in _FILTER.finditer(text, begin, end):
        if code(found.start()):
            yield found.start(), found.end(), ""
