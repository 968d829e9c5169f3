"""Notes what the places of an audit came to while a template was rendered, beside the branches that ran."""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import GeneratorType
from typing import Any

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.nodes import Node

from conformance.report.model import Decision
from conformance.template.audit import WORDS, Place, places_of

_RESULT, _INPUT = "_conformance_result", "_conformance_input"
# Two outcomes are enough to know that a place was seen to decide either way.
_ENOUGH = 2


class Noted(msgspec.Struct):
    """What one rendering noted: branches that ran, outcomes of places in short, places that looked into a text."""

    branches: list[int] = []
    outcomes: dict[int, list[str]] = {}
    texts: list[int] = []


class Outcomes:
    """The outcomes of places in one rendering; filters around their expressions tell them."""

    def __init__(self) -> None:
        self.seen: dict[int, list[str]] = {}
        # Places that asked whether something is in a text, and not in a mapping.
        self.texts: set[int] = set()
        self._inputs: dict[int, Any] = {}

    def clear(self) -> None:
        """Forget the last rendering."""
        self.seen, self.texts, self._inputs = {}, set(), {}

    def instrument(self, environment: jinja2.Environment, tree: nodes.Template) -> None:
        """Put the filters into a syntax tree, which then is only good for being compiled."""
        found = {id(place.node): place for place in places_of(tree)}
        _wrap(tree, found)

        @jinja2.pass_context
        def result(_: jinja2.runtime.Context, value: Any, number: int, compared: bool) -> Any:
            if isinstance(value, GeneratorType):
                value = list(value)
            seen = self.seen.setdefault(number, [])
            if len(seen) < _ENOUGH:
                outcome = str(value != self._inputs.get(number)) if compared else _short(value)
                if outcome not in seen:
                    seen.append(outcome)
            return value

        @jinja2.pass_context
        def given(_: jinja2.runtime.Context, value: Any, number: int) -> Any:
            self._inputs[number] = value
            if not isinstance(value, Mapping):
                self.texts.add(number)
            return value

        environment.filters[_RESULT] = result
        environment.filters[_INPUT] = given


def _wrap(node: Node, found: dict[int, Place]) -> None:
    for field in node.fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            value[:] = [_wrapped(child, found) if isinstance(child, Node) else child for child in value]
        elif isinstance(value, Node):
            setattr(node, field, _wrapped(value, found))


def _wrapped(node: Node, found: dict[int, Place]) -> Node:
    place = found.get(id(node))
    _wrap(node, found)
    if place is None:
        return node
    compared = place.replaces
    if place.asks_for_key:
        assert isinstance(node, nodes.Compare)
        node.ops[0].expr = _filter(node.ops[0].expr, _INPUT, place.number)
    elif compared and isinstance(node, nodes.Filter) and node.node is not None:
        node.node = _filter(node.node, _INPUT, place.number)
    elif compared and isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        node.node.node = _filter(node.node.node, _INPUT, place.number)
    return _filter(node, _RESULT, place.number, compared)


def _filter(node: Node, name: str, *given: object) -> nodes.Filter:
    arguments: list[nodes.Expr] = [nodes.Const(each) for each in given]
    made = nodes.Filter(node, name, arguments, [], None, None)
    made.set_lineno(node.lineno, override=True)
    return made


def _short(value: Any) -> str:
    """Return what tells one outcome from another: a truth or number, whether a text is empty, the length of a list."""
    if isinstance(value, str):
        return f"text {value[:40]}"
    if isinstance(value, list | tuple | Mapping):
        return f"{len(value)} items"
    return repr(value)[:40] if isinstance(value, bool | int | float | None) else type(value).__name__


class Audit:
    """What all renderings of a campaign together noted of the places."""

    def __init__(self, found: list[Place]) -> None:
        self._places = found
        self._seen: dict[int, list[str]] = {place.number: [] for place in found}
        self._texts: set[int] = set()

    @property
    def open(self) -> bool:
        """Whether some place was not seen to decide either way."""
        return any(len(seen) < _ENOUGH for seen in self._seen.values())

    def add(self, noted: Noted) -> None:
        """Take in what one rendering noted."""
        self._texts.update(noted.texts)
        for number, outcomes in noted.outcomes.items():
            seen = self._seen.get(number)
            if seen is not None and len(seen) < _ENOUGH:
                seen += [each for each in outcomes if each not in seen]

    def decisions(self, dead: Container[int] = ()) -> list[Decision]:
        """Return the places as a report has them; those that only ever looked up a key are structure.

        What lies in a `dead` branch, which never ran, is left out: it is listed as such.
        """
        return [
            Decision(
                line=place.line,
                what=place.what,
                hangs_on=[WORDS[label] for label in sorted(place.labels)],
                seen=self._seen[place.number][:_ENOUGH],
                refuses=place.refuses,
            )
            for place in self._places
            if not (place.branch in dead and not self._seen[place.number])
            and not (place.asks_for_key and self._seen[place.number] and place.number not in self._texts)
        ]
