"""Text that remembers which output of a template wrote each of its characters, through slices, joins and filters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, SupportsIndex

# A stretch of so many characters, and the numbers of the outputs that it went through, the innermost first.
Run = tuple[int, tuple[int, ...]]
_LONGEST_CHAIN = 24


class Traced(str):
    """A text with runs; it compares, measures and prints as the plain text does.

    What no method here carries over gives a plain text, whose next output then counts as its first.
    """

    __slots__ = ("runs",)
    runs: tuple[Run, ...]

    @staticmethod
    def of(text: str, runs: Iterable[Run]) -> Traced:
        """Return a text with its runs, which must be as long together."""
        made = Traced(text)
        made.runs = _merged(runs)
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return join((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return join((other, self)) if isinstance(other, str) else NotImplemented

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if not isinstance(key, slice):
            at = range(len(self))[key]
            return self._cut(at, at + 1)
        start, stop, step = key.indices(len(self))
        return self._cut(start, max(start, stop)) if step == 1 else super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return (self._cut(at, at + 1) for at in range(len(self)))

    def _cut(self, start: int, stop: int) -> str:
        runs: list[Run] = []
        position = 0
        for length, chain in self.runs:
            begin, end = max(start, position), min(stop, position + length)
            if begin < end:
                runs.append((end - begin, chain))
            position += length
        return Traced.of(super().__getitem__(slice(start, stop)), runs)

    def strip(self, chars: str | None = None) -> str:
        """Strip as str does."""
        start = len(self) - len(super().lstrip(chars))
        return self._cut(start, max(start, len(super().rstrip(chars))))

    def lstrip(self, chars: str | None = None) -> str:
        """Strip as str does."""
        return self._cut(len(self) - len(super().lstrip(chars)), len(self))

    def rstrip(self, chars: str | None = None) -> str:
        """Strip as str does."""
        return self._cut(0, len(super().rstrip(chars)))

    def removeprefix(self, prefix: str, /) -> str:
        """Remove as str does."""
        return self._cut(len(self) - len(super().removeprefix(prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        """Remove as str does."""
        return self._cut(0, len(super().removesuffix(suffix)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Split as str does."""
        return list(self._pieces(super().split(sep, maxsplit)))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Split as str does."""
        return list(self._pieces(super().rsplit(sep, maxsplit)))

    def splitlines(self, keepends: bool = False) -> list[str]:
        """Split as str does."""
        return list(self._pieces(super().splitlines(keepends)))

    def partition(self, sep: str) -> tuple[str, str, str]:
        """Split as str does."""
        before, middle, after = self._pieces(super().partition(sep))
        return before, middle, after

    def _pieces(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield pieces of this text, which come in its order, with their runs."""
        position = 0
        for piece in pieces:
            at = self.find(piece, position)
            yield self._cut(at, at + len(piece))
            position = at + len(piece)

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        """Replace as str does; what is new has the runs of what it stands for."""
        if not old:
            return super().replace(old, new, count)
        parts, position, left = [], 0, int(count)
        while left and (at := self.find(old, position)) >= 0:
            chain = next(iter(self._cut(at, at + 1).runs))[1]  # type: ignore[attr-defined]
            parts += [self._cut(position, at), Traced.of(str.__str__(new), [(len(new), chain)])]
            position, left = at + len(old), left - 1
        return join([*parts, self._cut(position, len(self))])

    def lower(self) -> str:
        """Return the text in small letters."""
        return self._same_length(super().lower())

    def upper(self) -> str:
        """Return the text in capital letters."""
        return self._same_length(super().upper())

    def title(self) -> str:
        """Return the text with capital initials."""
        return self._same_length(super().title())

    def capitalize(self) -> str:
        """Return the text with a capital at its beginning."""
        return self._same_length(super().capitalize())

    def _same_length(self, text: str) -> str:
        return Traced.of(text, self.runs) if len(text) == len(self) else text

    def join(self, parts: Iterable[str], /) -> str:
        """Join as str does."""
        between = [part for each in parts for part in (self, each)]
        return join(between[1:])


def join(parts: Iterable[Any]) -> str:
    """Join texts; those that remember nothing are between runs that do, and count as written by no output."""
    texts = [part if isinstance(part, str) else str(part) for part in parts]
    runs = [run for text in texts for run in (text.runs if isinstance(text, Traced) else ((len(text), ()),))]
    return Traced.of("".join(texts), runs)


def through(value: Any, output: int) -> Traced:
    """Return what an output writes of a value: its text, with the output's number behind those it has."""
    text = value if isinstance(value, str) else str(value)
    known = text.runs if isinstance(text, Traced) else ((len(text), ()),)
    return Traced.of(
        text,
        [(length, (*chain, output) if len(chain) < _LONGEST_CHAIN else chain) for length, chain in known],
    )


def _merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    found: list[Run] = []
    for length, chain in runs:
        if length == 0:
            continue
        if found and found[-1][1] == chain:
            length += found.pop()[0]
        found.append((length, chain))
    return tuple(found)


class Runs:
    """The runs of a text, to be asked by offset."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)
        self._ends = list(accumulate(length for length, _ in self._runs))

    def _at(self, offset: int) -> int:
        return bisect_right(self._ends, offset)

    def chain(self, offset: int) -> tuple[int, ...]:
        """Return the outputs that the character at an offset went through; empty behind the end."""
        number = self._at(offset)
        return self._runs[number][1] if number < len(self._runs) else ()

    def start(self, offset: int) -> int:
        """Return where the run of the character at an offset begins."""
        number = self._at(offset)
        return self._ends[number - 1] if number else 0

    def before(self, offset: int, output: int) -> tuple[int, ...]:
        """Return the chain of the last character up to an offset that `output` did not write first; else empty."""
        number = min(self._at(offset), len(self._runs) - 1)
        while number >= 0 and self._runs[number][1][:1] == (output,):
            number -= 1
        return self._runs[number][1] if number >= 0 else ()
