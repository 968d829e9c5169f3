"""Which branches of a template run: the syntax tree with a counter at the start of every branch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jinja2 import nodes
from transformers.utils.chat_template_utils import _compile_jinja_template


class BranchCounter:
    """A copy of a template that counts; it writes the same text as the template itself.

    A branch is named by line and side: the body of an if or elif, the else (written or not), the body of a
    loop, and both sides of an `a if b else c`.
    """

    def __init__(self, source: str) -> None:
        self.runs: Counter[tuple[int, int, str]] = Counter()
        self._branches: list[tuple[int, int, str]] = []
        environment = _compile_jinja_template(source).environment
        tree = environment.parse(source)
        self._mark_statements(tree)
        self._mark_expressions(tree)
        code = environment.compile(tree, filename="<counted>")
        variables = {**environment.globals, "__ran__": self._ran}
        self.template = environment.template_class.from_code(environment, code, variables)

    def never_run(self) -> list[tuple[int, str]]:
        """Return the branches that did not run yet, by line."""
        return sorted(
            (line, side) for number, line, side in self._branches if not self.runs[number, line, side]
        )

    def render(self, date: str, **context: Any) -> str:
        """Render with the template's own variables."""
        return self.template.render(strftime_now=lambda _: date, **context)

    def _ran(self, number: int, line: int, side: str, value: Any = "") -> Any:
        self.runs[number, line, side] += 1
        return value

    def _call(self, line: int, side: str, *value: nodes.Expr) -> nodes.Call:
        branch = (len(self._branches), line, side)
        self._branches.append(branch)
        arguments = [*(nodes.Const(part) for part in branch), *value]
        call = nodes.Call(nodes.Name("__ran__", "load"), arguments, [], None, None)
        return call.set_lineno(line)

    def _mark(self, body: list[nodes.Node], line: int, side: str) -> list[nodes.Node]:
        return [nodes.Output([self._call(line, side)]).set_lineno(line), *body]

    def _mark_statements(self, tree: nodes.Template) -> None:
        tests = list(tree.find_all(nodes.If))
        inner = {id(other) for test in tests for other in test.elif_}  # an elif is an If without an else
        for test in tests:
            if id(test) in inner:
                continue
            test.body = self._mark(test.body, test.lineno, "if")
            for other in test.elif_:
                other.body = self._mark(other.body, other.lineno, "elif")
            test.else_ = self._mark(test.else_, test.lineno, "else")
        for loop in list(tree.find_all(nodes.For)):
            loop.body = self._mark(loop.body, loop.lineno, "loop")

    def _mark_expressions(self, tree: nodes.Template) -> None:
        for choice in list(tree.find_all(nodes.CondExpr)):
            choice.expr1 = self._call(choice.lineno, "a of a if b", choice.expr1)
            if choice.expr2 is not None:
                choice.expr2 = self._call(choice.lineno, "c of a if b else c", choice.expr2)
