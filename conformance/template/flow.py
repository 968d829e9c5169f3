"""Where the text of a template's output nodes goes: straight into the prompt, or through values it looks at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from jinja2 import nodes
from jinja2.nodes import Node

# Stands among captures for one whose text is certainly looked at (a filter block).
_SEEN = ""


class Flow:
    """What a template does with the text that its macros, set blocks and calls collect.

    Built from the syntax tree of a source whose output nodes are all marked; `begin` is the code of node 0's
    mark, `end` that of the end mark.
    """

    def __init__(self, tree: nodes.Template, begin: int, end: int) -> None:
        self._begin, self._end = begin, end
        # For each node: the macros, set blocks, … that collect its text, and the names its expression reads.
        self._captures: dict[int, frozenset[str]] = {}
        self._mentions: dict[int, frozenset[str]] = {}
        # For each name: what collects the value where it is only written out, or _SEEN where it is used.
        self._uses: dict[str, list[frozenset[str]]] = {}
        # (names, names that may get a value out of them)
        self._moves: list[tuple[frozenset[str], frozenset[str]]] = []
        self._parameters = {
            macro.name: frozenset(name.name for name in macro.args) for macro in tree.find_all(nodes.Macro)
        }
        self._statements(tree.body, frozenset())
        self._observed = self._find_observed()
        self._targets: dict[str, set[str]] = {}
        for sources, targets in self._moves:
            for source in sources:
                self._targets.setdefault(source, set()).update(targets)
        self._reached: dict[frozenset[str], frozenset[str]] = {}

    def observed(self) -> frozenset[int]:
        """Return the nodes whose text the template itself may look at: compares, measures, filters."""
        return frozenset(node for node, captures in self._captures.items() if captures & self._observed)

    def carries(self, node: int, others: Collection[int]) -> bool:
        """Return whether what a node writes may hold text that one of the others wrote."""
        names = frozenset().union(*(self._captures.get(other, frozenset()) for other in others))
        if names not in self._reached:
            self._reached[names] = _reachable(names, self._targets)
        return bool(self._mentions.get(node, frozenset()) & self._reached[names])

    def _find_observed(self) -> frozenset[str]:
        users: dict[str, set[str]] = {}
        for name, uses in self._uses.items():
            for collector in frozenset().union(*uses):
                users.setdefault(collector, set()).add(name)
        return _reachable({_SEEN}, users)

    # Statements

    def _statements(self, body: Iterable[Node], captures: frozenset[str]) -> None:
        for node in body:
            self._statement(node, captures)

    def _statement(self, node: Node, captures: frozenset[str]) -> None:
        match node:
            case nodes.Output():
                self._output(node, captures)
            case nodes.Macro():
                self._looks(*node.defaults)
                self._statements(node.body, captures | {node.name})
            case nodes.CallBlock():
                own = isinstance(node.call.node, nodes.ExtensionAttribute)  # {% generation %} writes its body
                self._writes(node.call, captures)
                self._moves.append((_names(node.call), captures))
                self._statements(node.body, captures if own else captures | {"caller"})
            case nodes.AssignBlock():
                targets = _names(node.target)
                self._moves.append((frozenset({_SEEN}), targets))
                self._statements(node.body, captures | ({_SEEN} if node.filter else targets))
            case nodes.FilterBlock():
                self._moves.append((frozenset({_SEEN}), captures))
                self._statements(node.body, captures | {_SEEN})
            case nodes.Assign():
                self._assign(node)
            case nodes.For():
                self._looks(node.iter, node.test)
                self._moves.append((_names(node.iter), _names(node.target)))
                inner = captures | {"loop"} if node.recursive else captures
                self._statements(node.body, inner)
                self._statements(node.else_, inner)
            case nodes.Block():
                self._statements(node.body, captures | {"self"})
            case nodes.With():
                self._looks(*node.values)
                for target, value in zip(node.targets, node.values, strict=True):
                    self._moves.append((_names(value), _names(target)))
                self._statements(node.body, captures)
            case nodes.Expr():
                self._looks(node)
            case _:
                self._statements(node.iter_child_nodes(), captures)

    def _output(self, output: nodes.Output, captures: frozenset[str]) -> None:
        current: int | None = None
        for child in output.nodes:
            if isinstance(child, nodes.Const) and isinstance(child.value, str) and child.value:
                code = ord(child.value[-1])
                if code == self._end:
                    current = None
                    continue
                if self._begin <= code < self._end:
                    current = code - self._begin
                    self._captures[current] = captures
                    continue
            self._writes(child, captures)
            names = _names(child)
            if current is not None:
                self._mentions[current] = names
            self._moves.append((names, captures))

    def _assign(self, node: nodes.Assign) -> None:
        targets = _names(node.target)
        if isinstance(node.target, nodes.Name):
            self._writes(node.node, targets)
        else:
            self._looks(node.node)
        # A method such as append() may put what it is given into the object that it belongs to.
        calls = any(isinstance(call.node, nodes.Getattr) for call in _all(node.node, nodes.Call))
        names = _names(node.node)
        self._moves.append((names, targets | names if calls else targets))

    # Expressions

    def _writes(self, node: Node, captures: frozenset[str]) -> None:
        """Take in an expression whose value becomes text, or a variable's value, unchanged."""
        match node:
            case nodes.Add() | nodes.Concat():
                for child in node.iter_child_nodes():
                    self._writes(child, captures)
            case nodes.CondExpr():
                self._looks(node.test)
                for arm in (node.expr1, node.expr2):
                    if arm is not None:
                        self._writes(arm, captures)
            case nodes.Name():
                self._uses.setdefault(node.name, []).append(captures)
            case nodes.Call(node=nodes.Name() as callee):
                self._uses.setdefault(callee.name, []).append(captures)
                self._looks(*(child for child in node.iter_child_nodes() if child is not callee))
                self._passes(node)
            case _:
                self._looks(node)

    def _looks(self, *expressions: Node | None) -> None:
        """Take in expressions that may depend on what the values in them are."""
        for expression in expressions:
            if expression is None:
                continue
            for name in _names(expression):
                self._uses.setdefault(name, []).append(frozenset({_SEEN}))
            for call in _all(expression, nodes.Call):
                self._passes(call)

    def _passes(self, call: nodes.Call) -> None:
        if isinstance(call.node, nodes.Name) and (targets := self._parameters.get(call.node.name)):
            given = frozenset().union(*(_names(argument) for argument in (*call.args, *call.kwargs)))
            self._moves.append((given, targets))


def _reachable(start: Iterable[str], steps: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return all that can be reached from the start, each once."""
    found, pending = set(start), list(start)
    while pending:
        new = set(steps.get(pending.pop(), ())) - found
        found |= new
        pending += new
    return frozenset(found)


def _all(node: Node, kind: type[nodes.Call]) -> list[nodes.Call]:
    return [*([node] if isinstance(node, kind) else []), *node.find_all(kind)]


def _names(node: Node) -> frozenset[str]:
    found = {node.name} if isinstance(node, (nodes.Name, nodes.NSRef)) else set()
    found.update(each.name for each in node.find_all(nodes.Name))
    found.update(each.name for each in node.find_all(nodes.NSRef))
    return frozenset(found)
