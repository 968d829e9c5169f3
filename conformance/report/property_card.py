"""How a property that needs no oracle is shown on a card: two prompts of one template, or a statement."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from conformance.report.excerpt import ACTUAL_STYLE, EXPECTED_STYLE
from conformance.report.model import Divergence, Example, Target
from conformance.report.visible import MARK_STYLE, Glyphs, inert, units

# What the two texts of a check are; a check that compares with the oracle is not among them.
LABELS = {
    "accepts": ("", "template"),
    "compiles": ("", "template"),
    "texts": ("sent", "prompt"),
    "python-repr": ("should", "prompt"),
    "prefix": ("shorter", "longer"),
    "generation-prompt": ("without", "with"),
    "continuation": ("prefill", "prompt"),
    "dates": ("once", "again"),
    "assistant-mask": ("masked", "prompt"),
    "mask": ("masked", "prompt"),
}

_BEFORE = 40  # characters of the prompt shown before the place in question


def again(target: Target, divergence: Divergence) -> str | None:
    """Return the target to check again with `--any`, None where the oracle's replay shows the case."""
    location = target.source.get("location")
    return str(location) if divergence.check in LABELS and location else None


def statement(
    example: Example, labels: tuple[str, str], width: int, glyphs: Glyphs, label: int
) -> RenderableType:
    """Return what should hold and the prompt around the place where it does not; of a lost text, its end."""
    prompt = example.actual or ""
    place = example.actual_offset
    start = max(0, (len(prompt) - width if place is None else place) - _BEFORE)
    line = Text(no_wrap=True, end="")
    if start:
        line.append(glyphs.more, MARK_STYLE)
    room = width
    for unit in units(prompt, start, min(len(prompt), start + width), glyphs=glyphs):
        room -= unit.width
        if room < 0:
            line.append(glyphs.more, MARK_STYLE)
            break
        at = place is not None and unit.start <= place < unit.end
        line.append(unit.shown, ACTUAL_STYLE if at else unit.style or None)
    one, other = (name.ljust(label) for name in labels)
    return Group(
        Text.assemble((one, EXPECTED_STYLE), inert(example.expected, width, glyphs=glyphs)),
        Text.assemble((other, ACTUAL_STYLE), line),
    )
