"""A server as a host: requests go out some at a time, outcomes come back in the order of the requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from conformance.as_sent import SentRequest
from conformance.engines.base import Outcome, Request, SyntaxProblem
from conformance.engines.host import Ticket
from conformance.servers.base import About, Prompt, ServerProtocol, read
from conformance.servers.client import Client


class _Asked(Ticket):
    """Requests that threads are asking for."""

    __slots__ = ("futures",)

    def __init__(self, futures: list[Future[Prompt]]) -> None:
        super().__init__(len(futures))
        self.futures = futures


class ServerHost:
    """Asks one server for prompts; the text of a template is not used."""

    def __init__(
        self, protocol: ServerProtocol, client: Client, about: About, *, model: str | None = None
    ) -> None:
        """Make ready to ask; `model` is one that the user named, also in place of what requests name."""
        self.protocol = protocol
        self.client = client
        self.about = about
        self.model = model
        self.loses: Callable[[Request], str | None] | None = protocol.loses
        self._threads = ThreadPoolExecutor(client.access.concurrency, thread_name_prefix="ask")

    def close(self) -> None:
        """Give up what was not asked yet, and close the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def version(self) -> str:
        """Return the version that the server names."""
        return self.about.version

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return None: the server has compiled its template, or it has none."""
        return None

    def body(self, request: Request) -> bytes:
        """Return the body that asks for a request, in ASCII; one that was sent goes on as it is, where it can."""
        if isinstance(request, SentRequest) and self.protocol.chat:
            sent = request.body if self.model is None else {**request.body, "model": self.model}
            return json.dumps(self.protocol.sent(sent)).encode("ascii")
        return json.dumps(self.protocol.body(request, self.about.model)).encode("ascii")

    def ask(self, body: bytes) -> Outcome:
        """Return the outcome of one body.

        Raises GoneError when the server answers no more.
        """
        return read(self.protocol.prompt(self.client, body))

    def render(self, request: Request) -> Outcome:
        """Return the outcome of one request."""
        return self.ask(self.body(request))

    def _prompt(self, request: Request) -> Prompt:
        return self.protocol.prompt(self.client, self.body(request))

    def submit(self, template: str, requests: Sequence[Request]) -> Ticket:
        """Hand requests in without waiting."""
        return _Asked([self._threads.submit(self._prompt, request) for request in requests])

    def collect(self, ticket: Ticket) -> list[Outcome]:
        """Wait for the outcomes and return them in order.

        Raises GoneError when the server answers no more; what has not been asked by then is not asked.
        """
        assert isinstance(ticket, _Asked)
        try:
            return [read(future.result()) for future in ticket.futures]
        except BaseException:
            for future in ticket.futures:
                future.cancel()
            raise

    def render_many(self, template: str, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Yield the outcomes in order."""
        yield from self.collect(self.submit(template, list(requests)))
