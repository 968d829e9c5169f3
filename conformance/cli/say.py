"""The one door for lines of commands: whatever a stranger named something does nothing to the terminal."""

from __future__ import annotations

from rich.console import Console

from conformance.report.visible import glyphs_for, inert


def say(console: Console, text: str) -> None:
    """Print one line, inert whoever wrote it: nothing is markup, and it breaks where the terminal breaks it."""
    console.print(inert(text, glyphs=glyphs_for(console)), markup=False, highlight=False, soft_wrap=True)
