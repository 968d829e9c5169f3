"""One change to a tool's parameters towards what a condition asks for, at a node of the schema drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from conformance.generate.corners import piece, placed
from conformance.generate.draws import Draw, Weighted
from conformance.generate.wants import Wants, near

Schema = dict[str, Any]

_DEEPEST = 6
_LISTS = ("oneOf", "anyOf", "allOf")
_VALUES: tuple[Any, ...] = (
    "x",
    "",
    None,
    True,
    False,
    0,
    7,
    0.5,
    [],
    ["a", 1],
    {},
    {"a": None},
    "a\nb",
    'say "hi"',
)
_SCHEMA_KEYS = frozenset((
    "type", "enum", "default", "nullable", "oneOf", "anyOf", "allOf", "items", "properties", "required", "examples",
    "description", "title", "const", "format", "additionalProperties", "minimum", "maximum", "pattern", "deprecated",
))  # fmt: skip
_KNOWN = ("type", "enum", "default", "nullable", "oneOf", "items", "properties", "required", "examples")
_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def changed_parameters(parameters: Schema | None, wants: Wants, draw: Draw) -> Schema | None:
    """Return parameters with one change; what was given stays as it is."""
    if draw.chance(0.04):
        return draw.choice((None, {}, {"type": "object"}, {"type": "object", "properties": {}}))
    made = deepcopy(parameters or {"type": "object"})
    nodes = list(_nodes(made, 0))
    if len(nodes) == 1 or draw.chance(0.5):
        properties = made.setdefault("properties", {})
        if isinstance(properties, dict):
            name = near(draw, (*wants.keys, "a", "b", "first name"))
            properties[name] = _built(wants, draw) if draw.chance(0.7) else piece(draw)
            return made
    _change(nodes, wants, draw)
    return made


def _nodes(schema: Schema, depth: int) -> Iterator[Schema]:
    """Yield a schema and all schemas in it."""
    yield schema
    if depth >= _DEEPEST:
        return
    properties = schema.get("properties")
    inner: list[Any] = list(properties.values()) if isinstance(properties, dict) else []
    inner.append(schema.get("items"))
    for key in _LISTS:
        several = schema.get(key)
        inner += several if isinstance(several, list) else []
    for each in inner:
        if isinstance(each, dict):
            yield from _nodes(each, depth + 1)


def _built(wants: Wants, draw: Draw) -> Schema:
    """Return a schema of nothing but what a condition and those around it ask for: most of it, or some."""
    share = draw.choice((0.4, 0.7, 0.9))
    schema: Schema = {}
    # The nearest comes last and so has the last word.
    for key in reversed(wants.keys):
        if key in _SCHEMA_KEYS and draw.chance(share):
            _set(schema, key, wants, draw)
    for key, value in reversed(wants.pairs):
        if _fits(key, value) and key in _SCHEMA_KEYS and draw.chance(share):
            schema[key] = deepcopy(value)
    return placed(schema, draw)


def _change(nodes: list[Schema], wants: Wants, draw: Draw) -> None:
    """Change one schema; what a condition asks for is at times given to all of them, since any may be the one."""
    some = nodes if draw.chance(0.3) else [draw.choice(nodes[1:] or nodes)]
    node = some[-1]
    match draw.pick(_KINDS):
        case "pair" if wants.pairs:
            key, value = near(draw, wants.pairs)
            for each in some:
                if _fits(key, value):
                    each[key] = deepcopy(value)
        case "key" if wants.keys:
            key = near(draw, wants.keys)
            for each in some:
                _set(each, key, wants, draw)
        case "less" if node:
            del node[draw.choice(list(node))]
        case "wrap":
            kept = dict(node)
            node.clear()
            kind = draw.choice(("items", "variants", "property"))
            if kind == "items":
                node.update(type="array", items=kept)
            elif kind == "variants":
                node["oneOf"] = [kept, piece(draw)] if draw.chance(0.7) else [kept]
            else:
                node.update(type="object", properties={"inner": kept})
        case "other":
            node.clear()
            node.update(piece(draw))
        case "text":
            node[draw.choice(("description", "title", "default"))] = near(
                draw, (*wants.words, "what it is", "a\nb", "")
            )
        case _:
            _set(node, draw.choice(_KNOWN), wants, draw)


def _fits(key: str, value: Any) -> bool:
    """Say whether a value is one that a schema may have under this key: what no server sends is nobody's fault."""
    match key:
        case "type":
            return value in _TYPES
        case "enum" | "examples" | "oneOf" | "anyOf" | "allOf" | "required" | "properties":
            return False  # what is in them is made, not compared with
        case "items":
            return isinstance(value, dict)
        case "description" | "title" | "format" | "pattern":
            return isinstance(value, str)
        case "nullable":
            return isinstance(value, bool)
    return True


def _set(node: Schema, key: str, wants: Wants, draw: Draw) -> None:
    """Give a schema a key, with a value that is likely there."""
    words = wants.words or ("x",)
    match key:
        case "type":
            kinds = tuple(word for word in words if word in _TYPES) or _TYPES
            kind = near(draw, kinds)
            node[key] = [kind, draw.choice(_TYPES)] if draw.chance(0.25) else kind
        case "enum":
            node[key] = [near(draw, (*words, 1, None)) for _ in range(draw.integer(1, 3))]
        case "oneOf" | "anyOf" | "allOf":
            node[key] = [piece(draw) for _ in range(draw.integer(1, 3))]
        case "items" | "additionalProperties":
            node[key] = piece(draw) if draw.chance(0.8) else {}
        case "properties":
            node[key] = {"k": piece(draw), "l": piece(draw)} if draw.chance(0.5) else {"k": piece(draw)}
        case "required":
            properties = node.get("properties")
            node[key] = list(properties)[:1] if isinstance(properties, dict) else []
        case "nullable" | "strict" | "deprecated":
            node[key] = draw.chance(0.8)
        case "examples":
            node[key] = ["one", draw.choice(_VALUES)]
        case "description" | "title":
            node[key] = near(draw, (*words, "what it is", ""))
        case _:
            node[key] = deepcopy(draw.choice(_VALUES) if draw.chance(0.5) else near(draw, words))


_KINDS: Weighted[str] = Weighted(
    (5, "pair"), (4, "key"), (2, "less"), (3, "wrap"), (2, "other"), (2, "text"), (2, "known")
)
