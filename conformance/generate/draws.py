"""Where the grammar's decisions come from: one small interface, two drivers.

The grammar never asks for randomness itself, it asks a `Draw`. `RandomDraw` answers from a seeded generator
at thousands of cases a second, `HypothesisDraw` answers from Hypothesis, which can then shrink. For both, the
least answer is the simplest one: 0, False, the first choice, the shortest list. Tables and pools are
therefore ordered from the simplest value on, whatever the weights.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

T = TypeVar("T")


class Weighted(Generic[T]):
    """A table of (weight, value) rows to pick from; weights are whole numbers, the first row the simplest."""

    __slots__ = ("limits", "total", "values")

    def __init__(self, *rows: tuple[int, T]) -> None:
        if not rows or any(weight < 1 for weight, _ in rows):
            raise ValueError("a weighted table has rows, each with a weight of at least 1")
        self.values = tuple(value for _, value in rows)
        self.limits = tuple(accumulate(weight for weight, _ in rows))
        self.total = self.limits[-1]


class Draw(Protocol):
    """The decisions that the grammar asks for."""

    def integer(self, lo: int, hi: int) -> int:
        """Return an integer from `lo` to `hi`, both included; `lo` is the simplest."""

    def chance(self, probability: float) -> bool:
        """Return True with this probability (0 to 1); False is the simplest."""

    def choice(self, values: Sequence[T]) -> T:
        """Return one of the values, each as likely; the first is the simplest."""

    def pick(self, table: Weighted[T]) -> T:
        """Return one value of a weighted table; the first is the simplest."""

    def text(self, alphabet: str, lo: int, hi: int) -> str:
        """Return `lo` to `hi` characters of an alphabet."""

    def many(self, element: Callable[[Draw], T], lo: int, hi: int) -> list[T]:
        """Return `lo` to `hi` elements, made in order; fewer is simpler."""

    def part(self, make: Callable[[Draw], T]) -> T:
        """Return what `make` makes, as a part that can be simplified without touching the rest."""


class RandomDraw:
    """Decisions from a seeded generator: (seed, index) gives the same ones on every machine and Python.

    Only `random.Random(int)` and its `random()` are used: Python guarantees both to stay as they are.
    """

    __slots__ = ("_next",)

    def __init__(self, seed: int, index: int = 0) -> None:
        if index < 0:
            raise ValueError(f"a case's index counts from 0, it cannot be {index}")
        # Random() ignores the sign of its seed, so negative seeds become odd numbers and the others even.
        self._next = Random(((2 * seed if seed >= 0 else -2 * seed - 1) << 64) | index).random

    def integer(self, lo: int, hi: int) -> int:
        """Return an integer from `lo` to `hi`, both included."""
        return lo + int(self._next() * (hi - lo + 1))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._next() < probability

    def choice(self, values: Sequence[T]) -> T:
        """Return one of the values."""
        return values[int(self._next() * len(values))]

    def pick(self, table: Weighted[T]) -> T:
        """Return one value of a weighted table."""
        return table.values[bisect_right(table.limits, self._next() * table.total)]

    def text(self, alphabet: str, lo: int, hi: int) -> str:
        """Return `lo` to `hi` characters of an alphabet."""
        draw, size = self._next, len(alphabet)
        return "".join([alphabet[int(draw() * size)] for _ in range(self.integer(lo, hi))])

    def many(self, element: Callable[[Draw], T], lo: int, hi: int) -> list[T]:
        """Return `lo` to `hi` elements."""
        return [element(self) for _ in range(self.integer(lo, hi))]

    def part(self, make: Callable[[Draw], T]) -> T:
        """Return what `make` makes."""
        return make(self)


class HypothesisDraw:
    """Decisions from Hypothesis; `draw` is the function that `@st.composite` hands to its strategies."""

    __slots__ = ("_draw",)

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def integer(self, lo: int, hi: int) -> int:
        """Return an integer from `lo` to `hi`, both included."""
        from hypothesis import strategies as st

        return lo if lo == hi else self._draw(st.integers(lo, hi))

    def chance(self, probability: float) -> bool:
        """Return True with about this probability: one in n, or all but one in n."""
        if not 0 < probability < 1:
            return probability >= 1
        # Small ranges, for the shrinker searches each for the least number that still gives the same answer.
        if probability > 0.5:
            return self.integer(0, round(1 / (1 - probability)) - 1) > 0
        last = round(1 / probability) - 1
        return self.integer(0, last) == last

    def choice(self, values: Sequence[T]) -> T:
        """Return one of the values."""
        return values[self.integer(0, len(values) - 1)]

    def pick(self, table: Weighted[T]) -> T:
        """Return one value of a table, whatever its weight: Hypothesis explores in its own way."""
        return self.choice(table.values)

    def text(self, alphabet: str, lo: int, hi: int) -> str:
        """Return `lo` to `hi` characters of an alphabet."""
        from hypothesis import strategies as st

        return self._draw(st.text(alphabet, min_size=lo, max_size=hi))

    def many(self, element: Callable[[Draw], T], lo: int, hi: int) -> list[T]:
        """Return `lo` to `hi` elements."""
        from hypothesis import strategies as st

        # st.lists, not a loop: Hypothesis then knows that elements can be deleted when it shrinks.
        return self._draw(st.lists(as_strategy(element), min_size=lo, max_size=hi))

    def part(self, make: Callable[[Draw], T]) -> T:
        """Return what `make` makes; Hypothesis sees where it begins and ends, and can reset it as a whole."""
        return self._draw(as_strategy(make))


def as_strategy(make: Callable[[Draw], T]) -> SearchStrategy[T]:
    """Return a Hypothesis strategy for whatever `make` builds from a draw."""
    strategy: SearchStrategy[T] = _composite()(make)
    return strategy


@lru_cache(maxsize=1)
def _composite() -> Callable[..., SearchStrategy[Any]]:
    from hypothesis import strategies as st

    @st.composite
    def built(draw: DrawFn, make: Callable[[Draw], Any]) -> Any:
        return make(HypothesisDraw(draw))

    return built
