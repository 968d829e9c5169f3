"""Seeded mutations of a file: of its bytes, and of its JSON or text where it has some."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_Mutation = Callable[[Random, bytearray], None]

# Where parsers go wrong: limits of integers, floats and nesting, halves of characters, other types.
_VALUES = (
    b"null", b"true", b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 400, b"0.1e-400",
    b"18446744073709551616", b"-9223372036854775809", b'""', b'"\\ud800"', b'"\\u0000"', b'"\xff\xfe"', b"[]", b"{}",
    b"[" * 3000, b'{"a":' * 3000, b'"' + b"a" * 100_000 + b'"', b'"<|start|>"', b'"\\udfff\\ud800"', b"[[[[null]]]]",
)  # fmt: skip
_BYTES = (b"\x00", b"\xff", b"\x80", b"\n", b"\r", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"=")
_WORDS = (b"\x00" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\x00\x00\x00\x80", b"\x01" + b"\x00" * 7)
# A JSON or TOML scalar, or an empty container.
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|\[\]|\{\}')
_NEAR = 1 << 12


def mutated(random: Random, data: bytes) -> bytes:
    """Return the file with one to four mutations."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        random.choice(_MUTATIONS)(random, changed)
    return bytes(changed)


def _place(random: Random, data: bytearray) -> int:
    # Half of all places lie in the first kilobyte: that is where headers are.
    end = len(data) if random.random() < 0.5 else min(len(data), 1024)
    return random.randrange(end + 1)


def _stretch(random: Random, data: bytearray) -> tuple[int, int]:
    start = _place(random, data)
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 64, 1024)))


def _flip(random: Random, data: bytearray) -> None:
    if data:
        data[min(_place(random, data), len(data) - 1)] ^= 1 << random.randrange(8)


def _put(random: Random, data: bytearray) -> None:
    start, _ = _stretch(random, data)
    value = random.choice(_BYTES + _WORDS)
    data[start : start + len(value)] = value


def _insert(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    data[place:place] = random.choice(_BYTES + _WORDS + _VALUES)


def _delete(random: Random, data: bytearray) -> None:
    start, end = _stretch(random, data)
    del data[start:end]


def _repeat(random: Random, data: bytearray) -> None:
    start, end = _stretch(random, data)
    data[end:end] = data[start:end] * random.choice((1, 2, 64))


def _cut(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def _swap(random: Random, data: bytearray) -> None:
    (a, b), (c, d) = sorted((_stretch(random, data), _stretch(random, data)))
    if b <= c:
        first, second = bytes(data[a:b]), bytes(data[c:d])
        data[c:d] = first
        data[a:b] = second


def _value(random: Random, data: bytearray) -> None:
    """Replace a scalar by another value, or by another scalar of the file."""
    if chosen := _scalar(random, data):
        other = _scalar(random, data) if random.random() < 0.3 else None
        data[chosen.start() : chosen.end()] = other[0] if other else random.choice(_VALUES)


def _scalar(random: Random, data: bytearray) -> re.Match[bytes] | None:
    """Return the next scalar behind some place."""
    start = _place(random, data)
    return _SCALAR.search(bytes(data[start : start + _NEAR]))


_MUTATIONS: tuple[_Mutation, ...] = (
    _flip, _put, _insert, _delete, _repeat, _cut, _swap, _value, _value, _value,
)  # fmt: skip
