"""The numbers of a request that Harmony prints, and how it reads them: what engines differ in."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from conformance.engines.base import Request

# The integers that serde_json, Rust's JSON library, keeps: 64 bits, signed or not.
SMALLEST_64, LARGEST_64 = -(2**63), 2**64 - 1


def argument_numbers(request: Request) -> Iterator[int | float]:
    """Yield the numbers in arguments that came as objects; Harmony gets them as text."""
    for message in request.messages:
        for call in message.get("tool_calls") or ():
            yield from _numbers(call.get("function", call).get("arguments"))


def default_numbers(request: Request) -> Iterator[int | float]:
    """Yield the numbers in defaults of parameters; Harmony reads them with serde_json and writes them anew."""
    return _defaults(request.tools or [])


def serde_reads(number: str) -> float:
    """Return the float that serde_json makes of a number's text.

    It takes the digits as one integer of 64 bits, cutting off what does not fit, and scales it by a power of ten,
    which can miss the nearest float.
    """
    sign, digits, exponent = Decimal(number).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    kept = text[:20] if int(text[:20]) <= LARGEST_64 else text[:19]
    exponent += len(text) - len(kept)
    value = float(int(kept))
    if exponent < -308:
        value, exponent = value / 1e308, exponent + 308
    value = value / float(f"1e{-exponent}") if exponent < 0 else value * float(f"1e{exponent}")
    return -value if sign else value


def default_survives_as_float(number: int) -> bool:
    """Say whether Harmony reads the same from a large integer as from the float that an engine makes of it."""
    try:
        return serde_reads(repr(float(number))) == serde_reads(str(number))
    except OverflowError:
        return False


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def _defaults(schema: Any, *, named: bool = False) -> Iterator[int | float]:
    """Yield the numbers in the defaults of a schema; `named`: its keys are the names of parameters."""
    if isinstance(schema, list):
        for item in schema:
            yield from _defaults(item)
    elif isinstance(schema, dict):
        for key, item in schema.items():
            if key == "default" and not named:
                yield from _numbers(item)
            else:
                yield from _defaults(item, named=key == "properties" and not named)
