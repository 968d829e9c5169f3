"""What one condition of a template asks for: literals it compares with, keys it looks up, numbers it counts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from conformance.generate.draws import Draw

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wants:
    """The literals of a condition and of what leads to it, nearest first.

    `pairs` are keys with the value that they are compared with (`type` and `array`), `keys` what is looked up or looked
    for, `words` texts, `numbers` what is counted to.
    """

    pairs: tuple[tuple[str, Any], ...] = ()
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


def near(draw: Draw, values: Sequence[T]) -> T:
    """Return one of the values, the first ones more often."""
    return values[draw.integer(0, draw.integer(0, len(values) - 1))]
