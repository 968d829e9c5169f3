"""Where a template's output hangs on more than structure: on what a text says, the time, chance, a count, an argument.

By data flow through the syntax tree: every value that is read out of messages and tools carries the label `text`, a
time of day `clock`, and so on; labels follow values through variables, macros, loops and namespaces. A *place* is an
expression that makes a decision out of a labelled value: a comparison, a test, a search, a lookup, a measure. To write
a text, to ask whether it is there or of which type it is, is none, nor is to ask how the host wrote it (`writings`).
Nothing is executed here; whether the campaign saw more than one outcome of a place is noted by `audit_probe`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jinja2 import nodes
from jinja2.nodes import Node

from conformance.template.describe import expression
from conformance.template.parts import GIVEN
from conformance.template.writings import host_questions, unescapes

Label: TypeAlias = Literal["text", "clock", "chance", "helper", "count", "argument"]
Labels: TypeAlias = frozenset[Label]

# What each label is called in a report.
WORDS: dict[Label, str] = {
    "text": "what a text says",
    "clock": "the time of day",
    "chance": "chance",
    "helper": "the object behind a helper",
    "count": "the number of messages",
    "argument": "an undeclared argument",
}
_NONE: Labels = frozenset()
_TEXT: Labels = frozenset({"text"})
# Variables that hold what was said; everything read out of them is a text but for these keys.
_DATA = frozenset(("messages", "tools", "documents"))
_STRUCTURE = frozenset(("role", "type"))
_HELPERS = frozenset(
    ("strftime_now", "raise_exception", "namespace", "range", "dict", "lipsum", "cycler", "joiner", "self")
)
# Questions of presence and type are structure.
_PRESENCE = frozenset((
    "defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float",
    "boolean", "true", "false", "callable", "filter", "test",
))  # fmt: skip
# What hands a text on as it is, or a part of it, and decides nothing.
_HANDED_ON = frozenset((
    "safe", "string", "trim", "tojson", "default", "d", "e", "escape", "forceescape", "lower", "upper", "title",
    "capitalize", "indent", "join", "list", "items", "dictsort", "first", "last", "reverse", "map", "batch", "slice",
    "format", "striptags", "urlencode", "center", "wordwrap", "xmlattr", "pprint", "attr", "abs", "float", "int",
    "round",
))  # fmt: skip
_METHODS = frozenset((
    "strip", "lstrip", "rstrip", "items", "keys", "values", "get", "split", "rsplit", "splitlines", "join", "lower",
    "upper", "title", "capitalize", "format", "copy", "encode", "removeprefix", "removesuffix", "append", "update",
))  # fmt: skip
_PASSES = 12
_LONGEST = 160  # characters of an expression
# What is a decision wherever it is asked, and not only where it is compared.
_BEYOND: Labels = frozenset({"clock", "chance", "helper", "argument"})


@dataclass(frozen=True, slots=True)
class Place:
    """An expression that decides: its number in the order of the source, line from 1, text, and what it hangs on.

    `refuses` says that all it decides on is whether the template refuses the conversation; `branch` is the number of
    the branch that it lies in.
    """

    number: int
    line: int
    what: str
    labels: Labels
    node: Node
    refuses: bool = False
    branch: int | None = None

    @property
    def asks_for_key(self) -> bool:
        """Whether it asks if a fixed word is in something: a key in a mapping is structure."""
        node = self.node
        return (
            isinstance(node, nodes.Compare)
            and node.ops[0].op in ("in", "notin")
            and isinstance(node.expr, nodes.Const)
            and not isinstance(node.ops[0].expr, nodes.Const | nodes.List | nodes.Tuple)
        )

    @property
    def replaces(self) -> bool:
        """Whether it hands a text on in which something may have been replaced."""
        match self.node:
            case nodes.Filter(name="replace") | nodes.Call(node=nodes.Getattr(attr="replace")):
                return True
        return False


def places_of(tree: nodes.Template) -> list[Place]:
    """Return the places of a syntax tree, whose nodes they hold, in the order in which they are evaluated."""
    return _Audit(tree).places()


class _Audit:
    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._variables: dict[str, Labels] = {}
        # Variables that hold (a part of) the list of messages: their length is how long the conversation is.
        self._conversations = {"messages"}
        self._macros = {macro.name: macro for macro in tree.find_all(nodes.Macro)}
        self._returns: dict[str, Labels] = {}
        set_here = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"} | set(self._macros)
        read = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
        self._own = read - set_here - GIVEN
        self._found: dict[int, tuple[Node, Labels]] = {}
        self._refusing: set[int] = set()
        self._of_the_host = host_questions(tree)

    def places(self) -> list[Place]:
        """Follow labels until nothing changes, then note the places."""
        for _ in range(_PASSES):
            before = (dict(self._variables), dict(self._returns), set(self._conversations))
            self._found = {}
            self._body(self._tree.body, loop=_NONE)
            if before == (self._variables, self._returns, self._conversations):
                break
        ordered = sorted(self._found.values(), key=lambda found: found[0].lineno)
        return [
            Place(number, node.lineno, expression(node)[:_LONGEST], labels, node, id(node) in self._refusing)
            for number, (node, labels) in enumerate(ordered)
        ]

    def _set(self, name: str, labels: Labels) -> None:
        self._variables[name] = self._variables.get(name, _NONE) | labels

    # Statements: each returns the labels of what it writes.

    def _body(self, body: Iterable[Node], *, loop: Labels) -> Labels:
        return _NONE.union(*(self._statement(node, loop) for node in body))

    def _statement(self, node: Node, loop: Labels) -> Labels:
        match node:
            case nodes.Output():
                written = _NONE
                for child in node.nodes:
                    labels = self._value(child, loop)
                    written |= labels
                    # Texts are there to be written; the time of day, chance and helpers are not.
                    if labels & {"clock", "chance", "helper"} and not isinstance(child, nodes.TemplateData):
                        self._place(child, labels & {"clock", "chance", "helper"})
                return written
            case nodes.If():
                arms = [node.body, *(arm.body for arm in node.elif_), node.else_]
                for arm in (node, *node.elif_):
                    self._test(arm.test, loop)
                    if _refuses(arm.body):
                        self._refusing.update(id(each) for each in (arm.test, *arm.test.find_all(nodes.Expr)))
                return _NONE.union(*(self._body(arm, loop=loop) for arm in arms))
            case nodes.For():
                return self._for(node, loop)
            case nodes.Macro():
                for parameter, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
                    self._set(parameter.name, self._value(default, loop))
                written = self._body(node.body, loop=_NONE)
                self._returns[node.name] = self._returns.get(node.name, _NONE) | written
                return _NONE
            case nodes.Assign():
                self._assign(node.target, self._value(node.node, loop), node.node)
                return _NONE
            case nodes.AssignBlock():
                self._assign(node.target, self._body(node.body, loop=loop), None)
                return _NONE
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._assign(target, self._value(value, loop), value)
                return self._body(node.body, loop=loop)
            case nodes.CallBlock():
                written = self._body(node.body, loop=loop)
                self._returns["caller"] = self._returns.get("caller", _NONE) | written
                return self._value(node.call, loop) | written
            case nodes.FilterBlock() | nodes.Scope() | nodes.Block():
                return self._body(node.body, loop=loop)
            case nodes.ExprStmt():
                self._value(node.node, loop)
                return _NONE
            case _:
                return _NONE

    def _for(self, node: nodes.For, loop: Labels) -> Labels:
        labels = self._value(node.iter, loop)
        over = self._is_conversation(node.iter)
        self._assign(node.target, _TEXT if over else labels, None)
        inner: Labels = frozenset({"count"}) if over else labels & _TEXT
        if node.test is not None:
            self._test(node.test, inner)
        return self._body(node.body, loop=inner) | self._body(node.else_, loop=loop)

    def _assign(self, target: Node, labels: Labels, value: Node | None) -> None:
        match target:
            case nodes.Name():
                self._set(target.name, labels)
                if value is not None and self._is_conversation(value):
                    self._conversations.add(target.name)
            case nodes.NSRef():
                self._set(f"{target.name}.{target.attr}", labels)
                if value is not None and self._is_conversation(value):
                    self._conversations.add(f"{target.name}.{target.attr}")
            case _:
                for name in target.find_all(nodes.Name):
                    self._set(name.name, labels)

    # Expressions

    def _place(self, node: Node, labels: Labels) -> None:
        if labels and id(node) not in self._of_the_host:
            self._found[id(node)] = node, labels

    def _value(self, node: Node | None, loop: Labels) -> Labels:
        """Return the labels of a value, noting the places in the expression that makes it."""
        match node:
            case None | nodes.Const() | nodes.TemplateData():
                return _NONE
            case nodes.Name():
                return self._name(node)
            case nodes.Getattr():
                return self._attribute(node, loop)
            case nodes.Getitem():
                return self._item(node, loop)
            case nodes.Call():
                return self._call(node, loop)
            case nodes.Filter():
                return self._filter(node, loop)
            case nodes.Test():
                labels = self._all([node.node, *node.args], loop)
                beyond = labels - _TEXT if node.name in _PRESENCE else labels
                self._place(node, beyond)
                return beyond
            case nodes.Compare():
                labels = self._all([node.expr, *(operand.expr for operand in node.ops)], loop)
                labels = labels if _tells(node) else labels & _BEYOND
                self._place(node, labels)
                return labels
            case nodes.Not():
                return self._test(node.node, loop)
            case nodes.And() | nodes.Or():
                return self._test(node.left, loop) | self._test(node.right, loop)
            case nodes.CondExpr():
                self._test(node.test, loop)
                return self._value(node.expr1, loop) | self._value(node.expr2, loop)
            case nodes.Mul() | nodes.Mod() | nodes.FloorDiv() | nodes.Div() | nodes.Pow():
                labels = self._all([node.left, node.right], loop)
                self._place(node, labels)
                return labels
            case _:
                return self._all(node.iter_child_nodes(), loop)

    def _test(self, node: Node, loop: Labels) -> Labels:
        """Return the labels of a value that is asked whether it is true; a text only says so that it is there."""
        labels = self._value(node, loop)
        if id(node) not in self._found and not isinstance(node, nodes.And | nodes.Or | nodes.Not):
            self._place(node, labels & _BEYOND)
        return labels

    def _all(self, several: Iterable[Node | None], loop: Labels) -> Labels:
        return _NONE.union(*(self._value(each, loop) for each in several))

    def _name(self, node: nodes.Name) -> Labels:
        labels = self._variables.get(node.name, _NONE)
        if node.name in _DATA:
            labels |= _TEXT
        if node.name in self._own:
            labels |= {"argument"}
        if node.name in _HELPERS and node.name not in self._variables:
            labels |= {"helper"}
        return labels

    def _attribute(self, node: nodes.Getattr, loop: Labels) -> Labels:
        if node.attr.startswith("__"):
            return frozenset({"helper"})
        if isinstance(node.node, nodes.Name):
            if node.node.name == "loop":
                return _NONE if node.attr in ("first", "last", "previtem", "nextitem") else loop
            if f"{node.node.name}.{node.attr}" in self._variables:
                return self._variables[f"{node.node.name}.{node.attr}"]
        return _NONE if node.attr in _STRUCTURE else self._value(node.node, loop)

    def _item(self, node: nodes.Getitem, loop: Labels) -> Labels:
        labels = self._value(node.node, loop)
        match node.arg:
            case nodes.Const(value=str() as key):
                return _NONE if key in _STRUCTURE else labels
            case nodes.Const(value=int() as number) if self._is_conversation(node.node):
                return labels | ({"count"} if number > 1 or number < -1 else _NONE)
            case nodes.Const():
                return labels
            case nodes.Slice() as bounds:
                decided = self._all([bounds.start, bounds.stop, bounds.step], loop)
                self._place(node, decided)
                return labels | decided
        decided = self._value(node.arg, loop)
        # To walk a mapping by its own keys, or a list by a counter, is to read it.
        if not (isinstance(node.arg, nodes.Name) and labels):
            self._place(node, decided)
        return labels | decided

    def _call(self, node: nodes.Call, loop: Labels) -> Labels:
        given = self._all([*node.args, *(keyword.value for keyword in node.kwargs)], loop)
        given |= self._all([node.dyn_args, node.dyn_kwargs], loop)
        match node.node:
            case nodes.Name(name="strftime_now"):
                form = node.args[0].value if node.args and isinstance(node.args[0], nodes.Const) else "%c"
                return given | (_NONE if _of_the_day(str(form)) else {"clock"})
            case nodes.Name(name="lipsum"):
                return given | {"chance"}
            case nodes.Name(name=name) if name in self._macros or name == "caller":
                self._hand_over(node, loop)
                return self._returns.get(name, _NONE)
            case nodes.Name(name=name) if name in _HELPERS:
                return given
            case nodes.Getattr(attr=method) as called:
                labels = self._value(called.node, loop)
                if method == "get" and node.args and not isinstance(node.args[0], nodes.Const):
                    self._place(node, given)
                elif method not in _METHODS or (method in ("split", "rsplit") and node.args):
                    self._place(node, labels | given)
                return labels | given
        return given | self._value(node.node, loop)

    def _hand_over(self, node: nodes.Call, loop: Labels) -> None:
        """Give a macro's parameters the labels of what a call hands over."""
        assert isinstance(node.node, nodes.Name)
        macro = self._macros.get(node.node.name)
        if macro is None:
            return
        given = [*zip((parameter.name for parameter in macro.args), node.args, strict=False)]
        given += [(keyword.key, keyword.value) for keyword in node.kwargs]
        for name, value in given:
            self._set(name, self._value(value, loop))
            if self._is_conversation(value):
                self._conversations.add(name)

    def _filter(self, node: nodes.Filter, loop: Labels) -> Labels:
        labels = self._value(node.node, loop)
        given = self._all([*node.args, *(keyword.value for keyword in node.kwargs)], loop)
        if node.name == "random":
            return labels | {"chance"}
        if node.name in ("length", "count"):
            return frozenset({"count"}) if self._is_conversation(node.node) else labels
        if node.name not in _HANDED_ON and not unescapes(node):
            self._place(node, labels | given)
        return labels | given

    def _is_conversation(self, node: Node | None) -> bool:
        """Say whether an expression is the list of messages, or a part of that list."""
        match node:
            case nodes.Name():
                return node.name in self._conversations
            case nodes.Getattr(node=nodes.Name(name=name), attr=attr):
                return f"{name}.{attr}" in self._conversations
            case (
                nodes.Getitem(arg=nodes.Slice())
                | nodes.Filter(name="list" | "reverse" | "selectattr" | "rejectattr" | "select" | "reject")
            ):
                return self._is_conversation(node.node)
            case nodes.Add():
                return self._is_conversation(node.left) or self._is_conversation(node.right)
        return False


def _tells(node: nodes.Compare) -> bool:
    """Say whether a comparison tells more of a value than that it is there, or empty, or of a type."""
    sides = (node.expr, *(operand.expr for operand in node.ops))
    return not any(isinstance(one, nodes.Const) and (not one.value or one.value is True) for one in sides)


def _refuses(body: list[Node]) -> bool:
    """Say whether a branch does nothing but refuse the conversation."""
    said = [child for node in body if isinstance(node, nodes.Output) for child in node.nodes]
    return (
        any(_raises(child) for child in said)
        and all(isinstance(node, nodes.Output) for node in body)
        and all(
            _raises(child) or (isinstance(child, nodes.TemplateData) and child.data.isspace())
            for child in said
        )
    )


def _raises(node: Node) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "raise_exception"
    )


def _of_the_day(form: str) -> bool:
    """Say whether a format of the clock asks for the day alone."""
    letters = iter(form)
    for letter in letters:
        if letter == "%":
            code = next(letters, "")
            if code in "-_0^#":
                code = next(letters, "")
            if code not in "aAdbBmyYjUWwuVGCDFxeh%":
                return False
    return True
