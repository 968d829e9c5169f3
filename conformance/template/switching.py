"""Which decisions of a template would have made its text right: each is tried the other way, and the text compared.

A line that wrote a wrong text need not be the wrong line: the mistake may lie in a condition, a number or a loop long
before. Those that ran before the difference are switched one at a time (predicate switching, Zhang, Gupta and Gupta,
ICSE 2006), and the ones are kept with which the template writes what it should. That is shown by experiment, but it
is no proof that this is the place to mend: a chain of decisions can be mended at each of its links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec
from jinja2 import nodes
from jinja2.nodes import Node

from conformance.engines.base import Rendered, Request
from conformance.engines.host import Host
from conformance.template.provenance import Event, Kind, Switch, switched

# So many switches are tried at most, those nearest to the difference first; each is one rendering.
_TRIED = 160
# A place that runs often is switched as a whole, and in so many of its last turns alone.
_TURNS = 3
_SHOWN = 8
# The other way may take so many times as many steps.
_LONGER = 20
_BATCH = 40


def decisive(
    host: Host,
    template: str,
    request: Request,
    places: Sequence[tuple[Kind, Node]],
    events: Sequence[Event],
    right: Callable[[str], bool],
) -> list[int]:
    """Return the lines of the places that make the text right when they go another way, the last to run first.

    `events` are those up to the difference; `right` says whether a text is mended.
    """
    lines: list[int] = []
    most = _LONGER * len(events) + _LONGER
    tried = [msgspec.structs.replace(each, most=most) for each in islice(_switches(places, events), _TRIED)]
    for start in range(0, len(tried), _BATCH):
        batch = [each for each in tried[start : start + _BATCH] if _line(places, each) not in lines]
        outcomes = host.collect(host.submit(template, [switched(request, each) for each in batch]))
        for switch, outcome in zip(batch, outcomes, strict=True):
            line = _line(places, switch)
            if line not in lines and isinstance(outcome, Rendered) and right(outcome.text):
                lines.append(line)
    return lines[:_SHOWN]


def _line(places: Sequence[tuple[Kind, Node]], switch: Switch) -> int:
    return places[switch.place][1].lineno


def _switches(places: Sequence[tuple[Kind, Node]], events: Sequence[Event]) -> Iterator[Switch]:
    """Yield the switches of each place, the place that ran last first."""
    ran: dict[int, list[Event]] = {}
    for event in events:
        ran.setdefault(event.place, []).append(event)
    done: set[int] = set()
    for event in reversed(events):
        if event.place in done:
            continue
        done.add(event.place)
        turns = len(ran[event.place])
        kind, node = places[event.place]
        for value in _others(kind, node, ran[event.place]):
            yield Switch(event.place, None, value)
            if turns > 1:
                yield from (Switch(event.place, n, value) for n in range(max(0, turns - _TURNS), turns))


def _others(kind: Kind, node: Node, turns: Sequence[Event]) -> list[bool | int]:
    """Return the other ways of a place."""
    if kind == "if":
        return [True]
    if kind == "output":
        # Text between tags is only lost with the tags around it.
        return [] if isinstance(node, nodes.TemplateData) else [0]
    if kind == "for":
        return [0, -1] if any(turn.went for turn in turns) else []
    if kind == "set":
        values = list(dict.fromkeys(turn.value for turn in turns if turn.value is not None))
        if len(values) != 1:
            return []
        (value,) = values
        return [not value] if isinstance(value, bool) else [value - 1, value + 1]
    return []
