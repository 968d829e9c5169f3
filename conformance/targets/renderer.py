"""A program as a target: it gets the conversation itself, one line of JSON for each, and answers with the prompt."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from conformance.as_sent import SentRequest
from conformance.conversation import case_id
from conformance.engines.base import (
    Crashed,
    LimitExceeded,
    Outcome,
    Refused,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
)
from conformance.engines.host import Ticket
from conformance.errors import GoneError, UnjudgedError, printable
from conformance.oracles.library import OracleRefusedError
from conformance.oracles.load import tokenizer
from conformance.oracles.profile import profile
from conformance.renderers.line import choices, line
from conformance.renderers.process import Answered, Failed, Renderer
from conformance.shapes.shape import CaseRequest
from conformance.targets.base import Group

NAME, SHAPE = "program", "conversation"


class RendererSource(msgspec.Struct, frozen=True, kw_only=True):
    """What was run: the words of the command, without the folders of this machine."""

    kind: str = "renderer"
    location: str


class RendererTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A program that makes prompts, as a campaign judges it."""

    name: str
    sha256: str
    source: RendererSource
    command: str
    readings: str
    text: str | None = None
    harmony: bool | None = None

    def reproduce(self, request: Request) -> str:
        """Return the line for a shell that asks the program for this request's prompt."""
        return f"echo {shlex.quote(_line(request, self.readings)[1])} | {self.command}"


def _line(request: Request, readings: str) -> tuple[str, str]:
    assert isinstance(request, CaseRequest | SentRequest)
    identity = case_id(request.case)
    return identity, line(identity, request.case, choices(profile(readings)))


class RendererHost:
    """Asks one program, one line after the other."""

    loses: Callable[[Request], str | None] | None = None

    def __init__(self, renderer: Renderer, readings: str) -> None:
        self.renderer = renderer
        self.readings = readings

    def version(self) -> str:
        """Return nothing: a program does not say its version."""
        return ""

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return None: there is no template."""
        return None

    def render(self, request: Request) -> Outcome:
        """Return the outcome of one request.

        Raises GoneError when the program hangs again and again, or never answers.
        """
        if self.renderer.given_up:
            raise GoneError(f"The program was given up after {self.renderer.time_limits} time limits.")
        try:
            answer = self.renderer.ask(*_line(request, self.readings))
        except UnjudgedError as error:
            raise GoneError(str(error)) from None
        return outcome(answer)

    def submit(self, template: str, requests: Sequence[Request]) -> Ticket:
        """Ask at once; the ticket is done."""
        ticket = Ticket(len(requests))
        for position, request in enumerate(requests):
            ticket.settle(position, self.render(request))
        return ticket

    def collect(self, ticket: Ticket) -> list[Outcome]:
        """Return the outcomes of a ticket."""
        return ticket.outcomes()

    def render_many(self, template: str, requests: Iterable[Request]) -> Iterator[Outcome]:
        """Yield the outcomes in order."""
        return (self.render(request) for request in requests)


def outcome(answer: Answered | Failed) -> Outcome:
    """Return what an answer means: its text, or what its tokens spell where it has some."""
    if isinstance(answer, Failed):
        if answer.kind == "refused":
            return Refused(answer.message)
        if answer.kind == "error":
            return Rejected(answer.message, None)
        if answer.kind in ("time", "output"):
            return LimitExceeded("time" if answer.kind == "time" else "output", answer.message)
        return Crashed(answer.kind, answer.message, None)
    if answer.tokens is None:
        assert answer.text is not None
        return Rendered(answer.text)
    try:
        return Rendered(tokenizer().decode(answer.tokens), tokens=answer.tokens)
    except OracleRefusedError as error:
        return Crashed("tokens", f"its tokens are not gpt-oss tokens ({error})", None)


def open_renderer(command: str, *, limit_s: float, readings: str) -> Group:
    """Make ready to judge a program; it is started when it is first asked.

    `readings` names the profile that it is told. Raises UsageError when the command is no command.
    """
    renderer = Renderer(command, limit_s=limit_s)
    # A report names what was run, not where it lies on this machine.
    name = printable(" ".join(word.rsplit("/", 1)[-1] for word in renderer.words), 60)
    target = RendererTarget(
        name=name,
        sha256=hashlib.sha256(command.encode("utf-8", "surrogateescape")).hexdigest(),
        source=RendererSource(location=name),
        command=command,
        readings=readings,
    )
    return Group([target], {NAME: RendererHost(renderer, readings)}, (SHAPE,), None, renderer.close)
