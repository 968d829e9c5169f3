"""Making every character of a stranger's text visible, so that none of it controls the reader's terminal.

Blanks that matter, line ends and tabs get pictures; control characters, bidirectional controls and other
invisible characters get their picture or their number; special tokens are units. What comes out is
`rich.text.Text`, in which markup such as `[red]` is nothing but text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import combining

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

SPECIAL_TOKEN = re.compile(r"<\|[A-Za-z0-9_ -]{1,40}\|>")

TOKEN_STYLE = "cyan"
MARK_STYLE = "dim"

# A base character with more marks than this is an attack on the line above, not a letter.
_MAX_MARKS = 2
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef\u034f\u115f\u1160\u3164\uffa0]")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The pictures used for a terminal: Unicode ones, or ASCII where the terminal knows nothing else."""

    newline: str
    tab: str
    carriage_return: str
    blank: str
    more: str
    end: str
    good: str
    bad: str
    dot: str
    ascii_only: bool

    def plain(self, text: str) -> str:
        """Return our own text in characters that the terminal has."""
        if not self.ascii_only or text.isascii():
            return text
        text = "".join(_ASCII_FOR.get(char, char) for char in text)
        return text.encode("ascii", "backslashreplace").decode("ascii")


UNICODE = Glyphs("⏎", "⇥", "␍", "␠", "…", "⟨end⟩", "✓", "✗", "·", ascii_only=False)
ASCII = Glyphs(r"\n", r"\t", r"\r", "_", "...", "<end>", "ok", "x", "-", ascii_only=True)

_ASCII_FOR = {"✓": "ok", "✗": "x", "·": "-", "…": "...", "→": "->", "–": "-", "—": "-", "×": "x"}
_ASCII_FOR |= {"“": '"', "”": '"', "’": "'", "≥": ">=", "≤": "<=", "│": "|", "⏎": r"\n", "␠": "_"}


def glyphs_for(console: Console) -> Glyphs:
    """Return the pictures that a console's encoding can write."""
    return UNICODE if console.encoding.lower().replace("-", "").startswith("utf") else ASCII


@dataclass(frozen=True, slots=True)
class Unit:
    """What is shown, in one piece, for the characters `start` to `end` of a text."""

    shown: str
    style: str
    start: int
    end: int

    @property
    def width(self) -> int:
        """Terminal cells."""
        return cell_len(self.shown)


def units(
    text: str,
    start: int = 0,
    end: int | None = None,
    *,
    loud: Sequence[tuple[int, int]] = (),
    glyphs: Glyphs = UNICODE,
) -> Iterator[Unit]:
    """Yield the characters `start` to `end` of a text as they are shown.

    Blanks are pictures at the ends of the text and of its lines, in runs, and within the ranges of `loud`;
    a range begins a unit of its own, so that a combining mark which makes the difference is not hidden in
    the letter before it.
    """
    end = len(text) if end is None else min(end, len(text))
    breaks = {offset for bounds in loud for offset in bounds}
    at = start
    while at < end:
        token = SPECIAL_TOKEN.match(text, at) if text[at] == "<" else None
        if token:
            yield Unit(token[0], TOKEN_STYLE, at, token.end())
            at = token.end()
            continue
        stop = at + 1
        while (
            stop < end
            and stop not in breaks
            and stop - at <= _MAX_MARKS
            and unicodedata.combining(text[stop])
        ):
            stop += 1
        shown, style = _one(text, at, loud, glyphs)
        if stop > at + 1:
            marks = text[at + 1 : stop]
            # A mark combines with a letter; behind a picture it is shown by its number.
            shown += (
                marks
                if not style and text[at] != " " and not glyphs.ascii_only
                else "".join(_code(m, glyphs) for m in marks)
            )
        yield Unit(shown, style, at, stop)
        at = stop


def _one(text: str, at: int, loud: Sequence[tuple[int, int]], glyphs: Glyphs) -> tuple[str, str]:
    """Return what is shown for one character, and its style ("" for itself)."""
    char = text[at]
    if char == " ":
        matters = _blank_matters(text, at) or any(start <= at < end for start, end in loud)
        shown = glyphs.blank if matters else " "
        return shown, MARK_STYLE if shown != " " else ""
    if "!" <= char <= "~":
        return char, ""
    picture = {"\n": glyphs.newline, "\t": glyphs.tab, "\r": glyphs.carriage_return}.get(char)
    if picture:
        return picture, MARK_STYLE
    if glyphs.ascii_only:
        return _code(char, glyphs), MARK_STYLE
    if char < " " or char == "\x7f":
        return chr(0x2400 + ord(char)) if char < " " else "\u2421", MARK_STYLE
    # Our own pictures and brackets are shown by number when a template writes them: no mark is ambiguous.
    if hidden(char) or char in "⏎⇥␠⟨⟩" or "\u2400" <= char <= "\u2421":
        return _code(char, glyphs), MARK_STYLE
    return char, ""


def _blank_matters(text: str, at: int) -> bool:
    before = text[at - 1] if at else "\n"
    after = text[at + 1] if at + 1 < len(text) else "\n"
    return before in " \n\r\t" or after in " \n\r\t"


def hidden(char: str) -> bool:
    """Return whether a character shows nothing, another blank than the blank, or a mark without a letter."""
    category = unicodedata.category(char)
    return (
        category in _INVISIBLE
        or (category == "Zs" and char != " ")
        or combining(char) != 0
        or category == "Me"
        or _VARIATION.match(char) is not None
        or cell_len(char) == 0
    )


def _code(char: str, glyphs: Glyphs) -> str:
    if glyphs.ascii_only:
        return char.encode("unicode_escape").decode("ascii")
    return f"⟨U+{ord(char):04X}⟩"


def inert(text: str, limit: int | None = None, *, glyphs: Glyphs = UNICODE) -> str:
    """Return a stranger's text in one line that does nothing to a terminal, at most `limit` cells long.

    Single blanks stay blanks; what a picture stands for is told by `units`.
    """
    shown: list[str] = []
    width = 0
    room = None if limit is None else max(limit - cell_len(glyphs.more), 1)
    cut: int | None = None
    for unit in units(text, glyphs=glyphs):
        piece = " " if unit.shown == glyphs.blank else unit.shown
        if room is not None and width <= room < width + cell_len(piece):
            cut = len(shown)
        shown.append(piece)
        width += cell_len(piece)
        if limit is not None and width > limit:
            return "".join(shown[:cut]) + glyphs.more
    return "".join(shown)


def inert_text(text: str, limit: int | None = None, *, glyphs: Glyphs = UNICODE, style: str = "") -> Text:
    """Return a stranger's text as `inert` does, as rich text."""
    return Text(inert(text, limit, glyphs=glyphs), style=style)
