"""An engine: a program that executes Jinja templates."""

from typing import ClassVar

from conformance.engines.base import Outcome, Rendered, Request, SyntaxProblem
from conformance.engines.jinja2_plain import PlainJinja2Engine


class ToyEngine(PlainJinja2Engine):
    """Jinja2, but white space at the end of a prompt is lost."""

    name: ClassVar[str] = "toy"

    def version(self) -> str:
        """Return the version of the program; cheap, and without importing it."""
        return f"1.0 on {super().version()}"

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps the template from being compiled, or None."""
        return super().compile_check(template)

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request; what escapes is reported as a crash."""
        outcome = super().render(template, request)
        return Rendered(outcome.text.rstrip()) if isinstance(outcome, Rendered) else outcome
