"""Which branches of a template a campaign reached: a second pass over some of its cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import msgspec
from jinja2.exceptions import TemplateError
from jinja2.nodes import Node

from conformance.engines.base import LimitExceeded, Limits, Rendered, Request
from conformance.engines.host import EngineHost
from conformance.errors import UnjudgedError, UsageError
from conformance.report.model import Branch, Decision
from conformance.template import branch_probe
from conformance.template.audit import Place, places_of
from conformance.template.audit_probe import Audit, Noted
from conformance.template.describe import Describer
from conformance.template.marks import parse

_ENGINES = {
    "transformers": branch_probe.TransformersBranches,
    "jinja2": branch_probe.Jinja2Branches,
}
# The engines whose branches can be counted.
PROBED = frozenset(_ENGINES)
_WINDOW = 64
# Each costs the whole time limit; a template that hangs does so on many cases.
_LIMITS = 3


@dataclass(frozen=True, slots=True)
class BranchPoint:
    """A branch: its number, its line from 1, what it says there, and the number of the branch around it."""

    id: int
    line: int
    what: str
    around: int | None = None


@dataclass(frozen=True, slots=True)
class BranchCoverage:
    """The share of branches that ran, from 0 to 1, and the outermost ones that never did, in order of lines.

    What lies inside a branch that never ran counts in the share and is not listed. `audit` are the places where the
    output hangs on more than structure, with what was seen of them.
    """

    share: float
    never_run: list[Branch]
    cases: int = 0
    audit: list[Decision] = field(default_factory=list)


def branches(template_text: str) -> list[BranchPoint]:
    """Return the branches of a template, empty when Jinja cannot parse it; nothing is executed."""
    return _read(template_text)[0]


def audited(template_text: str) -> list[Place]:
    """Return the places where a template decides by more than structure; nothing is executed."""
    return _read(template_text)[1]


def _read(template_text: str) -> tuple[list[BranchPoint], list[Place]]:
    """Return branches and places of an audit, with the branches that these lie in."""
    try:
        tree = parse(template_text)
        found = list(branch_probe.walk(tree))
        places = places_of(tree)
    except (TemplateError, RecursionError, ValueError):
        return [], []
    describe = Describer(template_text)
    points: list[BranchPoint] = []
    inside: dict[int, int] = {}
    for number, (kind, node, around) in enumerate(found):
        line, what = describe(kind, node)
        points.append(BranchPoint(number, line, what, around if around >= 0 else None))
        # Inner branches come later, and so have the last word.
        inside.update((id(each), number) for each in _within(kind, node))
    return points, [replace(place, branch=inside.get(id(place.node))) for place in places]


def _within(kind: str, node: Node) -> Iterator[Node]:
    """Yield all that is evaluated only where a branch runs."""
    arms: dict[str, list[Any]] = {
        "output": [node],
        "then": [getattr(node, "expr1", None)],
        "otherwise": [getattr(node, "expr2", None)],
    }
    field = "body" if kind in ("if", "elif", "for", "macro") else "else_"
    for each in arms.get(kind) or getattr(node, field, []):
        if each is not None:
            yield each
            yield from each.find_all(Node)


class BranchProbe:
    """Runs cases in a worker of its own and notes the branches that ran; a context manager.

    The worker is that of `transformers` or `jinja2` and starts with the first run. Raises UsageError for an
    engine that cannot note branches.
    """

    def __init__(self, engine: str = "transformers", *, limits: Limits | None = None) -> None:
        if engine not in _ENGINES:
            raise UsageError(f"Branches are counted with {' or '.join(_ENGINES)}, not with {engine!r}.")
        self._host = EngineHost(_ENGINES[engine], limits=limits, window=_WINDOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.close()

    def close(self) -> None:
        """End the worker."""
        self._host.close()

    def start(self) -> None:
        """Let the worker load while something else is done."""
        self._host.start()

    def run(self, template: str, requests: Iterable[Request]) -> BranchCoverage:
        """Render requests until all are done or every branch has run.

        Raises UnjudgedError when there were requests and none of them told which branches ran.
        """
        points, places = _read(template)
        missing = {point.id for point in points}
        audit = Audit(places)
        cases = told = limits = 0
        if missing or audit.open:
            for outcome in self._host.render_many(template, requests):
                cases += 1
                if isinstance(outcome, Rendered):
                    told += 1
                    noted = msgspec.json.decode(outcome.text, type=Noted)
                    missing.difference_update(noted.branches)
                    audit.add(noted)
                limits += isinstance(outcome, LimitExceeded)
                if not (missing or audit.open) or limits >= _LIMITS:
                    break
            if cases and not told:
                raise UnjudgedError(f"The branches of the template could not be counted: {outcome}.")
        return replace(coverage(points, missing, cases), audit=audit.decisions(missing))


def coverage(points: list[BranchPoint], missing: set[int], cases: int = 0) -> BranchCoverage:
    """Return the coverage where the branches numbered in `missing` did not run."""
    outermost = [point for point in points if point.id in missing and point.around not in missing]
    outermost.sort(key=lambda point: (point.line, point.id))
    return BranchCoverage(
        share=1.0 - len(missing) / len(points) if points else 1.0,
        never_run=[Branch(line=point.line, what=point.what) for point in outermost],
        cases=cases,
    )
