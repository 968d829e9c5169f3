"""A source: templates that a target like `toy://2024` names."""

from conformance.resources import resource
from conformance.sources import Provenance, SourceSettings, Template, make_template


class ToySource:
    """The reference template with another knowledge cutoff."""

    name = "toy"

    def claims(self, target: str) -> bool:
        """Return whether this source is the one to load a target; be precise, others want targets too."""
        return target.startswith("toy://")

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        """Return the templates, the default one first; raise UsageError with one sentence if they cannot be read."""
        text = resource("templates", "gpt-oss.jinja").read_text("utf-8")
        cutoff = target.removeprefix("toy://")
        return [make_template("toy", text.replace("2024-06", cutoff).encode(), Provenance("toy", target))]
