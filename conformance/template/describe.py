"""What a branch of a template is called in a report: the source of its tag, cut out of its line."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from jinja2 import nodes
from jinja2.nodes import Node

_LONGEST = 72  # characters
_LINE_END = re.compile("\r\n|\r|\n")  # as Jinja counts lines
_TAG = re.compile(r"\{%[-+]?\s*(.*?)\s*[-+]?%\}")
_EXPRESSION = re.compile(r"\{\{.*?\}\}")


class Describer:
    """Describes the branches of one template, which must come in the order of the source."""

    _PREFIX: ClassVar[dict[str, str]] = {
        "else": "else of ",
        "not": "false: ",
        "for-else": "else of ",
        "then": "inline if ",
        "otherwise": "else of inline if ",
    }

    def __init__(self, template: str) -> None:
        self._lines = _LINE_END.split(template)
        self._seen: Counter[tuple[int, str]] = Counter()
        self._texts: dict[int, str] = {}

    def __call__(self, kind: str, node: Node) -> tuple[int, str]:
        """Return the line, from 1, and the description of a branch as `branch_probe.walk` gives it."""
        line = node.lineno
        if isinstance(node, nodes.Output):
            line, text = self._output(node)
        elif isinstance(node, nodes.CondExpr):
            text = expression(node.test)
        else:
            text = self._tag(kind, node)
        text = self._PREFIX.get(kind, "") + text
        return line, text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def _next(self, line: int, word: str, found: list[str]) -> str | None:
        """Return the one of a line's tags whose turn it is: branches and tags come in the same order."""
        position = self._seen[line, word]
        self._seen[line, word] += 1
        return found[position] if position < len(found) else None

    def _tag(self, kind: str, node: Node) -> str:
        if kind in ("if", "elif", "for", "macro"):
            line = self._line(node.lineno)
            tags = [tag for tag in _TAG.findall(line) if tag.split(None, 1)[:1] == [kind]]
            self._texts[id(node)] = self._next(node.lineno, kind, tags) or line.strip()
        return self._texts[id(node)]

    def _output(self, output: nodes.Output) -> tuple[int, str]:
        described: tuple[int, str] | None = None
        for child in output.nodes:
            if isinstance(child, nodes.TemplateData):
                text = child.data.lstrip()
                blank = child.data[: len(child.data) - len(text)]
                found = child.lineno + blank.count("\n"), text.split("\n")[0].rstrip()
            else:
                line = self._line(child.lineno)
                text = self._next(child.lineno, "{{", _EXPRESSION.findall(line)) or line.strip()
                found = child.lineno, text
            if text and described is None:
                described = found
        return described or (output.lineno, self._line(output.lineno).strip())


_OPERATORS = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "notin": "not in"}


def expression(node: Node | None) -> str:
    """Return an expression as one would write it; what is rare in conditions is written as `…`."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Const():
            return str(node.value).lower() if isinstance(node.value, bool | None) else repr(node.value)
        case nodes.Getattr():
            return f"{expression(node.node)}.{node.attr}"
        case nodes.Getitem():
            return f"{expression(node.node)}[{expression(node.arg)}]"
        case nodes.Slice():
            return ":".join(expression(each) if each else "" for each in (node.start, node.stop))
        case nodes.Not():
            return f"not {expression(node.node)}"
        case nodes.And() | nodes.Or():
            word = "and" if isinstance(node, nodes.And) else "or"
            return f"{expression(node.left)} {word} {expression(node.right)}"
        case nodes.Compare():
            parts = [f" {_OPERATORS.get(each.op, each.op)} {expression(each.expr)}" for each in node.ops]
            return expression(node.expr) + "".join(parts)
        case nodes.Call():
            return f"{expression(node.node)}({', '.join(map(expression, node.args))})"
        case nodes.Filter() | nodes.Test():
            given = f"({', '.join(map(expression, node.args))})" if node.args else ""
            joint = "|" if isinstance(node, nodes.Filter) else " is "
            return f"{expression(node.node)}{joint}{node.name}{given}"
        case _:
            return "…"
