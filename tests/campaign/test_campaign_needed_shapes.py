"""A divergence says in which shapes it shows, when the template is right in the others."""

from __future__ import annotations

import pytest
from rich.console import Console

from conformance.campaign.branches import _stride
from conformance.campaign.check import check
from conformance.campaign.settings import Settings
from conformance.report.cards import card
from conformance.resources import resource
from conformance.shapes import ALL, draw, shapes
from conformance.sources import make_template
from conformance.sources.base import Provenance

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("find", "replacement", "rule", "needed"),
    [
        # Jinja2 by itself, unlike transformers, does not copy thinking from one key to the others.
        ("set thought = text_at(message, 'reasoning_content'", "set thought = text_at(message, 'thoughts'",
         "thinking-dropped", ["openai"]),
        ("{%- elif content is not none -%}", "{%- else -%}",
         "template-rejected", ["openai", "null-content"]),
        ("{{- '\\nKnowledge cutoff: 2024-06\\n", "{{- '\\nKnowledge cutoff: 2024-07\\n",
         "system-text", []),
    ],
    ids=["thinking-key", "null", "everywhere"],
)  # fmt: skip
def test_needed_shapes(find: str, replacement: str, rule: str, needed: list[str]) -> None:
    assert REFERENCE.count(find) == 1
    template = make_template("faulty", REFERENCE.replace(find, replacement), Provenance("test", "test"))
    report = check([template], Settings(cases=40, engines=("jinja2",)))
    (target,) = report.targets
    shown = {divergence.rule: divergence for divergence in target.divergences}
    assert rule in shown
    assert shown[rule].needs_shapes == needed
    console = Console(width=140)
    with console.capture() as capture:
        console.print(card(console, target, shown[rule]))
    words = f"only in shape{'s' if len(needed) > 1 else ''} {', '.join(needed)}"
    assert (words in " ".join(capture.get().split())) == bool(needed)


@pytest.mark.parametrize("names", [(), (ALL,), ("parts", "openai")])
@pytest.mark.parametrize("cases", [1, 250, 1_350, 1_800, 7_500, 9_000])
def test_branches_are_probed_in_every_shape(names: tuple[str, ...], cases: int) -> None:
    choices = shapes(names)
    probed = (draw(choices, index * _stride(cases, choices)).name for index in range(2_000))
    assert set(probed) == {shape.name for family in choices for shape in family}
