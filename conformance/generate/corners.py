"""Schemas at the corners: every kind of type in every place, with each keyword, so that no seed can miss a nesting.

What is drawn at random meets a oneOf inside array items with an enum and a default in some campaigns and not in others.
Here each combination of place, kind and keyword stands in exactly one conversation.
"""

from __future__ import annotations

import random
from copy import deepcopy
from functools import lru_cache
from typing import Any

from conformance.conversation import Case, Conversation, Tool, User
from conformance.generate.draws import Draw

Schema = dict[str, Any]

_KINDS: dict[str, tuple[Schema, Any]] = {
    "string": ({"type": "string"}, "c"),
    "integer": ({"type": "integer"}, 3),
    "number": ({"type": "number"}, 0.5),
    "boolean": ({"type": "boolean"}, False),
    "enum": ({"type": "string", "enum": ["x", "y"]}, "x"),
    "integer-enum": ({"type": "integer", "enum": [1, 2]}, 1),
    "union": ({"type": ["integer", "null"]}, None),
    "array": ({"type": "array", "items": {"type": "integer"}}, [1]),
    "bare-array": ({"type": "array"}, []),
    "object": ({"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]}, {"k": "v"}),
    "empty-object": ({"type": "object", "properties": {}}, {}),
    "any": ({}, "z"),
}
_KEYWORDS: tuple[tuple[str, ...], ...] = (
    (), ("default",), ("description",), ("default", "description"), ("nullable",), ("nullable", "default"), ("title",),
    ("examples",),
)  # fmt: skip
# From outside in: an array's items, one of several variants, an object's property.
_PLACES: tuple[tuple[str, ...], ...] = (
    (), ("items",), ("items", "items"), ("variant",), ("items", "variant"), ("variant", "items"), ("property",),
    ("items", "property"), ("variant", "property"),
)  # fmt: skip
_TOGETHER = 12  # properties of one tool
_SCHEMAS = -(-len(_KINDS) * len(_KEYWORDS) * len(_PLACES) // _TOGETHER)
COUNT = _SCHEMAS + 1
"""How many conversations hold all corners."""


@lru_cache(maxsize=4)
def _schemas(seed: int) -> list[Schema]:
    """Return every corner as a property's schema; the seed decides which stand together."""
    found = [
        _placed(_decorated(*kind, keywords), place)
        for place in _PLACES
        for kind in _KINDS.values()
        for keywords in _KEYWORDS
    ]
    random.Random(seed).shuffle(found)
    return found


def _decorated(schema: Schema, value: Any, keywords: tuple[str, ...]) -> Schema:
    made = deepcopy(schema)
    for keyword in keywords:
        made[keyword] = {
            "default": value,
            "description": "what it is",
            "nullable": True,
            "title": "A title",
            "examples": ["one", "two"],
        }[keyword]
    return made


def _placed(schema: Schema, place: tuple[str, ...]) -> Schema:
    for outer in reversed(place):
        if outer == "items":
            schema = {"type": "array", "items": schema}
        elif outer == "variant":
            schema = {"oneOf": [schema, {"type": "string"}]}
        else:
            schema = {"type": "object", "properties": {"inner": schema}}
    return schema


def piece(draw: Draw) -> Schema:
    """Return one of the corners' kinds with some of the keywords, in no place or one."""
    schema, value = draw.choice(tuple(_KINDS.values()))
    keywords = draw.choice(_KEYWORDS)
    return placed(_decorated(schema, value, keywords), draw)


def placed(schema: Schema, draw: Draw) -> Schema:
    """Return a schema as it is, or now and then in one of the corners' places."""
    return _placed(schema, draw.choice(_PLACES)) if draw.chance(0.3) else schema


def corner(seed: int, number: int) -> Case:
    """Return conversation `number` of the corners, counted around from 0."""
    if number % COUNT == _SCHEMAS:
        return _forms()
    found = _schemas(seed)
    start = number % COUNT * _TOGETHER
    properties = {f"p{position}": schema for position, schema in enumerate(found[start : start + _TOGETHER])}
    required = list(properties)[number % 2 :: 2]
    tool = Tool("corners", "what it does", {"type": "object", "properties": properties, "required": required})
    return Case(Conversation((User("hi"),), (tool,)))


# Where formats of numbers change: beyond 64 bits and doubles, at the ends of exponents, where zeros are written out.
_NUMBERS: tuple[int | float, ...] = (
    2**63 - 1, 2**63, 2**64 - 1, 2**64, 19 * 10**18, 12345678901234567890123, -(2**63) - 1, 10**19, 1e15, 1e16, 1e17,
    1e22,
    1.5e300, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 123456789012345680.0, 0.1, 0.001, 1e-5, 9e-7, 3.0,
    123456.75, 1200000.0, 100.0, 1.25e-310,
)  # fmt: skip


def _forms() -> Case:
    """Return a conversation whose tool has a default for every way in which numbers are written, and rare texts."""
    plain: list[Schema] = [{"type": "number", "default": number} for number in _NUMBERS]
    variants = [{"oneOf": [schema, {"type": "string"}]} for schema in plain]
    said = {"type": "string", "description": "said twice", "default": "a\\b"}
    texts = [{"description": text, "oneOf": [said, {"type": "null"}]} for text in ("said twice", "else")]
    texts.append({"oneOf": [{"type": "null"}, said]})
    properties = {f"p{position}": schema for position, schema in enumerate([*plain, *variants, *texts])}
    tool = Tool("forms", "what it does", {"type": "object", "properties": properties})
    return Case(Conversation((User("hi"),), (tool,)))
