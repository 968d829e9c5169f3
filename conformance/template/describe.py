"""What a branch of a template is called in a report: the source of its tag, cut out of its line."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from jinja2 import nodes
from jinja2.nodes import Node

_LONGEST = 72  # characters
_READ = 2_000  # of a tag: its description needs no more
_LINE_END = re.compile("\r\n|\r|\n")  # as Jinja counts lines
_CLOSE = {"{%": "%}", "{{": "}}"}


class Describer:
    """Describes the branches of one template, which must come in the order of the source."""

    _PREFIX: ClassVar[dict[str, str]] = {
        "else": "else of ",
        "not": "false: ",
        "for-else": "else of ",
        "then": "inline if ",
        "otherwise": "else of inline if ",
        "true": "true: ",
        "false": "false: ",
    }

    def __init__(self, template: str) -> None:
        self._lines = _LINE_END.split(template)
        self._seen: Counter[tuple[int, str]] = Counter()
        self._texts: dict[int, str] = {}
        # The tags of a line by their keyword, and its expressions; a line may hold all of a template.
        self._found: dict[tuple[int, str], dict[str, list[str]]] = {}

    def __call__(self, kind: str, node: Node) -> tuple[int, str]:
        """Return the line, from 1, and the description of a branch as `branch_probe.walk` gives it."""
        line = node.lineno
        if isinstance(node, nodes.Output):
            line, text = self._output(node)
        elif kind in ("true", "false"):
            text = expression(node)
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
            tag = self._next(node.lineno, kind, self._in_line(node.lineno, "{%").get(kind, []))
            self._texts[id(node)] = tag or self._blurb(node.lineno)
        return self._texts[id(node)]

    def _output(self, output: nodes.Output) -> tuple[int, str]:
        described: tuple[int, str] | None = None
        for child in output.nodes:
            if isinstance(child, nodes.TemplateData):
                text = child.data.lstrip()
                blank = child.data[: len(child.data) - len(text)]
                found = child.lineno + blank.count("\n"), text[:_READ].split("\n")[0].rstrip()
            else:
                expressions = self._in_line(child.lineno, "{{").get("", [])
                text = self._next(child.lineno, "{{", expressions) or self._blurb(child.lineno)
                found = child.lineno, text
            if text and described is None:
                described = found
        return described or (output.lineno, self._blurb(output.lineno))

    def _blurb(self, number: int) -> str:
        """Return the beginning of a line, for what has no tag of its own there."""
        return self._line(number)[:_READ].strip()

    def _in_line(self, number: int, opening: str) -> dict[str, list[str]]:
        """Return the beginnings of all tags, by keyword, or of all expressions of a line."""
        key = number, opening
        if key not in self._found:
            found = self._found[key] = {}
            line, close = self._line(number), _CLOSE[opening]
            at = line.find(opening)
            while at >= 0 and (end := line.find(close, at + 2)) >= 0:
                if opening == "{{":
                    found.setdefault("", []).append(line[at : min(end + 2, at + _READ)])
                else:
                    body = line[at + 2 : min(end, at + _READ)].strip("-+").strip()
                    found.setdefault(body.split(None, 1)[0] if body else "", []).append(body)
                at = line.find(opening, end + 2)
        return self._found[key]


_OPERATORS = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "notin": "not in"}


_ARITHMETIC = frozenset(("+", "-", "*", "/", "//", "%", "**"))


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
        case nodes.Concat():
            return " ~ ".join(map(expression, node.nodes))
        case nodes.List() | nodes.Tuple():
            return f"[{', '.join(map(expression, node.items))}]"
        case nodes.BinExpr() if node.operator in _ARITHMETIC:
            return f"{expression(node.left)} {node.operator} {expression(node.right)}"
        case _:
            return "…"
