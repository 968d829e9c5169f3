"""Reads what the conditions in front of a branch ask for: its own, those around it, and what their variables hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.nodes import Node

from conformance.generate.wants import Wants
from conformance.template import branch_probe
from conformance.template.marks import parse

_STEPS = 3  # a variable's value, the variables in it, and theirs
_MOST = 40  # of each kind of literal
_LONGEST = 200  # characters or messages
# What a value is when a test of this name holds.
_TESTED: dict[str, Any] = {
    "none": None, "string": "x", "mapping": {}, "number": 1, "integer": 1, "float": 0.5, "boolean": True, "true": True,
    "false": False, "sequence": ["x"], "iterable": ["x"],
}  # fmt: skip


def wants_of(template_text: str) -> list[Wants]:
    """Return what each branch waits for, by its number; empty when Jinja cannot parse it; nothing is executed."""
    try:
        tree = parse(template_text)
        found = list(branch_probe.walk(tree))
        held = _Held(tree)
    except (TemplateError, RecursionError, ValueError):
        return []
    wants: list[Wants] = []
    # Branches share most of what decides them: each expression is read once.
    read: dict[int, _Literals] = {}
    decides = [_condition(node) for _, node, _ in found]
    for number, (_, _, around) in enumerate(found):
        conditions: list[Node] = [decides[number]]
        while around >= 0:
            conditions.append(decides[around])
            around = found[around][2]
        whole = _Literals()
        for expression in held.with_values(conditions):
            literals = read.get(id(expression))
            if literals is None:
                literals = read[id(expression)] = _Literals()
                for each in _all(expression):
                    literals.take(each)
            whole.add(literals)
        wants.append(whole.wants())
    return wants


def _condition(node: Node) -> Node:
    """Return what decides whether a branch runs: a test, what a loop walks over, or an operand itself."""
    match node:
        case nodes.If() | nodes.CondExpr():
            return node.test
        case nodes.For():
            return node.iter if node.test is None else nodes.And(node.iter, node.test)
        case nodes.Macro() | nodes.Output():
            return nodes.Const(None)
    return node


class _Held:
    """What the variables of a template may hold, each with the conditions under which it is set so."""

    def __init__(self, tree: nodes.Template) -> None:
        self._values: dict[str, list[Node]] = {}
        self._named: dict[int, list[str]] = {}
        self._macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
        self._statements(tree.body, ())

    def _statements(self, body: Sequence[Node], tests: tuple[Node, ...]) -> None:
        for node in body:
            match node:
                case nodes.If():
                    for arm in (node, *node.elif_):
                        self._statements(arm.body, (*tests, arm.test))
                    self._statements(node.else_, tests)
                    self._calls(node.test)
                case nodes.For():
                    for target in node.target.find_all(nodes.Name):
                        self._add(target.name, node.iter, ())
                    if isinstance(node.target, nodes.Name):
                        self._add(node.target.name, node.iter, ())
                    self._statements(node.body, tests)
                    self._statements(node.else_, tests)
                case nodes.Assign():
                    self._assign(node.target, node.node, tests)
                    self._calls(node.node)
                case _:
                    inner = getattr(node, "body", None)
                    if isinstance(inner, list):
                        self._statements(inner, tests)
                    else:
                        self._calls(node)

    def _assign(self, target: Node, value: Node, tests: tuple[Node, ...]) -> None:
        match target:
            case nodes.Name(name=name):
                # The conditions that a constant was set under say more than the constant.
                self._add(name, value, tests[-2:])
            case nodes.NSRef(name=name, attr=attr):
                self._add(f"{name}.{attr}", value, tests[-2:])

    def _calls(self, node: Node) -> None:
        """Let a macro's parameters hold what calls hand over."""
        for call in [*node.find_all(nodes.Call), *([node] if isinstance(node, nodes.Call) else [])]:
            macro = self._macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
            if macro is not None:
                for parameter, value in zip(macro.args, call.args, strict=False):
                    self._add(parameter.name, value, ())

    def _add(self, name: str, value: Node, tests: tuple[Node, ...]) -> None:
        self._values.setdefault(name, []).extend((value, *tests))

    def with_values(self, conditions: Sequence[Node]) -> list[Node]:
        """Return conditions and what the variables in them hold, a few steps deep, nearest first."""
        known: dict[int, Node] = {}
        fresh: list[Node] = list(conditions)
        for _ in range(_STEPS):
            known.update((id(node), node) for node in fresh)
            names = dict.fromkeys(name for node in fresh for name in self._names(node))
            fresh = [
                value for name in names for value in self._values.get(name, ()) if id(value) not in known
            ]
        known.update((id(node), node) for node in fresh)
        return list(known.values())

    def _names(self, node: Node) -> list[str]:
        """Return the variables in an expression."""
        if id(node) not in self._named:
            self._named[id(node)] = list(_names(node))
        return self._named[id(node)]


def _names(node: Node) -> Iterator[str]:
    for each in _all(node):
        if isinstance(each, nodes.Name):
            yield each.name
        elif isinstance(each, nodes.Getattr) and isinstance(each.node, nodes.Name):
            yield f"{each.node.name}.{each.attr}"


def _all(node: Node) -> Iterator[Node]:
    yield node
    yield from node.find_all(Node)


class _Literals:
    """The literals of some expressions."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], tuple[str, Any]] = {}
        self._keys: dict[str, None] = {}
        self._words: dict[str, None] = {}
        self._numbers: dict[int, None] = {}

    def add(self, other: _Literals) -> None:
        """Take in those of other expressions."""
        self._pairs.update(other._pairs)
        self._keys.update(other._keys)
        self._words.update(other._words)
        self._numbers.update(other._numbers)

    def wants(self) -> Wants:
        """Return what was found."""
        return Wants(
            tuple(self._pairs.values())[:_MOST],
            tuple(self._keys)[:_MOST],
            tuple(self._words)[:_MOST],
            tuple(self._numbers)[:_MOST],
        )

    def take(self, node: Node) -> None:
        """Take in one node of an expression."""
        match node:
            case nodes.Getattr(attr=attr):
                self._keys[attr] = None
            case nodes.Const(value=str() as text) if 0 < len(text) <= _LONGEST:
                self._words[text] = None
                if text.isidentifier():
                    self._keys[text] = None
            case nodes.Const(value=int() as number) if (
                not isinstance(number, bool) and 0 <= number <= _LONGEST
            ):
                self._numbers[number] = None
            case nodes.Compare():
                sides = (node.expr, node.ops[0].expr)
                for side, other in (sides, sides[::-1]):
                    for value in _constants(other):
                        self._pair(side, value)
            case nodes.Test() if node.name in _TESTED:
                self._pair(node.node, _TESTED[node.name])

    def _pair(self, side: Node, value: Any) -> None:
        key = _key(side)
        if key is not None:
            self._pairs[key, repr(value)] = (key, value)


def _constants(node: Node) -> list[Any]:
    if isinstance(node, nodes.Const):
        return [node.value]
    if isinstance(node, nodes.List | nodes.Tuple):
        return [each.value for each in node.items if isinstance(each, nodes.Const)]
    return []


def _key(node: Node) -> str | None:
    """Return the key that an expression reads: `type` of `schema.type`, `schema['type']` and `schema.get('type')`."""
    match node:
        case nodes.Getattr(attr=key) | nodes.Getitem(arg=nodes.Const(value=str() as key)):
            return key
        case nodes.Call(node=nodes.Getattr(attr="get"), args=[nodes.Const(value=str() as key), *_]):
            return key
        case nodes.Filter(node=nodes.Node() as inner):
            return _key(inner)
    return None
