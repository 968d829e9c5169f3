"""Engines that answer where a template's text comes from, and what it decided on the way, beside the text itself.

They are not registered: nobody checks a template with them. The template's syntax tree is rewritten so that every
output, condition, loop and assignment notes itself; the text that comes out is the same, since what is noted rides on
it (`traced_text`). A request can also ask what would be written if one of them had gone another way (`Switch`).
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.nodes import Node

from conformance.engines.base import Outcome, Rejected, Rendered, Request
from conformance.engines.jinja2_plain import PlainJinja2Engine
from conformance.engines.jinja_common import rendered
from conformance.engines.transformers_jinja import TransformersEngine
from conformance.errors import UnjudgedError
from conformance.template.traced_text import Run, Traced, join, through

Kind = Literal["output", "value", "if", "for", "set"]
_NOTE = "_conformance_{}"


class Event(msgspec.Struct, frozen=True, array_like=True):
    """Something that ran: the number of its place in the template, and for a condition or loop whether it went in.

    `value` is what an assignment set, where that is a number or a truth value.
    """

    place: int
    went: bool | None = None
    value: bool | int | None = None


class Switch(msgspec.Struct, frozen=True, array_like=True):
    """Another way for one place: a condition decided otherwise, an output not written, another value set.

    `nth` counts how often the place has run before, from 0; None is every time. `value` is what is set instead; a loop
    goes through nothing with 0, and backwards with -1. `most` is how many events may come before the rendering is given
    up: another way can lead into a recursion without an end.
    """

    place: int
    nth: int | None = None
    value: bool | int = 0
    most: int = 10_000


# The key among a request's keywords under which it asks for a switch.
_SWITCH = "_conformance_switch"


def switched(request: Request, switch: Switch) -> Request:
    """Return a request for the text that the template would write with one place going another way."""
    asked = msgspec.json.encode(switch).decode()
    return msgspec.structs.replace(request, kwargs={**request.kwargs, _SWITCH: asked})


def _asked(request: Request) -> tuple[Request, Switch | None]:
    if _SWITCH not in request.kwargs:
        return request, None
    kwargs = dict(request.kwargs)
    switch = msgspec.json.decode(kwargs.pop(_SWITCH), type=Switch)
    return msgspec.structs.replace(request, kwargs=kwargs), switch


class Provenance(msgspec.Struct, frozen=True):
    """A text, its runs (whose chains hold numbers of events), and all events in their order.

    Of a rendering that failed there are the events alone.
    """

    text: str
    runs: list[Run]
    events: list[Event]


def places(tree: nodes.Template, *, instrument: bool = False) -> list[tuple[Kind, Node]]:
    """Return what is noted, in the order of its numbers: outputs, ifs and inline ifs, loops, assignments, and values.

    An output is one printed expression or text; a value is a literal text that is set, passed on, or chosen by an
    inline if, and may be printed elsewhere. `instrument` puts the notes into the tree, after which it is only good for
    being compiled.
    """
    walk = _Places(instrument)
    walk.visit(tree)
    return walk.found


class _Places:
    def __init__(self, instrument: bool) -> None:
        self._instrument = instrument
        self.found: list[tuple[Kind, Node]] = []

    def visit(self, node: Node) -> Node:
        """Walk a node, and return what stands in its place."""
        for field in node.fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                value[:] = [self.visit(child) if isinstance(child, Node) else child for child in value]
            elif isinstance(value, Node):
                setattr(node, field, self.visit(value))
        match node:
            case nodes.Output():
                node.nodes = [self._noted("output", child, child) for child in node.nodes]
            case nodes.CondExpr():
                node.test = self._noted("if", node, node.test)
                node.expr1 = self._value(node.expr1)
                node.expr2 = self._value(node.expr2) if node.expr2 is not None else None
            case nodes.If():
                node.test = self._noted("if", node, node.test)
            case nodes.Call():
                node.args = [self._value(each) for each in node.args]
            case nodes.For():
                node.iter = self._noted("for", node, node.iter)
            case nodes.Assign():
                node.node = self._noted("set", node, self._value(node.node))
            case nodes.Concat() if self._instrument:
                return _filter("join", nodes.List(node.nodes), node.lineno)
        return node

    def _value(self, value: Node) -> Any:
        text = isinstance(value, nodes.Const) and isinstance(value.value, str)
        return self._noted("value", value, value) if text else value

    def _noted(self, kind: Kind, node: Node, value: Node) -> Any:
        self.found.append((kind, node))
        if not self._instrument:
            return value
        if isinstance(value, nodes.TemplateData):
            value = nodes.Const(value.data)
        return _filter(kind, value, node.lineno, nodes.Const(len(self.found) - 1))


def _filter(name: str, value: Node, line: int, *arguments: nodes.Expr) -> nodes.Filter:
    made = nodes.Filter(
        value,
        _NOTE.format(name),
        list(arguments),
        [],
        None,
        None,
    )
    made.set_lineno(line, override=True)
    return made


class _Notes:
    """What one rendering noted."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._switch: Switch | None = None
        self._ran = 0

    def begin(self, switch: Switch | None) -> None:
        """Forget what was noted; the next rendering goes the other way at one place."""
        self.events.clear()
        self._switch, self._ran = switch, 0

    def _switches(self, place: int) -> Switch | None:
        """Return the switch if it is this place's turn."""
        switch = self._switch
        if switch is None:
            return None
        if len(self.events) > switch.most:
            raise RecursionError("the other way has no end")
        if switch.place != place:
            return None
        self._ran += 1
        return switch if switch.nth in (None, self._ran - 1) else None

    def instrumented(self, environment: jinja2.Environment, template: str) -> jinja2.Template:
        """Return the template, compiled in its engine's environment with the notes in it."""
        tree = environment.parse(template)
        places(tree, instrument=True)
        notes: dict[str, Callable[..., Any]] = {
            "output": self._output,
            "value": self._output,
            "if": self._if,
            "for": self._for,
            "set": self._set,
            "join": self._join,
        }
        for kind, note in notes.items():
            # A filter that asks for the context is never called at compile time.
            environment.filters[_NOTE.format(kind)] = jinja2.pass_context(partial(note))
        environment.concat = join  # type: ignore[method-assign]
        return environment.from_string(tree.set_environment(environment))  # type: ignore[arg-type]

    def _output(self, _: object, value: Any, place: int) -> Traced:
        self.events.append(Event(place))
        if self._switches(place):
            value = ""
        return through(value, len(self.events) - 1)

    def _if(self, _: object, value: Any, place: int) -> Any:
        self.events.append(Event(place, bool(value)))
        return not value if self._switches(place) else value

    def _for(self, _: object, value: Any, place: int) -> Any:
        self.events.append(Event(place, len(value) > 0 if isinstance(value, Sized) else None))
        if (switch := self._switches(place)) is not None:
            return list(value)[::-1] if switch.value else ()
        return value

    def _set(self, _: object, value: Any, place: int) -> Any:
        self.events.append(Event(place, None, value if isinstance(value, bool | int) else None))
        switch = self._switches(place)
        return value if switch is None else switch.value

    def _join(self, _: object, values: list[Any]) -> str:
        return join(values)

    def outcome(self, text: object) -> Outcome:
        """Return what was noted of a rendering, as JSON; of one with a switch the text alone."""
        if self._switch is not None:
            return rendered(str.__str__(text) if isinstance(text, str) else text)
        runs = list(text.runs) if isinstance(text, Traced) else []
        plain = str.__str__(text) if isinstance(text, str) else str(text)
        return Rendered(msgspec.json.encode(Provenance(plain, runs, self.events)).decode())

    def failure(self) -> Outcome:
        """Return what was noted until a rendering failed, as JSON; of one with a switch nothing but that it did."""
        if self._switch is not None:
            return Rejected("the other way fails", None)
        return Rendered(msgspec.json.encode(Provenance("", [], self.events)).decode())


class Jinja2Provenance(PlainJinja2Engine):
    """The engine `jinja2` with notes of where its text comes from: renders a `Provenance` as JSON."""

    name: ClassVar[str] = "jinja2-provenance"

    def __init__(self) -> None:
        super().__init__()
        self._notes = _Notes()

    def render(self, template: str, request: Request) -> Outcome:
        """Return where the text of one request comes from."""
        request, switch = _asked(request)
        self._notes.begin(switch)
        outcome = super().render(template, request)
        if isinstance(outcome, Rendered):
            return self._notes.outcome(outcome.text)
        return self._notes.failure()

    def _compile_anew(self, template: str) -> jinja2.Template:
        return self._notes.instrumented(super()._compile_anew("").environment, template)


class TransformersProvenance(TransformersEngine):
    """The engine `transformers` with notes of where its text comes from: renders a `Provenance` as JSON."""

    name: ClassVar[str] = "transformers-provenance"

    def __init__(self) -> None:
        super().__init__()
        self._notes: _Notes | None = None

    def load(self) -> None:
        """Import transformers and let it compile templates with the notes in.

        Raises UnjudgedError when the installed version compiles them elsewhere.
        """
        super().load()
        from transformers.utils import chat_template_utils

        compile_fresh = chat_template_utils._compile_jinja_template.__wrapped__
        notes = _Notes()

        @lru_cache(maxsize=32)
        def compile_noting(template: str) -> jinja2.Template:
            return notes.instrumented(compile_fresh("").environment, template)

        # apply_chat_template finds it here: all that it does to the messages stays the same.
        chat_template_utils._compile_jinja_template = compile_noting
        self._compile = compile_noting
        self._notes = notes
        probe = Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29")
        answer = self.render("{{ 'y' ~ messages[0].content }}", probe)
        if not isinstance(answer, Rendered) or '"text":"yx"' not in answer.text:
            raise UnjudgedError(
                f"Lines cannot be traced with the installed transformers {self.version()} (a probe gave "
                f"{answer}); install transformers 5."
            )

    def render(self, template: str, request: Request) -> Outcome:
        """Return where the text of one request comes from."""
        request, switch = _asked(request)
        if self._notes is not None:
            self._notes.begin(switch)
        outcome = super().render(template, request)
        return outcome if isinstance(outcome, Rendered) or self._notes is None else self._notes.failure()

    def outcome(self, text: object) -> Outcome:
        """Return where a text comes from, as JSON."""
        return super().outcome(text) if self._notes is None else self._notes.outcome(text)
