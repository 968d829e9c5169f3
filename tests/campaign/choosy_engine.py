"""Engines that differ from jinja2 in one known way each, to test campaigns over several engines."""

from typing import ClassVar

from conformance.engines.base import Outcome, Rendered, Request, SyntaxProblem
from conformance.engines.jinja2_plain import PlainJinja2Engine


class Choosy(PlainJinja2Engine):
    """Cannot express tools, and says so."""

    name: ClassVar[str] = "choosy"

    def loses(self, request: Request) -> str | None:
        return "it knows no tools" if request.tools else None

    def render(self, template: str, request: Request) -> Outcome:
        assert not request.tools, "a request that the engine cannot express was sent to it"
        return super().render(template, request)


class Squeezing(PlainJinja2Engine):
    """Writes one blank where two stand."""

    name: ClassVar[str] = "squeezing"

    def render(self, template: str, request: Request) -> Outcome:
        outcome = super().render(template, request)
        return Rendered(outcome.text.replace("  ", " ")) if isinstance(outcome, Rendered) else outcome


class Picky(PlainJinja2Engine):
    """Compiles nothing that has a macro."""

    name: ClassVar[str] = "picky"

    def compile_check(self, template: str) -> SyntaxProblem | None:
        return SyntaxProblem("unknown statement macro", 7) if "macro" in template else None
