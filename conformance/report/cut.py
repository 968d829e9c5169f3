"""What a report keeps of long texts: a stretch around the place where they part, length and hash of the whole."""

from __future__ import annotations

import hashlib

import msgspec

from conformance.bounds import KEPT_CHARS
from conformance.report.model import Cut, Example


def fitted(example: Example) -> Example:
    """Return an example whose texts fit into a report; one whose texts are short is returned as it is.

    Offsets are moved along, so that they stay places in the texts that are kept.
    """
    expected, expected_cut, offset = _stretch(example.expected, example.offset)
    actual, actual_cut, actual_offset = example.actual, None, example.actual_offset
    if actual is not None:
        place = example.offset if actual_offset is None else actual_offset
        actual, actual_cut, moved = _stretch(actual, place)
        actual_offset = None if actual_offset is None else moved
    if expected_cut is None and actual_cut is None:
        return example
    return msgspec.structs.replace(
        example,
        expected=expected,
        expected_cut=expected_cut,
        offset=offset,
        actual=actual,
        actual_cut=actual_cut,
        actual_offset=actual_offset,
    )


def _stretch(text: str, place: int | None) -> tuple[str, Cut | None, int | None]:
    """Return what is kept of a text, what was cut off, and the place in what is kept."""
    if len(text) <= KEPT_CHARS:
        return text, None, place
    start = min(max((place or 0) - KEPT_CHARS // 2, 0), len(text) - KEPT_CHARS)
    whole = text.encode("utf-8", "surrogatepass")
    cut = Cut(start=start, length=len(text), sha256=hashlib.sha256(whole).hexdigest())
    return text[start : start + KEPT_CHARS], cut, None if place is None else place - start
