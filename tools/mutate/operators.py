"""Mutation operators: each yields edits of a template's source, found on its syntax tree."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from jinja2 import nodes

from tools.mutate.tree import SourceTree, Span

_Operator = Callable[[SourceTree], Iterator["Edit"]]
_OPERATORS: dict[str, _Operator] = {}


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: the operator that made it, the stretch it replaces, by what, and the block around it in lines.

    `block` is the innermost if, for, macro or tag pair around the edit; at the top level of the template, the edited
    tag with its two neighbours.
    """

    operator: str
    span: Span
    text: str
    line: int
    block: tuple[int, int]

    @property
    def name(self) -> str:
        """A name that stays the same while the template does."""
        mark = f"{self.operator}:{self.span.start}:{self.span.end}:{self.text}"
        return f"{self.operator}-{self.line}-{hashlib.sha256(mark.encode()).hexdigest()[:6]}"

    def apply(self, text: str) -> str:
        """Return the template's text with the edit made."""
        return text[: self.span.start] + self.text + text[self.span.end :]


def edits(tree: SourceTree) -> dict[str, list[Edit]]:
    """Return all edits of a template by operator, each edited text once, in the order of the source."""
    seen = {tree.text}
    found: dict[str, list[Edit]] = {}
    for name, operator in _OPERATORS.items():
        found[name] = []
        for edit in sorted(operator(tree), key=lambda each: (each.span.start, each.span.end, each.text)):
            changed = edit.apply(tree.text)
            if changed not in seen:
                seen.add(changed)
                found[name].append(edit)
    return found


def _register(name: str) -> Callable[[_Operator], _Operator]:
    def add(operator: _Operator) -> _Operator:
        _OPERATORS[name] = operator
        return operator

    return add


def _edit(tree: SourceTree, operator: str, span: Span, text: str, around: tuple[nodes.Node, ...]) -> Edit:
    return Edit(operator, span, text, tree.line(span.start), _block(tree, span, around))


def _block(tree: SourceTree, span: Span, around: tuple[nodes.Node, ...]) -> tuple[int, int]:
    kinds = nodes.If | nodes.For | nodes.Macro | nodes.CallBlock | nodes.AssignBlock | nodes.FilterBlock
    for node in reversed(around):
        own = tree.span(node)
        if isinstance(node, kinds) and own is not None:
            return tree.line(own.start), tree.line(own.end)
    return max(1, tree.line(span.start) - 1), tree.line(span.end) + 1


def _outputs(tree: SourceTree) -> Iterator[tuple[nodes.Node, Span, tuple[nodes.Node, ...]]]:
    """Yield what the printing tags print, each with the whole tag; text between tags is not among them."""
    for node, around in tree.walk():
        if around and isinstance(around[-1], nodes.Output) and not isinstance(node, nodes.TemplateData):
            span = tree.span(node)
            tag = tree.tag(span) if span else None
            if tag is not None and not _refuses(node):
                yield node, tag, around


def _refuses(node: nodes.Node) -> bool:
    """Say whether this raises an error instead of printing: its absence is seen only where nothing may be."""
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and "raise" in node.node.name


def _statements(tree: SourceTree) -> Iterator[tuple[nodes.Node, Span, tuple[nodes.Node, ...]]]:
    """Yield assignments, conditions and loops with the stretch from their first tag to their last."""
    for node, around in tree.walk():
        if not isinstance(node, nodes.Assign | nodes.If | nodes.For):
            continue
        if (span := tree.span(node)) is None:
            continue
        first, last = tree.tag(span), tree.tag(Span(span.end, span.end))
        if first is not None and last is not None:
            yield node, Span(first.start, last.end), around


@_register("delete")
def _delete(tree: SourceTree) -> Iterator[Edit]:
    for _, span, around in [*_outputs(tree), *_statements(tree)]:
        yield _edit(tree, "delete", span, "", around)
    for node, around in tree.walk():
        if isinstance(node, nodes.Concat):
            for left, right in pairwise(node.nodes):
                first, second = tree.span(left), tree.span(right)
                if first and second:
                    yield _edit(tree, "delete", Span(first.start, second.start), "", around)
                    yield _edit(tree, "delete", Span(first.end, second.end), "", around)


@_register("duplicate")
def _duplicate(tree: SourceTree) -> Iterator[Edit]:
    for _, span, around in _outputs(tree):
        yield _edit(tree, "duplicate", span, tree.code(span) * 2, around)
    for node, span, around in _statements(tree):
        if not isinstance(node, nodes.Assign) and any(True for _ in node.find_all(nodes.Output)):
            yield _edit(tree, "duplicate", span, tree.code(span) * 2, around)


@_register("swap")
def _swap(tree: SourceTree) -> Iterator[Edit]:
    """Swap the parts of what is joined, the arms of an inline if, and the sides of a subtraction."""
    for node, around in tree.walk():
        pairs: list[tuple[nodes.Node, nodes.Node]] = []
        if isinstance(node, nodes.Concat):
            pairs = list(pairwise(node.nodes))
        elif isinstance(node, nodes.CondExpr) and node.expr2 is not None:
            pairs = [(node.expr1, node.expr2)]
        elif isinstance(node, nodes.Add | nodes.Sub):
            pairs = [(node.left, node.right)]
        for left, right in pairs:
            yield from _swapped(tree, "swap", tree.span(left), tree.span(right), around)


def _swapped(
    tree: SourceTree, operator: str, first: Span | None, second: Span | None, around: tuple[nodes.Node, ...]
) -> Iterator[Edit]:
    if first is not None and second is not None and first.end <= second.start:
        between = tree.text[first.end : second.start]
        text = tree.code(second) + between + tree.code(first)
        yield _edit(tree, operator, Span(first.start, second.end), text, around)


def _tests(tree: SourceTree) -> Iterator[tuple[nodes.Node, Span, tuple[nodes.Node, ...]]]:
    for node, around in tree.walk():
        if isinstance(node, nodes.If | nodes.CondExpr):
            span = tree.span(node.test)
            if span is not None:
                yield node.test, span, (*around, node)


@_register("negate")
def _negate(tree: SourceTree) -> Iterator[Edit]:
    for _, span, around in _tests(tree):
        yield _edit(tree, "negate", span, f"not ({tree.code(span)})", around)


@_register("halve")
def _halve(tree: SourceTree) -> Iterator[Edit]:
    """Keep one half of a condition joined by `and` or `or`."""
    for node, around in tree.walk():
        if isinstance(node, nodes.And | nodes.Or):
            whole = tree.span(node)
            for half in (node.left, node.right):
                kept = tree.span(half)
                if whole is not None and kept is not None:
                    yield _edit(tree, "halve", whole, tree.code(kept), around)


@_register("literal")
def _literal(tree: SourceTree) -> Iterator[Edit]:
    """Compare with another of the texts that the template compares with."""
    compared: list[tuple[nodes.Const, Span, tuple[nodes.Node, ...]]] = []
    for node, around in tree.walk():
        if isinstance(node, nodes.Compare) and node.ops[0].op in ("eq", "ne"):
            for side in (node.expr, node.ops[0].expr):
                span = tree.span(side)
                if isinstance(side, nodes.Const) and isinstance(side.value, str) and span is not None:
                    compared.append((side, span, around))
    texts = list(dict.fromkeys(tree.code(span) for _, span, _ in compared))
    for _, span, around in compared:
        own = tree.code(span)
        if len(texts) > 1:
            yield _edit(tree, "literal", span, texts[(texts.index(own) + 1) % len(texts)], around)


_STEPS = {"gt": ">=", "gteq": ">", "lt": "<=", "lteq": "<"}


@_register("off-by-one")
def _off_by_one(tree: SourceTree) -> Iterator[Edit]:
    for node, around in tree.walk():
        if isinstance(node, nodes.Const) and isinstance(node.value, int) and not isinstance(node.value, bool):
            span = tree.span(node)
            if span is not None:
                yield _edit(tree, "off-by-one", span, str(node.value + 1), around)
        elif isinstance(node, nodes.Compare) and len(node.ops) == 1 and node.ops[0].op in _STEPS:
            left, right = tree.span(node.expr), tree.span(node.ops[0].expr)
            if left and right:
                between = Span(left.end, right.start)
                text = re.sub(r"[<>]=?", _STEPS[node.ops[0].op], tree.code(between), count=1)
                yield _edit(tree, "off-by-one", between, text, around)


@_register("white-space")
def _white_space(tree: SourceTree) -> Iterator[Edit]:
    """Turn the sign that strips white space around a tag on or off, and lose or add it at the ends of texts."""
    for _, span, around in [*_outputs(tree), *_statements(tree)]:
        code = tree.code(span)
        opening, closing = code[:2], code[-2:]
        if code[2] == "-":
            yield _edit(tree, "white-space", span, opening + code[3:], around)
        elif code[2] != "+":
            yield _edit(tree, "white-space", span, f"{opening}-{code[2:]}", around)
        if code[-3] == "-":
            yield _edit(tree, "white-space", span, code[:-3] + closing, around)
        elif code[-3] != "+":
            yield _edit(tree, "white-space", span, f"{code[:-2]}-{closing}", around)
    for _, span, around in _texts(tree):
        code = tree.code(span)
        quote, inner = code[0], code[1:-1]
        for shorter in (re.sub(r"(\\n| )$", "", inner), re.sub(r"^(\\n| )", "", inner)):
            if shorter != inner:
                yield _edit(tree, "white-space", span, quote + shorter + quote, around)
        yield _edit(tree, "white-space", span, f"{quote}{inner} {quote}", around)


def _texts(tree: SourceTree) -> Iterator[tuple[nodes.Node, Span, tuple[nodes.Node, ...]]]:
    """Yield the literal texts that are printed or joined to something printed."""
    for node, around in tree.walk():
        printed = around and isinstance(around[-1], nodes.Output | nodes.Concat)
        if printed and isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value:
            span = tree.span(node)
            if span is not None and not any(_refuses(each) for each in around):
                yield node, span, around


_FILTERS = ("trim", "upper", "tojson")


@_register("filter")
def _filter(tree: SourceTree) -> Iterator[Edit]:
    """Add a filter to what is printed, or take one away."""
    for position, (node, _, around) in enumerate(_outputs(tree)):
        span = tree.span(node)
        if span is not None and not isinstance(node, nodes.Const):
            name = _FILTERS[position % len(_FILTERS)]
            yield _edit(tree, "filter", span, f"({tree.code(span)})|{name}", around)
    for node, around in tree.walk():
        if isinstance(node, nodes.Filter) and node.node is not None:
            whole, inner = tree.span(node), tree.span(node.node)
            if whole and inner and whole.start == inner.start:
                yield _edit(tree, "filter", whole, tree.code(inner), around)


@_register("key")
def _key(tree: SourceTree) -> Iterator[Edit]:
    """Rename a key that is read or looked for."""
    for node, around in tree.walk():
        if (
            isinstance(node, nodes.Getitem)
            and isinstance(node.arg, nodes.Const)
            and isinstance(node.arg.value, str)
        ):
            span = tree.span(node.arg)
            if span is not None:
                yield _edit(tree, "key", span, _renamed(tree.code(span)), around)
        elif isinstance(node, nodes.Getattr) and not _names_method(node, around):
            span = tree.span(node)
            if span is not None:
                yield _edit(tree, "key", span, f"{tree.code(span)}s", around)
        elif isinstance(node, nodes.Compare) and node.ops[0].op in ("in", "notin"):
            span = tree.span(node.expr)
            if isinstance(node.expr, nodes.Const) and isinstance(node.expr.value, str) and span is not None:
                yield _edit(tree, "key", span, _renamed(tree.code(span)), around)


def _renamed(code: str) -> str:
    return code[:-1] + "s" + code[-1]


def _names_method(node: nodes.Getattr, around: tuple[nodes.Node, ...]) -> bool:
    loop = isinstance(node.node, nodes.Name) and node.node.name == "loop"
    return loop or (bool(around) and isinstance(around[-1], nodes.Call) and around[-1].node is node)


@_register("order")
def _order(tree: SourceTree) -> Iterator[Edit]:
    """Swap neighbouring statements, and walk a list from its end."""
    by_parent: dict[int, list[tuple[Span, tuple[nodes.Node, ...]]]] = {}
    for node, span, around in [*_outputs(tree), *_statements(tree)]:
        # Printing tags side by side are one Output; what counts is what they stand in.
        outer = around[-2] if isinstance(around[-1], nodes.Output) else around[-1]
        if not isinstance(node, nodes.If) or any(True for _ in node.find_all(nodes.Output)):
            by_parent.setdefault(id(outer), []).append((span, around))
    for siblings in by_parent.values():
        siblings.sort(key=lambda each: each[0].start)
        for (first, around), (second, _) in pairwise(siblings):
            between = tree.text[first.end : second.start]
            if "{%" not in between:
                yield from _swapped(tree, "order", first, second, around)
    for node, around in tree.walk():
        if isinstance(node, nodes.For) and not isinstance(node.iter, nodes.Filter):
            walked = tree.span(node.iter)
            if walked is not None:
                yield _edit(tree, "order", walked, f"({tree.code(walked)})|reverse", (*around, node))
