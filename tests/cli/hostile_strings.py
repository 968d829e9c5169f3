"""Sixty strings that strangers write to steer a terminal, a log, or what a person reads."""

from __future__ import annotations

STRINGS: tuple[str, ...] = (
    # Escape sequences: colours, clearing, the cursor, titles, the clipboard, links, alternate screens, queries.
    "\x1b[31mred\x1b[0m", "\x1b[2J", "\x1b[H", "\x1b[1A\x1b[2K", "\x1b]0;title\x07", "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]8;;http://evil\x07x\x1b]8;;\x07", "\x1b[?1049h", "\x1b[6n", "\x1bc", "\x1b(0", "\x1b[8m", "\x1b[999D",
    "\x1bPq\x1b\\", "\x1b_x\x1b\\", "\x1b^x\x1b\\", "\x1b[5i", "\x1b]1337;x=y\x07", "\x1b[?25l", "\x1b7\x1b8",
    # Control characters, those of eight bits too.
    "a\rb", "a\bb", "a\x7fb", "a\x07b", "a\x0bb", "a\x0cb", "a\x0eb", "a\x0fb", "a\x1ab", "a\x1fb", "\x9b31m",
    "\x9d0;t\x9c", "\x90q", "\x85", "\x84\x88", "\x8d",
    # What changes the direction or is not seen.
    "\u202eevil", "\u2066x\u2069", "\u200bx", "\u200d", "\u2060", "\ufeffx", "\u00ad", "\u061c", "\u180e", "\u115f",
    "\u2028x", "\u2029x", "\U000e0041", "\ue000",
    # What a reader of marked text would act on.
    "[/x]", "[red]x[/red]", "[link=http://evil]x[/link]", "<script>x</script>", "![x](http://evil)", "::error::x",
    "a|b`c`", "{{ x }}", "%s%n", "$(id)",
)  # fmt: skip


def batches(size: int = 10) -> list[str]:
    """Return all strings, several in one, so that no name is too long to be shown."""
    return ["|".join(STRINGS[first : first + size]) for first in range(0, len(STRINGS), size)]


def steering(text: str) -> list[str]:
    """Return what in a text can steer a terminal or is not seen, by number."""
    return sorted({f"U+{ord(char):04X}" for char in text if not char.isprintable() and char != "\n"})
