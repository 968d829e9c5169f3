"""The templates that are mutated: the reference and three public ones."""

from __future__ import annotations

from conformance.resources import resource
from conformance.sources import catalogue

REFERENCE = "gpt-oss"
TEMPLATES = (REFERENCE, "openai-gpt-oss-120b", "unsloth-package", "LLMWildling-gpt-oss-220a20b")


def template_text(name: str) -> str:
    """Return the text of the reference, or of a template of the catalogue; SystemExit where it cannot be had."""
    if name == REFERENCE:
        return resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    (fetched,) = catalogue.fetch([name])
    if fetched.template is None:
        raise SystemExit(f"{name} cannot be had: {fetched.error}")
    return fetched.template.text
