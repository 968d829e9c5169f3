"""A host without a worker, for templates that are trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from conformance.engines import worker
from conformance.engines.base import Engine, Limits, Outcome, Request, SyntaxProblem, get_engine
from conformance.engines.host import Ticket, losses
from conformance.errors import UnjudgedError


class InProcessHost:
    """Renders in this process, with the interface of EngineHost: for the benchmark and unit tests only.

    No limit of time or memory holds, and a hostile template reaches this process: never use it on a template
    that is not known.
    """

    def __init__(self, engine: str | type[Engine], *, limits: Limits | None = None) -> None:
        """Load an engine, by name or as its class.

        Raises UsageError when there is none of this name, UnjudgedError when it cannot work here.
        """
        self.engine = engine if isinstance(engine, str) else engine.name
        self.limits = limits or Limits()
        self._engine = get_engine(engine) if isinstance(engine, str) else engine()
        if (reason := self._engine.available()) is not None:
            raise UnjudgedError(f"The engine {self.engine} cannot be used: {reason}.")
        self.loses = losses(self._engine)
        self._engine.load()
        self._engine.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to end."""

    def version(self) -> str:
        """Return the version of the program that renders."""
        return self._engine.version()

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps the engine from compiling the template, or None."""
        return self._engine.compile_check(template)

    def render(self, template: str, request: Request) -> Outcome:
        """Return the outcome of one request."""
        outcome = worker.presentable(worker.render(self._engine, template, request), self.limits)
        assert isinstance(outcome, Outcome)
        return outcome

    def render_many(self, template: str, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Yield the outcomes in order."""
        return (self.render(template, request) for request in requests)

    def submit(self, template: str, requests: Sequence[Request]) -> Ticket:
        """Render at once; the ticket is done."""
        ticket = Ticket(len(requests))
        for position, request in enumerate(requests):
            ticket.settle(position, self.render(template, request))
        return ticket

    def collect(self, ticket: Ticket) -> list[Outcome]:
        """Return the outcomes of a ticket."""
        return ticket.outcomes()
