"""Which branches of a template a campaign reached: a second pass over some of its cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import msgspec
from jinja2.exceptions import TemplateError
from jinja2.nodes import Node

from conformance.engines.base import LimitExceeded, Limits, Outcome, Rendered, Request
from conformance.engines.host import EngineHost, Host
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
    """A branch: its number, its line from 1, what it says there, and the number of the branch around it.

    An operand of a condition has two such points, for true and for false. They are no branches of their own
    (`operand`), and not worth a word where one of the `arms` that the whole condition leads to never ran. `beside` is
    the other outcome of the same operand, or of the same inline if.
    """

    id: int
    line: int
    what: str
    around: int | None = None
    operand: bool = False
    arms: frozenset[int] = frozenset()
    beside: int | None = None


@dataclass(frozen=True, slots=True)
class BranchCoverage:
    """The share of branches that ran, from 0 to 1, and the outermost ones that never did, in order of lines.

    Behind them come operands of conditions that were never true, or never false. What lies inside a branch that never
    ran counts in the share and is not listed. `audit` are the places where the output hangs on more than structure,
    with what was seen of them.
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
    arms = _arms(found)
    for number, (kind, node, around) in enumerate(found):
        line, what = describe(kind, node)
        operand = kind in ("true", "false")
        leads_to = arms.get(id(node), frozenset()) if operand else frozenset[int]()
        beside = {"true": number + 1, "then": number + 1, "false": number - 1, "otherwise": number - 1}.get(
            kind
        )
        outer = around if around >= 0 else None
        points.append(BranchPoint(number, line, what, outer, operand, leads_to, beside))
        # Inner branches come later, and so have the last word.
        inside.update((id(each), number) for each in _within(kind, node))
    return points, [replace(place, branch=inside.get(id(place.node))) for place in places]


def _arms(found: Sequence[tuple[str, Node, int]]) -> dict[int, frozenset[int]]:
    """Return for all that stands in conditions the branches that the condition leads to, by `id` of the node."""
    taken: dict[int, set[int]] = {}
    for number, (kind, node, _) in enumerate(found):
        if kind in ("if", "elif", "else", "not", "then", "otherwise"):
            taken.setdefault(id(node), set()).add(number)
    leads_to: dict[int, frozenset[int]] = {}
    for _, node, _ in found:
        test = getattr(node, "test", None)
        if isinstance(test, Node) and id(node) in taken:
            numbers = frozenset(taken[id(node)])
            leads_to.update((id(each), numbers) for each in (test, *test.find_all(Node)))
    return leads_to


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
    engine that cannot note branches. A loaded worker of that engine among the `relatives` makes this one's.
    """

    def __init__(
        self, engine: str = "transformers", *, limits: Limits | None = None, relatives: Iterable[Host] = ()
    ) -> None:
        if engine not in _ENGINES:
            raise UsageError(f"Branches are counted with {' or '.join(_ENGINES)}, not with {engine!r}.")
        self._host = EngineHost(_ENGINES[engine], limits=limits, window=_WINDOW, relatives=relatives)

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
        seen = Seen(template)
        for noted in self.noted(template, requests):
            seen.add(noted)
            if not seen.open:
                break
        return seen.coverage()

    def noted(self, template: str, requests: Iterable[Request]) -> Iterator[Noted | None]:
        """Render requests and yield what each noted, None where nothing is known of it.

        It ends early where requests keep running into limits.
        Raises UnjudgedError when there were requests and none of them told which branches ran.
        """
        told = limits = 0
        outcome: Outcome | None = None
        for outcome in self._host.render_many(template, requests):
            noted = msgspec.json.decode(outcome.text, type=Noted) if isinstance(outcome, Rendered) else None
            told += noted is not None
            limits += isinstance(outcome, LimitExceeded)
            yield noted
            if limits >= _LIMITS:
                break
        if outcome is not None and not told:
            raise UnjudgedError(f"The branches of the template could not be counted: {outcome}.")


class Seen:
    """What was seen of one template's branches and decisions so far."""

    def __init__(self, template: str) -> None:
        self.points, places = _read(template)
        self.ran: Counter[int] = Counter()
        self.cases = 0
        self._audit = Audit(places)

    @property
    def open(self) -> bool:
        """Whether some branch did not run, or some place was not seen to decide either way."""
        return len(self.ran) < len(self.points) or self._audit.open

    def add(self, noted: Noted | None) -> None:
        """Take in what one rendering noted."""
        self.cases += 1
        if noted is not None:
            self.ran.update(noted.branches)
            self._audit.add(noted)

    def coverage(self) -> BranchCoverage:
        """Return the coverage by all that was seen."""
        missing = {point.id for point in self.points if point.id not in self.ran}
        return replace(coverage(self.points, missing, self.cases), audit=self._audit.decisions(missing))


def coverage(points: list[BranchPoint], missing: set[int], cases: int = 0) -> BranchCoverage:
    """Return the coverage where the branches numbered in `missing` did not run."""
    outermost = [
        point
        for point in points
        if point.id in missing and point.around not in missing and missing.isdisjoint(point.arms)
    ]
    outermost.sort(key=lambda point: (point.operand, point.line, point.id))
    whole = [point for point in points if not point.operand]
    ran = sum(point.id not in missing for point in whole)
    return BranchCoverage(
        share=ran / len(whole) if whole else 1.0,
        never_run=[Branch(line=point.line, what=point.what, operand=point.operand) for point in outermost],
        cases=cases,
    )
