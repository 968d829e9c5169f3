"""Which features a text has, as a bit mask."""

from __future__ import annotations

import re
from functools import lru_cache

from conformance.generate.features import BIT

_PLAIN = re.compile(r"[A-Za-z0-9 ,.!?_-]*")
_TEXT_PATTERNS = tuple(
    (BIT[name], re.compile(pattern).search)
    for name, pattern in {
        "text-quotes": "[\"'`“”«»]",
        "text-backslash": r"\\",
        "text-html": "[<>&]",
        "text-multiline": r"[^\n]\n+[^\n]",
        "text-edge-newline": r"\A\s*?\n|\n\s*\Z",
        "text-edge-blank": r"\A[ \t]|[ \t]\Z",
        "text-newline-run": r"\n[ \t]*\n",
        "text-blank-run": "  ",
        "text-carriage-return": r"\r",
        "text-tab": r"\t",
        "text-emoji": "[\U0001f000-\U0001faff\u2600-\u27bf]",
        "text-combining": "[\u0300-\u036f\u093c-\u094d]",
        "text-right-to-left": "[\u0590-\u06ff\u200e\u200f\u202a-\u202e\u2066-\u2069]",
        "text-not-ascii": r"[^\x00-\x7f]",
        "text-control": "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
        "text-unicode-break": "[\x85\u2028\u2029]",
        "text-odd-space": "[\xa0\xad\u200b\ufeff\u3000]",
        "text-jinja": r"\{\{|\}\}|\{%|%\}|\{#",
        "text-json": r"[\[{][^%#]*[\]}]",
        "text-special-token": r"<\|[a-z]+\|>",
        "text-code": r"```|`[^`]+`|^# ",
    }.items()
)
_LONG = 10_000
_CACHED = 200  # characters; longer texts hardly come twice
_WINDOW = 2048


def text_mask(text: str) -> int:
    """Return the features of one text; of a very long one, those of its beginning and its end."""
    mask: int = _cached_text_mask(text) if len(text) <= _CACHED else _text_mask(text)
    return mask


def _text_mask(text: str) -> int:
    mask = BIT["text-long"] if len(text) >= _LONG or len(text.encode()) >= _LONG else 0
    if len(text) > 2 * _WINDOW:
        text = text[:_WINDOW] + text[-_WINDOW:]
    if _PLAIN.fullmatch(text) and "  " not in text and text == text.strip(" "):
        return mask
    for bit, found in _TEXT_PATTERNS:
        if found(text):
            mask |= bit
    return mask


_cached_text_mask = lru_cache(maxsize=8192)(_text_mask)
