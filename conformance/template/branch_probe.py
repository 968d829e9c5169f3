"""Engines that answer which branches of a template ran and how it decided, instead of what it wrote.

They are not registered: nobody checks a template with them. A host is given the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.nodes import Node

from conformance.engines.base import Outcome, Rendered, Request
from conformance.engines.jinja2_plain import PlainJinja2Engine
from conformance.engines.transformers_jinja import TransformersEngine
from conformance.errors import UnjudgedError
from conformance.template.audit_probe import Noted, Outcomes

_HIT, _HIT_TEST = "_conformance_hit", "_conformance_hit_test"


def walk(tree: nodes.Template, *, instrument: bool = False) -> Iterator[tuple[str, Node, int]]:
    """Yield every branch of a syntax tree: its kind, its node and the number of the branch around it (-1: none).

    Branches are numbered in the order in which they come; `instrument` also puts calls of the filters that
    note hits into the tree, after which it is only good for being compiled. Kinds: `if`, `elif`, `else`,
    `not` (an if without else that was false), `for`, `for-else`, `macro`, `output`, `then`, `otherwise`
    (of an inline if), `true` and `false` (what one operand of `and` and `or` came to).
    """
    yield from _Walk(instrument).statements(tree.body, -1)


class _Walk:
    def __init__(self, instrument: bool) -> None:
        self._instrument = instrument
        self._next = 0

    def statements(self, body: list[Node], around: int) -> Iterator[tuple[str, Node, int]]:
        """Walk a list of statements and note outputs in it."""
        position = 0
        while position < len(body):
            node = body[position]
            if isinstance(node, nodes.Output) and not _blank(node):
                position += self._note(body, position)
                yield "output", node, around
                # The arms of inline ifs belong to the output that they are in.
                yield from self._expressions(node, self._next - 1)
            else:
                yield from self._statement(node, around)
            position += 1

    def _statement(self, node: Node, around: int) -> Iterator[tuple[str, Node, int]]:
        match node:
            case nodes.If():
                yield from self._if(node, around)
            case nodes.For():
                yield from self._expressions(node.iter, around)
                # Without an else of its own a loop that never ran shows as a body that never ran.
                yield from self._arm("for", node, node.body, around, (node.test,))
                if node.else_:
                    yield from self._arm("for-else", node, node.else_, around)
            case nodes.Macro():
                yield from self._arm("macro", node, node.body, around, node.defaults)
            case _:
                for field in node.fields:
                    value = getattr(node, field, None)
                    if field == "body" and isinstance(value, list):
                        yield from self.statements(value, around)
                    else:
                        for child in value if isinstance(value, list) else [value]:
                            if isinstance(child, Node):
                                yield from self._expressions(child, around)

    def _if(self, node: nodes.If, around: int) -> Iterator[tuple[str, Node, int]]:
        for kind, arm in (("if", node), *(("elif", arm) for arm in node.elif_)):
            yield from self._expressions(arm.test, around)
            yield from self._arm(kind, arm, arm.body, around)
        last = node.elif_[-1] if node.elif_ else node
        yield from self._arm("else" if node.else_ else "not", last, node.else_, around)

    def _arm(
        self, kind: str, node: Node, body: list[Node], around: int, tests: Any = ()
    ) -> Iterator[tuple[str, Node, int]]:
        number = self._next
        self._note(body, 0, node.lineno)
        yield kind, node, around
        for test in tests:
            if test is not None:
                yield from self._expressions(test, number)
        # The note itself is a statement that holds no branch.
        yield from self.statements(body, number)

    def _note(self, body: list[Node], position: int, line: int | None = None) -> int:
        """Put a note of the next number in front of a statement; return how many statements that made."""
        number = self._next
        self._next += 1
        if not self._instrument:
            return 0
        # A filter that asks for the context is called directly, and never at compile time.
        note = nodes.Filter(nodes.Const(number), _HIT, [], [], None, None)
        statement = nodes.ExprStmt(note).set_lineno(line or body[position].lineno, override=True)
        body.insert(position, statement)
        return 1

    def _expressions(self, node: Node, around: int) -> Iterator[tuple[str, Node, int]]:
        """Walk an expression and note the arms of inline ifs in it."""
        if isinstance(node, nodes.CondExpr):
            numbers = self._next, self._next + 1
            self._next += 2
            yield "then", node, around
            yield "otherwise", node, around
            test = node.test
            yield from self._expressions(test, around)
            if self._instrument:
                # Walked above: where it is a condition of several operands, these were wrapped in place.
                node.test = _tested(node.test, numbers)
            yield from self._expressions(node.expr1, numbers[0])
            if node.expr2 is not None:
                yield from self._expressions(node.expr2, numbers[1])
            return
        if isinstance(node, nodes.And | nodes.Or):
            yield from self._operand(node, "left", around)
            yield from self._operand(node, "right", around)
            return
        for child in list(node.iter_child_nodes()):
            yield from self._expressions(child, around)

    def _operand(
        self, node: nodes.And | nodes.Or | nodes.Not, field: str, around: int
    ) -> Iterator[tuple[str, Node, int]]:
        """Walk what is joined to a condition, and note what it came to where it was asked."""
        operand = getattr(node, field)
        if isinstance(operand, nodes.Not):
            yield from self._operand(operand, "node", around)
            return
        # What stands behind `or` only to take the place of what is missing comes to the same always.
        if isinstance(operand, nodes.And | nodes.Or | nodes.Literal):
            yield from self._expressions(operand, around)
            return
        numbers = self._next, self._next + 1
        self._next += 2
        yield "true", operand, around
        yield "false", operand, around
        yield from self._expressions(operand, around)
        if self._instrument:
            setattr(node, field, _tested(operand, numbers))


def _tested(test: nodes.Expr, numbers: tuple[int, int]) -> nodes.Filter:
    """Return an expression in a filter that notes one number when it is true, else the other."""
    arguments: list[nodes.Expr] = [nodes.Const(number) for number in numbers]
    made = nodes.Filter(test, _HIT_TEST, arguments, [], None, None)
    made.set_lineno(test.lineno, override=True)
    return made


def _blank(output: nodes.Output) -> bool:
    """Say whether an output only writes the whitespace between tags."""
    return all(isinstance(child, nodes.TemplateData) and child.data.isspace() for child in output.nodes)


class _Hits:
    """The numbers of the branches that ran in one rendering, and what the places of an audit came to."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._outcomes = Outcomes()

    def clear(self) -> None:
        """Forget the last rendering."""
        self.numbers.clear()
        self._outcomes.clear()

    def instrumented(self, environment: jinja2.Environment, template: str) -> jinja2.Template:
        """Return the template, compiled in its engine's environment with notes in its branches."""
        tree = environment.parse(template)
        self._outcomes.instrument(environment, tree)
        for _ in walk(tree, instrument=True):
            pass
        environment.filters[_HIT] = self._hit
        environment.filters[_HIT_TEST] = self._hit_test
        return environment.from_string(tree.set_environment(environment))  # type: ignore[arg-type]

    @property
    def _hit(self) -> Any:
        add = self.numbers.add

        @jinja2.pass_context
        def hit(context: jinja2.runtime.Context, number: int) -> None:
            add(number)

        return hit

    @property
    def _hit_test(self) -> Any:
        add = self.numbers.add

        @jinja2.pass_context
        def hit_test(context: jinja2.runtime.Context, value: object, then: int, otherwise: int) -> object:
            add(then if value else otherwise)
            return value

        return hit_test

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return what was noted as JSON, also from before a crash; what did not compile stays as it is."""
        if not self.numbers and not isinstance(outcome, Rendered):
            return outcome
        noted = Noted(sorted(self.numbers), self._outcomes.seen, sorted(self._outcomes.texts))
        return Rendered(msgspec.json.encode(noted).decode())


class Jinja2Branches(PlainJinja2Engine):
    """The engine `jinja2` with notes of the branches: renders what was `Noted` as JSON."""

    name: ClassVar[str] = "jinja2-branches"

    def __init__(self) -> None:
        super().__init__()
        self._hits = _Hits()

    def render(self, template: str, request: Request) -> Outcome:
        """Return the numbers of the branches that ran for one request."""
        self._hits.clear()
        return self._hits.outcome(super().render(template, request))

    def _compile_anew(self, template: str) -> jinja2.Template:
        return self._hits.instrumented(super()._compile_anew("").environment, template)


class TransformersBranches(TransformersEngine):
    """The engine `transformers` with notes of the branches: renders what was `Noted` as JSON."""

    name: ClassVar[str] = "transformers-branches"

    def __init__(self) -> None:
        super().__init__()
        self._hits = _Hits()
        self._notes = False

    def load(self) -> None:
        """Import transformers and let it compile templates with the notes in.

        Raises UnjudgedError when the installed version compiles them elsewhere.
        """
        super().load()
        from transformers.utils import chat_template_utils

        compile_fresh = chat_template_utils._compile_jinja_template.__wrapped__

        @lru_cache(maxsize=32)
        def compile_noting(template: str) -> jinja2.Template:
            return self._hits.instrumented(compile_fresh("").environment, template)

        # apply_chat_template finds it here: all that it does to the messages stays the same.
        chat_template_utils._compile_jinja_template = compile_noting
        self._compile = compile_noting
        self._notes = True
        probe = Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29")
        answer = self.render("{% if messages %}y{% endif %}", probe)
        if not isinstance(answer, Rendered) or '"branches":[0,1]' not in answer.text:
            raise UnjudgedError(
                f"Branches cannot be counted with the installed transformers {self.version()} (a probe gave "
                f"{answer}); install transformers 5."
            )

    def render(self, template: str, request: Request) -> Outcome:
        """Return the numbers of the branches that ran for one request."""
        if not self._notes:
            return super().render(template, request)
        self._hits.clear()
        return self._hits.outcome(super().render(template, request))
