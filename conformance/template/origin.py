"""Where a part of a template's output comes from: the line that wrote it, what printed it on, what was not written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.nodes import Node

from conformance.compare.base import parting
from conformance.engines.base import Rendered, Request
from conformance.engines.host import Host
from conformance.report.model import Origin
from conformance.template.marks import parse
from conformance.template.provenance import Event, Kind, Provenance, places
from conformance.template.switching import decisive
from conformance.template.traced_text import Runs

# So many characters of a branch's own text have to be among those that are missing, for it to be named.
_TELLING = 4


class OriginTracer:
    """Traces parts of one template's output; the host's engine is one of `conformance.template.provenance`."""

    def __init__(self, host: Host, template: str) -> None:
        self._host = host
        self._template = template
        self._layout: _Layout | None = None
        try:
            self._layout = _Layout(parse(template))
        except (TemplateSyntaxError, RecursionError):
            return

    def origin(
        self,
        request: Request,
        text: str,
        start: int,
        expected: str,
        actual: str,
        right: Callable[[str], bool] | None = None,
    ) -> tuple[int | None, Origin | None]:
        """Return the line that wrote `actual` where it parts from `expected`, and the rest that is known.

        `actual` stands in `text` from `start`. Where nothing was written there is no line, but those between which it
        is missing. Both are None where the template does not write `text` with the notes in it. Never a guess. With
        `right`, which says whether another text would be mended, the places are named that decide on it.
        """
        if self._layout is None:
            return None, None
        (outcome,) = self._host.collect(self._host.submit(self._template, [request]))
        if not isinstance(outcome, Rendered):
            return None, None
        noted = msgspec.json.decode(outcome.text, type=Provenance)
        if noted.text != text or not noted.runs:
            return None, None
        reading = _Reading(noted, self._layout)
        line, origin = reading.origin(start, expected, actual)
        if right is not None:
            events = reading.before(start + parting(expected, actual))
            lines = decisive(self._host, self._template, request, self._layout.places, events, right)
            origin = msgspec.structs.replace(origin, decisive=lines)
        return line, origin

    def failure(self, request: Request, right: Callable[[str], bool]) -> Origin | None:
        """Return the places that decide on a failure: had one gone another way, the text would be right."""
        if self._layout is None:
            return None
        (outcome,) = self._host.collect(self._host.submit(self._template, [request]))
        if not isinstance(outcome, Rendered):
            return None
        events = msgspec.json.decode(outcome.text, type=Provenance).events
        lines = decisive(self._host, self._template, request, self._layout.places, events, right)
        return Origin(decisive=lines) if lines else None


class _Layout:
    """A template's places, and what stands around each."""

    def __init__(self, tree: nodes.Template) -> None:
        self.places = places(tree)
        self._numbers = {
            id(node): number for number, (kind, node) in enumerate(self.places) if kind in ("if", "for")
        }
        self._around: dict[int, tuple[Node, str]] = {}
        self._calls: dict[str, list[nodes.Call]] = {}
        pending: list[Node] = [tree]
        while pending:
            node = pending.pop()
            if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
                self._calls.setdefault(node.node.name, []).append(node)
            for field, value in node.iter_fields():
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, Node):
                        self._around[id(child)] = node, field
                        pending.append(child)

    def guards(self, node: Node) -> list[int]:
        """Return the places of the conditions that decided on the branch around a node, inside of its macro."""
        while id(node) in self._around:
            outer, field = self._around[id(node)]
            if isinstance(outer, nodes.If) and field == "body":
                return [self._numbers[id(outer)]]
            if isinstance(outer, nodes.If) and field == "else_":
                return [self._numbers[id(arm)] for arm in (outer, *outer.elif_)]
            if isinstance(outer, nodes.CondExpr) and field != "test":
                return [self._numbers[id(outer)]]
            if isinstance(outer, nodes.Macro):
                break
            node = outer
        return []

    def reads(self, number: int) -> set[str]:
        """Return the variables that a condition reads; for a macro's parameters, those that its calls hand over."""
        node = self.places[number][1]
        test = node.iter if isinstance(node, nodes.For) else node.test  # type: ignore[attr-defined]
        names = set(_variables(test))
        while id(node) in self._around and not isinstance(node, nodes.Macro):
            node = self._around[id(node)][0]
        if isinstance(node, nodes.Macro):
            for position, parameter in enumerate(node.args):
                if parameter.name in names:
                    for call in self._calls.get(node.name, []):
                        names |= set(_variables(call.args[position])) if position < len(call.args) else set()
        return names


class _Reading:
    def __init__(self, noted: Provenance, layout: _Layout) -> None:
        self._noted = noted
        self._runs = Runs(noted.runs)
        self._events = noted.events
        self._layout = layout

    def before(self, at: int) -> list[Event]:
        """Return what ran before the character at an offset was written."""
        chain = self._runs.chain(at)
        return self._events[: max(chain) + 1] if chain else self._events

    def origin(self, start: int, expected: str, actual: str) -> tuple[int | None, Origin]:
        shared = parting(expected, actual)
        end = parting(expected[shared:][::-1], actual[shared:][::-1])
        missing = expected[shared : len(expected) - end]
        at = start + shared
        written = len(actual) - end > shared
        chain, before = self._runs.chain(at), self._runs.chain(at - 1) if at else ()
        # Lost text: was it lost inside of what one output wrote, or between two?
        if not written and chain and before and chain[0] == before[0]:
            written = True
        first, last = self._interval(before, chain, at)
        decided = self._refused(first, last, missing, sure=not written)
        if decided is None and written:
            decided = self._guard(chain)
        shown = Origin()
        if decided is not None:
            went = self._events[decided].went is True
            shown = Origin(condition=self._line_of(decided), went=went, sets=self._sets(decided))
        if written:
            line = self._line(chain, at)
            trail = [each for each in dict.fromkeys(self._line_of(event) for event in chain) if each != line]
            return line, msgspec.structs.replace(shown, trail=trail)
        left = self._line(before, at - 1) if before else 1
        right = self._line(chain, at) if chain else self._line_of(len(self._events) - 1)
        nearest = self._nearest(before, first)
        return None, msgspec.structs.replace(shown, between=sorted((left or 1, right or 1)), nearest=nearest)

    def _line_of(self, event: int) -> int:
        return self._layout.places[self._events[event].place][1].lineno

    def _line(self, chain: tuple[int, ...], offset: int) -> int | None:
        """Return the line that wrote a character first; a text of several lines is counted through."""
        if not chain:
            return None
        node = self._layout.places[self._events[chain[0]].place][1]
        if not isinstance(node, nodes.TemplateData):
            return node.lineno
        return node.lineno + self._noted.text.count("\n", self._runs.start(offset), offset)

    def _interval(self, before: tuple[int, ...], chain: tuple[int, ...], at: int) -> tuple[int, int]:
        """Return the events between what wrote the character before and the one after.

        What the output before evaluated belongs to them: a macro in it may have written nothing.
        """
        if not before:
            return 0, chain[0] if chain else len(self._events)
        earlier = self._runs.before(at - 1, before[0])
        begin = earlier[0] + 1 if earlier else 0
        if begin > before[0]:
            begin = before[0] + 1
        if not chain:
            return begin, len(self._events)
        for one, other in ((begin, chain[0]), (before[-1], chain[0]), (before[-1], chain[-1])):
            if one < other:
                return one, other
        return 0, 0

    def _nearest(self, before: tuple[int, ...], first: int) -> int | None:
        """Return the line of what ran last inside of the output before the gap, None where that called nothing."""
        inside = range(first, before[0]) if before else range(0)
        return self._line_of(inside[-1]) if inside else None

    def _kind(self, number: int) -> Kind:
        return self._layout.places[self._events[number].place][0]

    def _refused(self, first: int, last: int, missing: str, *, sure: bool) -> int | None:
        """Return the false condition that kept the missing text away; where not `sure`, only if its branch says so."""
        refused = [number for number in range(first, last) if self._events[number].went is False]
        telling, position = max(
            ((self._telling(number, missing), -number) for number in refused), default=(0, 0)
        )
        if telling >= _TELLING:
            return -position
        if not refused or not sure:
            return None
        # None of the branches says what it would have written; the first one that writes at all is named.
        return next((number for number in refused if _writes(self._skipped(number))), refused[0])

    def _guard(self, chain: tuple[int, ...]) -> int | None:
        """Return the condition that decided on the branch that wrote a text."""
        for event in chain:
            guards = self._layout.guards(self._layout.places[self._events[event].place][1])
            for earlier in range(event - 1, -1, -1):
                if self._events[earlier].place in guards:
                    return earlier
        return None

    def _skipped(self, number: int) -> list[Node]:
        node = self._layout.places[self._events[number].place][1]
        if isinstance(node, nodes.CondExpr):
            return [node.expr1]
        assert isinstance(node, nodes.If | nodes.For)
        return node.body

    def _telling(self, number: int, missing: str) -> int:
        """Return how many characters of a branch's literal texts are among those that are missing."""
        texts = _texts(self._skipped(number))
        return max((len(text) for text in texts if text.strip() and text in missing), default=0)

    def _sets(self, number: int) -> list[int]:
        """Return the lines that last set the variables that a condition reads."""
        wanted = self._layout.reads(self._events[number].place)
        found: set[int] = set()
        for earlier in range(number - 1, -1, -1):
            if not wanted:
                break
            if self._kind(earlier) == "set":
                assigned = self._layout.places[self._events[earlier].place][1]
                assert isinstance(assigned, nodes.Assign)
                if (named := _target(assigned.target)) in wanted:
                    wanted.discard(named)
                    found.add(self._line_of(earlier))
        return sorted(found)


def _texts(body: Iterable[Node]) -> Iterator[str]:
    for node in body:
        for each in (node, *node.find_all((nodes.Const, nodes.TemplateData))):
            if isinstance(each, nodes.TemplateData):
                yield each.data
            elif isinstance(each, nodes.Const) and isinstance(each.value, str):
                yield each.value


def _writes(body: Iterable[Node]) -> bool:
    return any(
        isinstance(node, nodes.Output) or any(True for _ in node.find_all(nodes.Output)) for node in body
    )


def _variables(test: Node) -> Iterator[str]:
    """Yield the names that an expression reads, and `name.attribute` of what may be a namespace."""
    for node in (test, *test.find_all((nodes.Name, nodes.Getattr))):
        if isinstance(node, nodes.Name):
            yield node.name
        elif isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
            yield f"{node.node.name}.{node.attr}"


def _target(target: Node) -> str:
    if isinstance(target, nodes.NSRef):
        return f"{target.name}.{target.attr}"
    return target.name if isinstance(target, nodes.Name) else ""
