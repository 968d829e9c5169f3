"""A program as a target: it gets the conversation itself, one line of JSON for each, and answers with the prompt.

`renderer:NAME` is a program that this project knows how to get and to ask, any other is given by its command.
"""

from __future__ import annotations

import hashlib
import shlex
import time
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
from conformance.renderers import environments
from conformance.renderers.known import PREFIX, find
from conformance.renderers.line import choices, line
from conformance.renderers.process import Answered, Failed, Renderer
from conformance.shapes.shape import CaseRequest
from conformance.targets.base import Group

NAME, SHAPE = "program", "conversation"
# Some load an engine's whole package before they answer; the first answer may take three times as long.
_LONGEST_S = 60.0


class RendererSource(msgspec.Struct, frozen=True, kw_only=True):
    """What was run: the words of the command without the folders of this machine, or `renderer:NAME`.

    `version` is that of the package which was installed for it; None for a command, which does not say.
    """

    kind: str = "renderer"
    location: str
    version: str | None = None


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

    def __init__(self, renderer: Renderer, readings: str, package: str = "") -> None:
        self.renderer = renderer
        self.readings = readings
        self.package = package
        # How long each answer took, the first one with the start of the program.
        self.seconds: list[float] = []

    def version(self) -> str:
        """Return the package and its version, nothing for a command: a program does not say."""
        return self.package

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return None: there is no template."""
        return None

    def render(self, request: Request) -> Outcome:
        """Return the outcome of one request.

        Raises GoneError when the program hangs again and again, or never answers.
        """
        if self.renderer.given_up:
            raise GoneError(f"The program was given up after {self.renderer.time_limits} time limits.")
        asked = _line(request, self.readings)
        begin = time.perf_counter()
        try:
            answer = self.renderer.ask(*asked)
        except UnjudgedError as error:
            raise GoneError(str(error)) from None
        self.seconds.append(time.perf_counter() - begin)
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
    return _group(renderer, command, readings, name, command.encode("utf-8", "surrogateescape"))


def open_known(target: str, *, limit_s: float, readings: str) -> Group:
    """Make ready to judge `renderer:NAME`.

    Raises UsageError when there is none of this name, UnjudgedError when it is not installed.
    """
    entry = find(target)
    renderer = Renderer(environments.command(entry), limit_s=max(limit_s, _LONGEST_S))
    shown = f'eval "$(conformance renderers command {entry.name})"'  # the folders of this machine are nobody's business
    # What it writes may change with the package or with how it is asked.
    identity = str(entry).encode() + entry.file.read_bytes()
    return _group(renderer, shown, readings, f"{PREFIX}{entry.name}", identity, str(entry))


def _group(
    renderer: Renderer, command: str, readings: str, name: str, identity: bytes, package: str = ""
) -> Group:
    """Return the group of one program; `command` is what a shell would run, as a report shows it."""
    target = RendererTarget(
        name=name,
        sha256=hashlib.sha256(identity).hexdigest(),
        source=RendererSource(location=name, version=package or None),
        command=command,
        readings=readings,
    )
    return Group([target], {NAME: RendererHost(renderer, readings, package)}, (SHAPE,), None, renderer.close)
