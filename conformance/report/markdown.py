"""What the published Markdown files share: inert cells, no paths, small conversations in one cell."""

from __future__ import annotations

import re

from conformance.conversation import Case
from conformance.report import compact
from conformance.report.model import Divergence
from conformance.report.visible import inert

_CASE_WIDTH = 160

# A path of two or more parts; what stands in an address (`wheel://name/x`) follows a letter, `:` or `/`.
_PATH = re.compile(r"(?<![\w:/.\-=@])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"`]+[/\\])+")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")


def no_paths(text: str) -> str:
    """Return a text with only the last part of each path, so that it says nothing about the machine."""
    return _PATH.sub("", text)


def rounded(share: float) -> float:
    """Return a share with six digits."""
    return round(share, 6)


def cell(text: str) -> str:
    """Return text for a Markdown table: inert on a terminal and in HTML, and in one line."""
    return escaped(inert(text))


def excerpt_cell(text: str) -> str:
    """Return a stretch of a prompt for a table's cell; of a long one its beginning and its end."""
    kept = _CASE_WIDTH // 2
    return cell(text if len(text) <= 2 * kept else f"{text[:kept]} […] {text[-kept:]}")


def conversation(divergence: Divergence) -> str:
    """Return the conversation of a divergence's example for a table's cell; a large one only as its size."""
    return case_cell(divergence.example.case)


def case_cell(case: Case) -> str:
    """Return a conversation for a table's cell; a large one only as its size."""
    if not compact.is_small(case):
        return compact.size(case)
    lines = (f"{label} {text}" for label, text in compact.lines(case))
    return "<br>".join(escaped(inert(line, _CASE_WIDTH)) for line in lines) or "(empty)"


def between(text: str, begin: str, end: str, generated: str) -> str:
    """Return a document with the generated part between two marks made new.

    Raises ValueError when the marks are not there.
    """
    start, stop = text.index(begin) + len(begin), text.index(end)
    return f"{text[:start]}\n\n{generated}\n\n{text[stop:]}"


def escaped(text: str) -> str:
    """Return a line that is inert already with what Markdown and HTML would read in it escaped."""
    return _MARKDOWN.sub(r"\\\1", text).replace("&", "&amp;").replace("\\<", "&lt;")
