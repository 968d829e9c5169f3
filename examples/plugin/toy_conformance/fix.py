"""A fix: what it changes is applied only where a campaign proves that it helps."""

from conformance.fixes.base import SkippedError
from conformance.template.parts import Source


class ToyCutoff:
    """Writes the month of the knowledge cutoff."""

    name = "toy-cutoff"
    size = "expression"
    what = "writes the whole knowledge cutoff"
    rules = ("system-text",)

    def apply(self, source: Source) -> str:
        """Return the changed source; raise SkippedError when its place is not found."""
        if "Knowledge cutoff: 2024\\n" not in source.text:
            raise SkippedError("no cutoff without a month was found")
        return source.text.replace("Knowledge cutoff: 2024\\n", "Knowledge cutoff: 2024-06\\n")
