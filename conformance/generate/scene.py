"""What the parts of one case share: its style, the hints, and how a text is made in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.conversation import TOOL_NAME, Case
from conformance.generate import text as texts
from conformance.generate.draws import Draw, Weighted

Range = tuple[int, int]

_FEW: Weighted[Range] = Weighted((6, (1, 1)), (5, (1, 3)), (2, (4, 6)), (1, (6, 8)))
_ONE: Weighted[Range] = Weighted((6, (1, 1)), (1, (1, 3)))
_KNOWN_KEYS = frozenset((
    "type", "properties", "items", "required", "enum", "default", "description", "nullable", "title",
    "examples", "oneOf", "anyOf", "allOf", "const", "$ref", "additionalProperties",
))  # fmt: skip
_LONGEST_WORD = 200  # characters


def _usable(word: str) -> bool:
    return 0 < len(word) <= _LONGEST_WORD and not any("\ud800" <= letter <= "\udfff" for letter in word)


@dataclass(frozen=True, slots=True)
class Hints:
    """What a template seems to wait for, read from its source; it steers the grammar towards its branches.

    `words` are string constants that the template compares with or searches for: they turn up in texts, tool
    and property names, enums and arguments. `keys` are schema keys that it looks at: unknown ones get a
    value now and then. `messages` is a length that conversations should reach now and then (0: no wish).
    Words and keys that no case could use (empty, very long, not UTF-8, or with a meaning that the grammar
    knows) are left out. `corners` are the numbers of cases, from and to, that hold the corners of schemas instead of
    what is drawn, and `aimed` the cases, by their numbers, that were made for conditions which others rarely meet.
    """

    words: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    messages: int = 0
    corners: tuple[int, int] = (0, 0)
    aimed: Mapping[int, Case] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = tuple(dict.fromkeys(word for word in self.words if _usable(word)))
        keys = tuple(dict.fromkeys(key for key in self.keys if _usable(key) and key not in _KNOWN_KEYS))
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, slots=True)
class Style:
    """How a case is weighted: shares are probabilities from 0 to 1, ranges are (least, most)."""

    tools: Range = (0, 0)
    fields: Range = (0, 0)  # properties of a tool
    rich: float = 0.0  # share of properties that are more than a plain type
    bare: float = 0.06  # share of tools whose description or parameters are missing, empty or odd
    calls: float = 0.0  # share of turns in which tools are called
    thinking: float = 0.3  # share of assistant steps with thinking
    hostile: float = 0.0  # share of texts that are not plain words
    special: float = 0.04  # share of rare events: later instructions, empty texts, missing results, …
    turns: Weighted[Range] = _FEW


# The mix keeps rules from hiding behind each other: many cases hold one kind of difficulty only.
STYLES: Weighted[Style] = Weighted(
    (22, Style(special=0.01)),
    (9, Style(hostile=0.5, special=0.08)),
    (15, Style(tools=(1, 2), fields=(1, 3), rich=0.05, calls=0.5, hostile=0.03, special=0.02)),
    (13, Style(tools=(1, 1), fields=(1, 2), rich=1.0, bare=0.1, thinking=0.1, special=0.01, turns=_ONE)),
    (13, Style(tools=(1, 4), fields=(1, 7), rich=0.8, bare=0.15, calls=0.2, hostile=0.1, turns=_ONE)),
    (15, Style(tools=(0, 3), fields=(1, 2), rich=0.03, calls=0.9, thinking=0.4, hostile=0.05)),
    (13, Style((0, 4), (2, 7), rich=0.8, bare=0.35, calls=0.8, thinking=0.4, hostile=0.35, special=0.15)),
)
_PLACES: Weighted[str] = Weighted(
    (6, "user"), (3, "instructions"), (1, "result"), (1, "final"), (1, "thinking"), (1, "preamble"),
    (1, "description"), (1, "identity"), (2, "tool-name"), (2, "property"), (2, "value"), (1, "argument"),
)  # fmt: skip


class Scene:
    """The state of one case while it is made."""

    __slots__ = (
        "_guest", "_long_after", "_places",
        "hints", "parallel", "preambles", "shuffled", "strings", "style", "thinking",
    )  # fmt: skip

    def __init__(self, draw: Draw, hints: Hints, style: Style) -> None:
        self.hints = hints
        self.style = style
        # What a case may have at all is decided once for it: if every case with calls had parallel calls and
        # preambles somewhere, then no case would show what goes wrong without them.
        self.parallel = draw.chance(0.5)
        self.shuffled = draw.chance(0.5)
        self.preambles = draw.chance(0.5)
        self.strings = draw.chance(0.6)  # arguments as strings
        self.thinking = style.thinking if draw.chance(0.7) else 0.0
        # A long text costs the oracle as much as thirty cases, so it is rationed by case and not by text.
        self._long_after = draw.integer(1, 5) if draw.chance(0.01) else 0
        self._guest = ""
        self._places: frozenset[str] = frozenset()
        if hints.words and draw.chance(0.5):
            self._guest = draw.choice(hints.words)
            self._places = frozenset(draw.pick(_PLACES) for _ in range(draw.integer(1, 3)))

    def text(self, draw: Draw, place: str) -> str:
        """Return a text for a place: plain words, a hostile text, or one with a hint in it."""
        if self._long_after:
            self._long_after -= 1
            if not self._long_after:
                return texts.long(draw)
        if place in self._places and draw.chance(0.7):
            return self._hinted(draw)
        return texts.hostile(draw) if draw.chance(self.style.hostile) else texts.ordinary(draw)

    def _hinted(self, draw: Draw) -> str:
        if draw.chance(0.5):  # for templates that search; the word alone is for those that compare
            more = draw.many(lambda d: d.choice(self.hints.words), 0, 2)
            return " ".join([texts.ordinary(draw), self._guest, *more])
        return self._guest

    def guest(self, draw: Draw, place: str) -> str:
        """Return a hint's word when this place is to show one, else an empty text."""
        return self._guest if place in self._places and draw.chance(0.4) else ""

    def guest_name(self, draw: Draw) -> str:
        """Return a hint's word when a tool is to be called so and the word is a valid name, else nothing."""
        word = self.guest(draw, "tool-name")
        return word if TOOL_NAME.fullmatch(word) else ""

    def rare(self, draw: Draw) -> bool:
        """Return whether a rare event happens here."""
        return draw.chance(self.style.special)
