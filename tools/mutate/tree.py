"""A template's syntax tree in which every node knows where it stands in the source, so that it can be edited there."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

# The settings with which chat templates are read everywhere.
from conformance.engines.jinja2_plain import Generation
from conformance.template import branch_probe


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the source, in characters: from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A token as the lexer cut it: where it stands, its kind, and its text in the source."""

    start: int
    kind: str
    text: str

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)


class _Recorded(TokenStream):
    """A stream that remembers the last token that was taken from it."""

    taken: Token | None = None

    def __next__(self) -> Token:
        self.taken = super().__next__()
        return self.taken


_EXPRESSIONS = (
    "condexpr", "or", "and", "not", "compare", "math1", "math2", "concat", "pow", "unary", "primary", "list", "dict",
    "subscript", "call", "filter", "test", "postfix", "filter_expr", "tuple", "statement",
)  # fmt: skip


class _SpanParser(Parser):
    """Jinja's own parser, fed with offsets for line numbers; notes the stretch of every node."""

    def __init__(self, environment: Environment, source: str, raw: list[Raw]) -> None:
        super().__init__(environment, "")
        tokens = environment.lexer.wrap((each.start, each.kind, each.text) for each in raw)
        self._lengths = {each.start: len(each.text) for each in raw}
        self.stream: _Recorded = _Recorded(tokens, None, None)
        self.spans: dict[int, Span] = {}
        self._kept: list[Any] = []  # so that no id is given twice
        for name in _EXPRESSIONS:
            method = getattr(self, f"parse_{name}")
            setattr(self, f"parse_{name}", functools.partial(self._noted, method, name == "primary"))

    def _noted(self, method: Callable[..., Any], widens: bool, *args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else None
        known = self.spans.get(id(first)) if isinstance(first, nodes.Node) else None
        start = known.start if known else self.stream.current.lineno
        found = method(*args, **kwargs)
        taken = self.stream.taken
        if isinstance(found, nodes.Node) and taken is not None:
            self._kept.append(found)
            span = Span(start, taken.lineno + self._lengths[taken.lineno])
            # Only here do brackets around an expression show; they belong to it.
            if widens:
                self.spans[id(found)] = span
            else:
                self.spans.setdefault(id(found), span)
        return found


class SourceTree:
    """A template's source, its tokens and its syntax tree; `span` says where a node stands.

    Raises TemplateSyntaxError when Jinja cannot parse the source. Line ends other than \\n are not expected.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        environment = Environment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
        )
        self.raw = _located(environment, text)
        parser = _SpanParser(environment, text, self.raw)
        self.tree = parser.parse()
        self._spans = parser.spans
        self._parser = parser  # holds the nodes whose ids are the keys
        self._starts = [each.start for each in self.raw]
        self._lines = [0, *(at + 1 for at, char in enumerate(text) if char == "\n")]

    def span(self, node: nodes.Node) -> Span | None:
        """Return where an expression or the inside of a tag stands, None for nodes without a place."""
        known = self._spans.get(id(node))
        if known is None and isinstance(node, nodes.BinExpr):
            # The inner ones of a chain such as `a and b and c`: the parser has no method of their own for them.
            left, right = self.span(node.left), self.span(node.right)
            known = Span(left.start, right.end) if left and right else None
        return known

    def code(self, span: Span) -> str:
        """Return the source of a stretch."""
        return self.text[span.start : span.end]

    def tag(self, span: Span) -> Span | None:
        """Return the tag around a stretch: from its opening delimiter to its closing one."""
        position = bisect_right(self._starts, span.start) - 1
        while position >= 0 and self.raw[position].kind not in ("variable_begin", "block_begin"):
            position -= 1
        if position < 0:
            return None
        start = self.raw[position].start
        while position < len(self.raw) and self.raw[position].kind not in ("variable_end", "block_end"):
            position += 1
        last = self.raw[position]
        # White space behind the tag that it strips is no part of it.
        return Span(start, last.start + len(last.text.rstrip()))

    def arm(self, span: Span) -> int | None:
        """Return the number of the innermost branch that a stretch stands in, None where it is in none.

        Where that branch does not run, an edit of the stretch changes nothing.
        """
        around = [
            (body.end - body.start, number)
            for number, body in self.arms
            if body.start <= span.start and span.end <= body.end
        ]
        return min(around)[1] if around else None

    @functools.cached_property
    def arms(self) -> list[tuple[int, Span]]:
        """Return where the bodies of all branches stand, with the numbers that `BranchProbe` notes when they run."""
        found: list[tuple[int, Span]] = []
        for number, (kind, node, _) in enumerate(branch_probe.walk(self.tree)):
            body = node.else_ if kind in ("else", "not", "for-else") else getattr(node, "body", None)  # type: ignore[attr-defined]
            if kind in ("output", "then", "otherwise", "true", "false") or not body:
                continue
            spans = [
                span
                for part in body
                for each in (part, *part.find_all(nodes.Node))
                if (span := self.span(each))
            ]
            if spans:
                first = self.tag(min(spans, key=lambda span: span.start))
                last = self.tag(Span(end := max(span.end for span in spans), end))
                if first is not None and last is not None:
                    found.append((number, Span(first.start, last.end)))
        return found

    def line(self, offset: int) -> int:
        """Return the line of an offset, from 1."""
        return bisect_right(self._lines, offset)

    def walk(self) -> Iterator[tuple[nodes.Node, tuple[nodes.Node, ...]]]:
        """Yield every node with those around it, outermost first."""
        yield from _walk(self.tree, ())


def _walk(
    node: nodes.Node, around: tuple[nodes.Node, ...]
) -> Iterator[tuple[nodes.Node, tuple[nodes.Node, ...]]]:
    yield node, around
    for child in node.iter_child_nodes():
        yield from _walk(child, (*around, node))


def _located(environment: Environment, text: str) -> list[Raw]:
    """Cut the source into tokens with their offsets; white space that tags strip lies between them."""
    found: list[Raw] = []
    position = 0
    for _, kind, value in environment.lexer.tokeniter(text, None):
        at = text.index(value, position)
        found.append(Raw(at, kind, value))
        position = at + len(value)
    return found
