"""Which expressions are one value's own text, and what is asked of that alone.

Hosts write numbers and escapes in different ways, and a template that is right on all of them has to look at what its
host wrote. Such a question hangs on the host and on the type of a value, not on what was said. Three kinds are known,
each by data flow: a choice between two writings of one value by whether the first reads back; a letter looked for
among the digits of an integer; a text cut at a separator and put together again with the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jinja2 import nodes
from jinja2.nodes import Node

# Filters that write a value as text, or read it back.
_WRITES = frozenset(("tojson", "string", "float", "int"))
_DIGITS = frozenset("-0123456789")
_DEEPEST = 20  # definitions that an expression is followed through


def host_questions(tree: nodes.Template) -> set[int]:
    """Return the ids of a syntax tree's nodes that ask how the host writes a value, and nothing else."""
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
    found: set[int] = set()
    bodies: list[nodes.Template | nodes.Macro] = [tree, *macros.values()]
    for body in bodies:
        scope = _Scope(body, macros)
        found.update(id(node) for node in scope.read_backs())
        found.update(id(node) for node in scope.letters_among_digits())
    found.update(id(node) for node in _joined_again(tree))
    return found


class _Scope:
    """The names of one macro, or of the template outside of all macros, and what each is set to."""

    def __init__(self, body: nodes.Macro | nodes.Template, macros: dict[str, nodes.Macro]) -> None:
        self._nodes = list(_own(body))
        self._macros = macros
        self._set: dict[str, list[Node | None]] = {}
        self.parameters = [name.name for name in body.args] if isinstance(body, nodes.Macro) else []
        for node in self._nodes:
            if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
                self._set.setdefault(node.target.name, []).append(node.node)
        assigned = {id(node.target) for node in self._nodes if isinstance(node, nodes.Assign)}
        for node in self._nodes:
            if isinstance(node, nodes.Name) and node.ctx in ("store", "param") and id(node) not in assigned:
                self._set.setdefault(node.name, []).append(None)

    def read_backs(self) -> Iterator[Node]:
        """Yield the comparisons of a value with its own text read back that choose between two writings of it."""
        for choice in self._nodes:
            if not isinstance(choice, nodes.CondExpr) or choice.expr2 is None:
                continue
            value = self._value(choice.expr1)
            if value is None or value != self._value(choice.expr2):
                continue
            for test in (choice.test, *choice.test.find_all(nodes.Compare)):
                if isinstance(test, nodes.Compare) and len(test.ops) == 1 and test.ops[0].op == "eq":
                    sides = (test.expr, test.ops[0].expr)
                    reads = any(isinstance(side, nodes.Filter) and side.name == "float" for side in sides)
                    if reads and all(self._value(side) == value for side in sides):
                        yield test

    def letters_among_digits(self) -> Iterator[Node]:
        """Yield the searches for what no integer's digits hold, where the value is known to be an integer."""
        for both in self._nodes:
            if not isinstance(both, nodes.And):
                continue
            integers = {
                self._value(test.node)
                for test in _conjuncts(both)
                if isinstance(test, nodes.Test) and test.name == "integer"
            }
            for test in _conjuncts(both):
                match test:
                    case nodes.Compare(expr=nodes.Const(value=str() as word), ops=[operand]) if (
                        operand.op in ("in", "notin") and set(word) - _DIGITS
                    ):
                        value = self._value(operand.expr, part=True)
                        if value is not None and value in integers:
                            yield test

    def _value(self, node: Node | None, *, part: bool = False, depth: int = 0) -> str | None:
        """Return the name of the value whose text (with `part`, a stretch of it) this is; None when unknown."""
        if depth > _DEEPEST:
            return None
        deeper = depth + 1
        match node:
            case nodes.Name(name=name):
                definitions = self._set.get(name, [])
                if name in self.parameters:
                    return name if definitions == [None] else None
                if len(definitions) == 1 and definitions[0] is not None:
                    # What is set once to no text of another value is a value of its own.
                    return self._value(definitions[0], part=part, depth=deeper) or name
                return None
            case nodes.Filter(name=name, args=[], kwargs=[]) if name in _WRITES:
                return self._value(node.node, part=part, depth=deeper)
            case nodes.Concat(nodes=[inner, nodes.Const(value="")]):
                return self._value(inner, part=part, depth=deeper)
            case nodes.CondExpr():
                value = self._value(node.expr1, part=part, depth=deeper)
                return value if value == self._value(node.expr2, part=part, depth=deeper) else None
            case nodes.Getitem(arg=nodes.Slice()) if part:
                return self._value(node.node, part=part, depth=deeper)
            case nodes.Call(node=nodes.Name(name=name), args=[given], kwargs=[]) if name in self._macros:
                macro = self._macros[name]
                written = _written(macro)
                if len(written) != 1 or len(macro.args) != 1:
                    return None
                inside = _Scope(macro, self._macros)._value(written[0], part=part, depth=deeper)
                return self._value(given, part=part, depth=deeper) if inside == macro.args[0].name else None
        return None


def _own(body: Node) -> Iterator[Node]:
    """Yield the nodes below one, but for those of the macros in it."""
    for node in body.iter_child_nodes():
        if not isinstance(node, nodes.Macro):
            yield node
            yield from _own(node)


def _conjuncts(node: Node) -> Iterator[Node]:
    """Yield what an `and` joins."""
    if isinstance(node, nodes.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _written(macro: nodes.Macro) -> list[Node]:
    """Return the expressions that a macro writes; none when it does more than to set names and write."""
    if not all(isinstance(node, nodes.Assign | nodes.Output) for node in macro.body):
        return []
    return list(_visible(macro.body))


def _visible(body: Iterable[Node]) -> Iterator[Node]:
    """Yield what stands in the outputs of a body, but for blanks between tags."""
    for node in body:
        if isinstance(node, nodes.Output):
            for child in node.nodes:
                if not (isinstance(child, nodes.TemplateData) and child.data.isspace()):
                    yield child


def _joined_again(tree: nodes.Template) -> Iterator[Node]:
    """Yield the calls that split a text at a word where a loop writes every part, with the same word between them."""
    for loop in tree.find_all(nodes.For):
        match loop.iter, loop.target:
            case (
                nodes.Call(node=nodes.Getattr(attr="split"), args=[nodes.Const(value=str() as word)]),
                nodes.Name(name=part),
            ):
                if loop.test is None and not loop.else_ and _writes_again(loop.body, word, part):
                    yield loop.iter


def _writes_again(body: list[Node], word: str, part: str) -> bool:
    between, *rest = [node for node in body if list(_visible([node])) or not isinstance(node, nodes.Output)]
    match between:
        case nodes.If(
            test=nodes.Not(node=nodes.Getattr(node=nodes.Name(name="loop"), attr="first")),
            body=[nodes.Output() as output],
            elif_=[],
            else_=[],
        ):
            if [_constant(node) for node in _visible([output])] != [word]:
                return False
        case _:
            return False
    if not all(isinstance(node, nodes.Output) for node in rest):
        return False
    match list(_visible(rest)):
        case [written]:
            while isinstance(written, nodes.Filter) and unescapes(written):
                assert written.node is not None
                written = written.node
            return isinstance(written, nodes.Name) and written.name == part
    return False


def _constant(node: Node) -> str | None:
    match node:
        case nodes.Const(value=str() as text):
            return text
        case nodes.TemplateData(data=text):
            return text
    return None


def unescapes(node: nodes.Filter) -> bool:
    """Say whether a replacement undoes an escape of JSON, which some hosts' `tojson` writes and others do not."""
    match node.args:
        case [nodes.Const(value=str() as old), nodes.Const(value=str() as new)] if node.name == "replace":
            return old.startswith("\\u") and old.lower() == f"\\u{ord(new):04x}" if len(new) == 1 else False
    return False
