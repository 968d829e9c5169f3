"""What a template seems to wait for, read from its syntax tree: words, schema keys, lengths of conversations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.nodes import Node

from conformance.generate import Hints
from conformance.template.marks import parse

_WORDS, _KEYS = 150, 60
_LONGEST_WORD = 64  # characters; what is longer is text to write, not a word to wait for
_LONGEST_CONVERSATION = 40  # messages; longer ones cost the campaign more than a rare branch is worth

# What every case has or the grammar draws anyway.
_ORDINARY_WORDS = frozenset((
    "system", "developer", "user", "assistant", "tool", "function", "ipython", "model", "human", "gpt",
    "tool_call", "tool_calls", "tool_response", "tool_results", "tools", "content", "role", "name", "text",
    "string", "number", "integer", "boolean", "object", "array", "null", "low", "medium", "high",
    "browser", "python", "reasoning_content", "thinking", "arguments", "id", "type", "message",
))  # fmt: skip
_ORDINARY_KEYS = _ORDINARY_WORDS | frozenset((
    "parameters", "call", "tool_call_id", "messages", "reasoning", "strict", "index", "index0", "first", "last",
    "length", "revindex", "revindex0", "previtem", "nextitem", "depth", "depth0", "cycle", "changed",
))  # fmt: skip
_SEARCHES = frozenset((
    "startswith", "endswith", "split", "rsplit", "partition", "rpartition", "find", "rfind", "index", "rindex",
    "count", "replace", "removeprefix", "removesuffix", "strip", "lstrip", "rstrip",
))  # fmt: skip
_COMPARING_TESTS = frozenset(("eq", "equalto", "==", "ne", "!=", "in", "startingwith", "endingwith"))
_COUNTED_FROM_0 = frozenset(("index0", "revindex0"))
_COUNTERS = frozenset(("index", "revindex", "length")) | _COUNTED_FROM_0


def hints_of(template_text: str) -> Hints:
    """Return what the branches of a template wait for, empty when Jinja cannot parse it; nothing is executed."""
    try:
        return _Reader(parse(template_text)).hints()
    except (TemplateError, RecursionError, ValueError):
        return Hints()


class _Reader:
    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._words: dict[str, None] = {}
        self._keys: dict[str, None] = {}
        self._longest = 0
        # Variables that hold a text of the template, and those that hold (a part of) the messages.
        self._texts: dict[str, list[str]] = {}
        self._conversations = {"messages", "loop_messages"}
        self._counters: set[tuple[str, str]] = set()
        self._others: set[str] = {"loop", "self", "caller"}

    def hints(self) -> Hints:
        """Return what was found, in the order in which it stands in the template."""
        for assignment in self._tree.find_all(nodes.Assign):
            self._assignment(assignment)
        for loop in self._tree.find_all(nodes.For):
            # The keys of messages are the shapes' business; hints are for schemas.
            if _root(loop.iter) in self._conversations and isinstance(loop.target, nodes.Name):
                self._others.add(loop.target.name)
        self._visit(self._tree, over_messages=False)
        return Hints(tuple(self._words)[:_WORDS], tuple(self._keys)[:_KEYS], self._longest)

    def _assignment(self, node: nodes.Assign) -> None:
        target, value = node.target, node.node
        if isinstance(target, nodes.Name):
            self._texts.setdefault(target.name, []).extend(_constants(value))
            if isinstance(value, nodes.Call) and _root(value.node) == "namespace":
                self._others.add(target.name)
            elif _root(value) in self._conversations and _whole(value):
                self._conversations.add(target.name)
        elif isinstance(target, nodes.NSRef) and isinstance(value, nodes.Add):
            self._counters.add((target.name, target.attr))

    def _visit(self, node: Node, *, over_messages: bool) -> None:
        inside = over_messages
        match node:
            case nodes.Compare():
                self._compare(node, over_messages)
            case nodes.Call(node=nodes.Getattr(attr=attr)):
                if attr in _SEARCHES:
                    self._wait_for(*node.args)
                elif attr == "get":
                    self._look_at(node.node, _constants(*node.args[:1]))
            case nodes.Test():
                if node.name in _COMPARING_TESTS:
                    self._wait_for(*node.args)
            case nodes.Filter():
                if node.name in ("replace", "split"):
                    self._wait_for(*node.args[:1])
            case nodes.Getattr():
                self._look_at(node, [node.attr])
            case nodes.Getitem(arg=nodes.Const(value=value)):
                if isinstance(value, str):
                    self._look_at(node, [value])
                elif isinstance(value, int) and _root(node) in self._conversations:
                    self._reach(value + 1)
            case nodes.For():
                inside = _root(node.iter) in self._conversations
        for field, child in _children(node):
            if field == "node" and isinstance(node, nodes.Call) and isinstance(child, nodes.Getattr):
                child = child.node  # what is called is a method, not a key
            self._visit(child, over_messages=inside if field == "body" else over_messages)

    def _compare(self, node: nodes.Compare, over_messages: bool) -> None:
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        # 'x' in message.content asks for a word, 'x' in schema for a key.
        if node.ops[0].op in ("in", "notin") and isinstance(sides[1], nodes.Name):
            self._look_at(sides[1], _constants(sides[0]))
        self._wait_for(*sides)
        for side, other, swapped in ((sides[0], sides[-1], False), (sides[-1], sides[0], True)):
            number = other.value if isinstance(other, nodes.Const) else None
            if isinstance(number, int) and not isinstance(number, bool):
                self._count(side, number, node.ops[0].op, over_messages, swapped)

    def _count(self, side: Node, number: int, operator: str, over_messages: bool, swapped: bool) -> None:
        """Take in a comparison of something with a number: the length at which both outcomes were seen."""
        if isinstance(side, nodes.Mod):
            if isinstance(side.right, nodes.Const) and isinstance(side.right.value, int):
                self._count(side.left, side.right.value, "eq", over_messages, swapped)
            return
        from_0 = False
        match side:
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=attr) if attr in _COUNTERS:
                if not over_messages:
                    return
                from_0 = attr in _COUNTED_FROM_0
            case nodes.Getattr(node=nodes.Name(name=name), attr=attr) if (name, attr) in self._counters:
                pass
            case nodes.Filter(name="length" | "count", node=nodes.Node() as counted):
                if _root(counted) not in self._conversations or not _whole(counted):
                    return
            case nodes.Add() | nodes.Sub():
                if isinstance(side.right, nodes.Const) and isinstance(side.right.value, int):
                    shift = -side.right.value if isinstance(side, nodes.Add) else side.right.value
                    self._count(side.left, number + shift, operator, over_messages, swapped)
                return
            case _:
                return
        exceeds = operator in (("lt", "gteq") if swapped else ("gt", "lteq"))
        self._reach(number + exceeds + from_0)

    def _reach(self, messages: int) -> None:
        if 2 < messages <= _LONGEST_CONVERSATION:
            self._longest = max(self._longest, messages)

    def _wait_for(self, *expressions: Node | None) -> None:
        for word in _constants(*expressions):
            self._word(word)
        for expression in expressions:
            if isinstance(expression, nodes.Name):
                for word in self._texts.get(expression.name, ()):
                    self._word(word)

    def _word(self, word: str) -> None:
        if word.strip() and len(word) <= _LONGEST_WORD and word not in _ORDINARY_WORDS:
            self._words[word] = None

    def _look_at(self, node: Node, keys: Iterable[str]) -> None:
        root = _root(node)
        if root is None or root in self._others:
            return
        for key in keys:
            if key.isidentifier() and key not in _ORDINARY_KEYS:
                self._keys[key] = None


def _children(node: Node) -> Iterator[tuple[str, Node]]:
    for field, value in node.iter_fields():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, Node):
                yield field, child


def _constants(*expressions: Node | None) -> list[str]:
    """Return the string constants among expressions, and those in lists and tuples among them."""
    found: list[str] = []
    for expression in expressions:
        if isinstance(expression, nodes.Const) and isinstance(expression.value, str):
            found.append(expression.value)
        elif isinstance(expression, (nodes.List, nodes.Tuple)):
            found += _constants(*expression.items)
    return found


def _root(node: Node | None) -> str | None:
    """Return the variable that an expression begins with: `message` of `message.content[0].text|trim`."""
    while not isinstance(node, nodes.Name):
        if not isinstance(node, (nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Call)):
            return None
        node = node.node
    return node.name


def _whole(node: Node) -> bool:
    """Say whether an expression is a conversation: messages and messages[1:] are, messages[0] is not."""
    while isinstance(node, (nodes.Filter, nodes.Getitem)):
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
            return False
        if node.node is None:
            return False
        node = node.node
    return isinstance(node, nodes.Name)
