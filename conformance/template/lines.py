"""Which line of a template wrote a character of its output, inside macros too.

Every output node of the source is wrapped in private-use marks and the case is rendered once more. A line
is believed only when the text without the marks is the text as it was, and when what cannot see the marks
did the same with them as without; where a template looks at what its macros return, the marked nodes are
split in halves until the rest can be marked together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2.exceptions import TemplateSyntaxError

from conformance.engines.base import Rendered, Request
from conformance.engines.host import Host
from conformance.template.flow import Flow
from conformance.template.marks import MarkedSource, Reading, Stretch, parse

# A compilation costs tens of milliseconds; a renaming of the marks costs them all again.
_COMPILATIONS = 16


@dataclass(slots=True)
class _Group:
    """Nodes that are marked together; where that fails for a case, its halves are tried."""

    nodes: list[int]
    halves: tuple[_Group, _Group] | None = None


class LineTracer:
    """Traces characters of one template's output to lines, on the engine behind the host."""

    def __init__(self, host: Host, template: str) -> None:
        self._host = host
        self._flow: Flow | None = None
        self._sources: dict[tuple[int, tuple[int, ...]], str] = {}
        self._marked: MarkedSource | None = None
        self._free: list[int] = []
        self._group = _Group([])
        try:
            self._marked = MarkedSource(template)
        except (TemplateSyntaxError, RecursionError):
            return
        everything = range(len(self._marked.nodes))
        self._flow = self._read_flow(self._marked)
        observed = self._flow.observed() if self._flow else frozenset(everything)
        self._free = [node for node in everything if node not in observed]
        self._group = _Group(sorted(observed))

    @staticmethod
    def _read_flow(marked: MarkedSource) -> Flow | None:
        base = marked.free_base("")
        if base is None:
            return None
        try:
            tree = parse(marked.source(range(len(marked.nodes)), base))
            return Flow(tree, base, base + len(marked.nodes))
        except (TemplateSyntaxError, RecursionError):
            return None  # a tag that only some engine knows

    def line(self, request: Request, text: str, offset: int) -> int | None:
        """Return the template's line, from 1, that wrote the character at an offset of the text.

        `text` is what the template wrote for the request. None where the line is unknown: the marks changed
        the text, their characters are all in use, or nothing stands at the offset. Never a guess.
        """
        marked = self._marked
        if marked is None or not 0 <= offset < len(text) or (base := marked.free_base(text)) is None:
            return None
        free = self._render(request, text, self._free, base)
        if free is None:
            if len(self._sources) >= _COMPILATIONS:
                return None
            # Not what Jinja's rules let expect, but engines differ: nothing is taken for granted then.
            self._group = _Group(list(range(len(marked.nodes))))
            self._free = []
            free = Reading(text, base, len(marked.nodes))
        outer = free.innermost(offset)
        if not self._group.nodes or (outer is not None and not self._carries(outer, self._group.nodes)):
            return self._line_of(outer, text, offset)
        failed: list[int] = []
        inner: list[Stretch] = []
        for group, reading in self._readings(self._group, request, text, base, free):
            if reading is None:
                failed += group.nodes
            elif (found := reading.innermost(offset)) is not None and found.node in group.nodes:
                inner.append(found)
        best = self._narrowest(inner) if inner else outer
        if best is None or self._carries(best, failed):
            return None
        return self._line_of(best, text, offset)

    def _narrowest(self, stretches: list[Stretch]) -> Stretch | None:
        """Return the innermost of stretches that were found in different readings, None if that is unclear."""
        width = min(stretch.stop - stretch.start for stretch in stretches)
        narrow = [stretch for stretch in stretches if stretch.stop - stretch.start == width]
        # Of two that wrote the same stretch, the inner one is the one that holds nothing of the other.
        inmost = [
            stretch
            for stretch in narrow
            if not self._carries(stretch, [other.node for other in narrow if other is not stretch])
        ]
        return inmost[0] if len(inmost) == 1 else None

    def _carries(self, stretch: Stretch, others: list[int]) -> bool:
        assert self._marked is not None
        if not others or self._marked.nodes[stretch.node].literal:
            return False
        return self._flow is None or self._flow.carries(stretch.node, others)

    def _line_of(self, stretch: Stretch | None, text: str, offset: int) -> int | None:
        if stretch is None:
            return None
        assert self._marked is not None
        node = self._marked.nodes[stretch.node]
        return node.line + (text.count("\n", stretch.start, offset) if node.literal else 0)

    def _readings(
        self, group: _Group, request: Request, text: str, base: int, free: Reading
    ) -> Iterator[tuple[_Group, Reading | None]]:
        """Yield readings that together cover a group's nodes, None for those that cannot be marked."""
        reading = self._render(request, text, [*self._free, *group.nodes], base)
        if reading is not None and reading.only(self._free) == free.only(self._free):
            yield group, reading
            return
        if len(group.nodes) < 2 or (group.halves is None and len(self._sources) + 2 > _COMPILATIONS):
            yield group, None
            return
        if group.halves is None:
            middle = len(group.nodes) // 2
            group.halves = _Group(group.nodes[:middle]), _Group(group.nodes[middle:])
        for half in group.halves:
            yield from self._readings(half, request, text, base, free)

    def _render(self, request: Request, text: str, nodes: list[int], base: int) -> Reading | None:
        assert self._marked is not None
        key = (base, tuple(nodes))
        if key not in self._sources:
            if len(self._sources) >= _COMPILATIONS:
                return None
            self._sources[key] = self._marked.source(frozenset(nodes), base)
        (outcome,) = self._host.collect(self._host.submit(self._sources[key], [request]))
        if not isinstance(outcome, Rendered):
            return None
        try:
            reading = Reading(outcome.text, base, len(self._marked.nodes))
        except ValueError:
            return None
        return reading if reading.text == text else None
