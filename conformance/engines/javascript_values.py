"""What of a request JavaScript cannot carry, as far as Harmony prints it: for engines that run there.

A number becomes a double, and of several numbers that become one double only the one that JavaScript itself
prints can come out right; how it is printed (1e-7 or 1e-07) is up to the template. Keys that are whole numbers
lose their places. Schemas are searched where Harmony prints values: properties, defaults, oneOf.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from conformance.engines.base import Request

_KEY_ORDER = "an object has whole numbers as keys, which JavaScript sorts and moves to the front"
_WHOLE_FLOAT = "a float without a fraction, such as 1.0 or -0.0, is an integer in JavaScript"
_LARGE_INTEGER = "an integer over 2**53 loses digits in JavaScript, where every number is a double"

_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_LARGEST_INDEX = 2**32 - 2
# From here on JavaScript prints exponents, as Python prints floats.
_EXPONENT_FROM = 10**21
# Beyond 64 bits Harmony reads integers as floats: there the two are no longer told apart.
_I64_MIN, _U64_MAX = -(2**63), 2**64 - 1


def losses(request: Request) -> Iterator[str]:
    """Yield a sentence for everything in a request that no template can write as Harmony does."""
    for message in request.messages:
        for call in message.get("tool_calls") or ():
            arguments = call.get("function", call).get("arguments")
            yield from _lost(arguments, _lost_argument)
    for tool in request.tools or ():
        yield from _lost_in_schema(tool.get("function", tool).get("parameters"))


def _lost_in_schema(schema: Any) -> Iterator[str]:
    """Yield what is lost of a schema's parts that Harmony prints: the order of properties, and defaults."""
    if not isinstance(schema, dict):
        return
    variants, kind = schema.get("oneOf"), schema.get("type")
    if isinstance(variants, list):
        for variant in variants:
            yield from _lost_in_default(variant)
            yield from _lost_in_schema(variant)
    elif kind == "object" and isinstance(properties := schema.get("properties"), dict):
        if _reordered(properties):
            yield _KEY_ORDER
        for value in properties.values():
            yield from _lost_in_default(value)
            yield from _lost_in_schema(value)
    elif kind == "array":
        yield from _lost_in_schema(schema.get("items"))


def _lost_in_default(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict) and "default" in schema:
        yield from _lost(schema["default"], _lost_default)


def _lost(value: Any, lost_number: Callable[[int | float], str | None]) -> Iterator[str]:
    if isinstance(value, dict):
        if _reordered(value):
            yield _KEY_ORDER
        for item in value.values():
            yield from _lost(item, lost_number)
    elif isinstance(value, list):
        for item in value:
            yield from _lost(item, lost_number)
    elif isinstance(value, int | float) and not isinstance(value, bool) and (reason := lost_number(value)):
        yield reason


def _reordered(value: dict[str, Any]) -> bool:
    indices = [key for key in value if _ARRAY_INDEX.fullmatch(key) and int(key) <= _LARGEST_INDEX]
    return bool(indices) and list(value)[: len(indices)] != sorted(indices, key=int)


def _lost_argument(number: int | float) -> str | None:
    if isinstance(number, int):
        return None if abs(number) < _EXPONENT_FROM and _printed(number) == number else _LARGE_INTEGER
    return _WHOLE_FLOAT if number.is_integer() and abs(number) < _EXPONENT_FROM else None


def _lost_default(number: int | float) -> str | None:
    """Say what is lost of a number in a default, which Harmony reads as an integer of 64 bits or as a float."""
    if isinstance(number, float):
        return _WHOLE_FLOAT if number.is_integer() and _I64_MIN < number <= _U64_MAX else None
    printed = _printed(number)
    if _I64_MIN <= number <= _U64_MAX:
        return None if printed == number else _LARGE_INTEGER
    return None if printed is not None and _float_read(printed) == _float_read(number) else _LARGE_INTEGER


def _printed(number: int) -> int | None:
    """Return the integer that JavaScript prints: the shortest digits that mean its double, then zeros."""
    try:
        return int(Decimal(repr(float(number))))
    except OverflowError:
        return None


def _float_read(number: int) -> float:
    """Return the float that serde_json reads from more than 64 bits: the digits that fit, times a power of ten."""
    digits = str(abs(number))
    kept = 20 if int(digits[:20]) <= _U64_MAX else 19
    return float(digits[:kept]) * float(f"1e{len(digits) - kept}")
