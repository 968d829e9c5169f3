"""JSON Schemas of tool parameters: every type and keyword that servers send, plain and nested to depth 3."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from conformance.generate import text as texts
from conformance.generate.draws import Draw, Weighted
from conformance.generate.scene import Scene

Schema = dict[str, Any]
Maker = Callable[[Draw, Scene, int], Schema]

MAX_DEPTH = 3  # levels of schema below the parameters object

NAMES = (
    "a", "b", "query", "city", "unit", "limit", "user_id", "date", "options", "filter", "tags", "path",
    "verbose", "lat", "lon", "count", "message", "start", "end", "language", "format", "recipients",
)  # fmt: skip
KEYWORD_NAMES = (
    "items", "type", "description", "nullx", "default", "properties", "enum", "required", "oneOf", "nullable",
    "title", "examples", "null", "anyOf", "keys", "values", "get", "pop",
)  # fmt: skip
ODD_NAMES = (
    "user-id",
    "a.b",
    "first name",
    "größe",
    "名前",
    "$ref",
    "@type",
    "1st",
    "x'y",
    "",
    'q"t',
    "🙂",
    "a\nb",
)

STRINGS: tuple[str, ...] = (
    "c", "auto", "", "en-US", "it's", 'say "hi"', "a\nb", "C:\\x", "<b>", "null", "1", "true", "é", "end\n",
    "a, b", "// c", "<|end|>", "{{ 1 }}", "😀", " ",
)  # fmt: skip
INTEGERS: tuple[int, ...] = (
    0, 1, 10, -1, 42, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64 - 1, 2**64, 10**20 + 1, -(2**63),
)  # fmt: skip
FLOATS: tuple[float, ...] = (
    0.5, 1.0, 1e20, 1e-7, -0.0, 0.1, -2.75, 1e16, 9e-7, 1e-5, 1.5e300, 5e-324, 123456789.125, 0.0001, 3.0,
)  # fmt: skip
_ARRAYS: tuple[Any, ...] = ([], ["a"], [1, 2], [True, None], [["x"], []], ["it's", 'q"'], [{"a": 1}])
_OBJECTS: tuple[Any, ...] = ({}, {"a": 1}, {"b": {"c": [None, True]}}, {"k": "it's"}, {"z": 1.0, "a": 2})
_ANY: tuple[Any, ...] = (None, False, True, "x", 7, 0.25, [], {}, ["a"], {"a": None}, 1e20, 2**64)
_STRING_ENUMS = (
    ["c", "f"], ["c"], ["asc", "desc", "none"], ["it's", 'q"'], ["a b", "c|d"], ["", "x"], ["null", "y"],
    ["é", "😀"], ["a\nb", "c"], ["1", "2"],
)  # fmt: skip
_INTEGER_ENUMS: tuple[list[Any], ...] = ([1, 2, 3], [0], [-1, 1], [2**53 + 1, 2**64], [10, 20])
_MIXED_ENUMS: tuple[list[Any], ...] = (
    ["a", 1], ["a", None], [None], [True, False], ["x", 1, None, True], [1.5, "b"], [1, None],
    ["a", ["b"], {}],
)  # fmt: skip
_UNIONS: tuple[list[str], ...] = (
    ["integer", "null"], ["string"], ["number", "string"], ["string", "null"], ["null", "string"],
    ["boolean", "integer", "null"], ["array", "null"], ["object", "string"], ["null"], [],
)  # fmt: skip
_FORMATS = ("date", "date-time", "email", "uri", "int32", "uuid")
_FEW: Weighted[tuple[int, int]] = Weighted((3, (1, 2)), (1, (0, 3)))


def parameters(draw: Draw, scene: Scene) -> Schema | None:
    """Return the `parameters` of a tool: mostly an object with properties, else one of its empty forms."""
    lo, hi = scene.style.fields
    form = "fields" if draw.chance(1 - scene.style.bare) else draw.pick(_FORMS)
    if form == "absent":
        return None
    if form == "empty":
        return {}
    if form == "no-properties":
        schema: Schema = {"type": "object"}
    elif form == "no-fields":
        schema = {"type": "object", "properties": {}}
    else:
        schema = object_schema(draw, scene, 1, lo, hi)
    if draw.chance(0.15 * scene.style.rich):
        schema["description"] = description(draw, scene)
    if draw.chance(0.06 * scene.style.rich):
        schema["title"] = draw.choice(("Args", "Search arguments"))
    if draw.chance(0.04):
        schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    return schema


_FORMS: Weighted[str] = Weighted(
    (3, "absent"), (3, "empty"), (3, "no-properties"), (3, "no-fields"), (4, "fields")
)


def object_schema(draw: Draw, scene: Scene, depth: int, lo: int, hi: int) -> Schema:
    """Return an object schema with `lo` to `hi` properties (fewer when names collide) at this depth."""

    def field(draw: Draw) -> tuple[str, Schema, bool]:
        return _name(draw, scene), draw.part(lambda d: schema(d, scene, depth)), draw.chance(0.5)

    fields = draw.many(field, lo, hi)
    out: Schema = {"type": "object", "properties": {name: value for name, value, _ in fields}}
    required = [name for name, value, needed in fields if needed and out["properties"][name] is value]
    if required or draw.chance(0.1):
        out["required"] = required
    if draw.chance(0.08):
        out["additionalProperties"] = draw.choice((False, True, {"type": "string"}))
    return out


def schema(draw: Draw, scene: Scene, depth: int = 1) -> Schema:
    """Return the schema of one property; `depth` is its level below the parameters object, from 1."""
    rich = scene.style.rich
    if not draw.chance(rich):
        out = draw.pick(_PLAIN)(draw, scene, depth)
        if draw.chance(0.5):
            out["description"] = texts.ordinary(draw)
        return out
    out = draw.pick(_LEAVES if depth >= MAX_DEPTH else _RICH if depth == 1 else _DEEP)(draw, scene, depth)
    _decorate(draw, scene, out)
    return out


def description(draw: Draw, scene: Scene) -> str:
    """Return the description of a property or an object: one line, several, empty, or hostile."""
    if draw.chance(0.2):
        return draw.choice(texts.LINES)
    return "" if draw.chance(0.06) else scene.text(draw, "description")


def _decorate(draw: Draw, scene: Scene, out: Schema) -> None:
    if draw.chance(0.4):
        out["description"] = description(draw, scene)
    if "default" not in out and draw.chance(0.35):
        out["default"] = _default(draw, scene, out)
    if draw.chance(0.14):
        out["nullable"] = not draw.chance(0.1)
    if draw.chance(0.1):
        out["title"] = draw.choice(("Unit", "The title", "A\nB", ""))
    if draw.chance(0.12):
        out["examples"] = draw.many(_example, 1, 2)
    if draw.chance(0.08):
        key, value = draw.choice(_BOUNDS)
        out[key] = value
    if scene.hints.keys and draw.chance(0.25):
        out.setdefault(draw.choice(scene.hints.keys), _copy(draw.choice(_ANY)))


_BOUNDS: tuple[tuple[str, Any], ...] = (
    ("minimum", 0), ("maximum", 100), ("minLength", 1), ("pattern", "^[a-z]+$"), ("format", "date"),
    ("deprecated", True), ("minItems", 1),
)  # fmt: skip


def _example(draw: Draw) -> Any:
    return draw.choice(STRINGS) if draw.chance(0.5) else _copy(draw.choice(_ANY))


def _copy(value: Any) -> Any:
    # Pools are shared by all cases; a container handed out twice could be changed by whoever gets it first.
    return deepcopy(value) if isinstance(value, list | dict) else value


def _name(draw: Draw, scene: Scene) -> str:
    word = scene.guest(draw, "property")
    if word:
        return word
    if draw.chance(0.12 * scene.style.rich):
        return draw.choice(KEYWORD_NAMES)
    if draw.chance(0.07 * scene.style.rich):
        return draw.choice(ODD_NAMES)
    return draw.choice(NAMES)


def _default(draw: Draw, scene: Scene, out: Schema) -> Any:
    word = scene.guest(draw, "value")
    if word:
        return word
    if draw.chance(0.12):
        return _copy(draw.choice(_ANY))
    if out.get("enum"):
        return _copy(draw.choice(out["enum"]))
    kind = out.get("type")
    if isinstance(kind, list):
        kind = draw.choice(kind) if kind else None
    return _copy(draw.choice(_DEFAULTS.get(kind or "", _ANY)))


_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "string": STRINGS,
    "integer": INTEGERS,
    "number": FLOATS,
    "boolean": (False, True),
    "array": _ARRAYS,
    "object": _OBJECTS,
    "null": (None,),
}


def _typed(kind: str) -> Maker:
    def make(draw: Draw, scene: Scene, depth: int) -> Schema:
        return {"type": kind}

    return make


def _formatted(draw: Draw, scene: Scene, depth: int) -> Schema:
    return {"type": "string", "format": draw.choice(_FORMATS)}


def _enum(kind: str | None, pool: tuple[list[Any], ...]) -> Maker:
    def make(draw: Draw, scene: Scene, depth: int) -> Schema:
        values = _copy(draw.choice(pool))
        word = scene.guest(draw, "value") if kind == "string" else ""
        return {**({"type": kind} if kind else {}), "enum": [*values, word] if word else values}

    return make


def _mixed_enum(draw: Draw, scene: Scene, depth: int) -> Schema:
    out: Schema = {"enum": _copy(draw.choice(_MIXED_ENUMS))}
    if draw.chance(0.5):
        out = {"type": draw.choice(("string", "integer")), **out}
    return out


def _union(draw: Draw, scene: Scene, depth: int) -> Schema:
    return {"type": _copy(draw.choice(_UNIONS))}


def _strings(draw: Draw, scene: Scene, depth: int) -> Schema:
    return {"type": "array", "items": {"type": draw.choice(("string", "integer", "number", "boolean"))}}


def _array(draw: Draw, scene: Scene, depth: int) -> Schema:
    if draw.chance(0.25):
        return {"type": "array"} if draw.chance(0.7) else {"type": "array", "items": {}}
    return {"type": "array", "items": _nested(draw, scene, depth)}


def _nested(draw: Draw, scene: Scene, depth: int) -> Schema:
    if depth + 1 > MAX_DEPTH:
        return draw.pick(_LEAVES)(draw, scene, depth + 1)
    return schema(draw, scene, depth + 1)


def _object(draw: Draw, scene: Scene, depth: int) -> Schema:
    if draw.chance(0.12):
        return {"type": "object"} if draw.chance(0.5) else {"type": "object", "properties": {}}
    out = object_schema(draw, scene, depth + 1, *draw.pick(_FEW))
    if draw.chance(0.3):
        out["description"] = description(draw, scene)
    return out


def _one_of(draw: Draw, scene: Scene, depth: int) -> Schema:
    def variant(draw: Draw) -> Schema:
        table = _LEAVES if depth + 1 >= MAX_DEPTH else _VARIANTS
        out = draw.pick(table)(draw, scene, depth + 1)
        if draw.chance(0.4):
            out["description"] = description(draw, scene)
        if draw.chance(0.3):
            out["default"] = _default(draw, scene, out)
        return out

    return {"oneOf": draw.many(variant, 1, 3)}


def _exotic(draw: Draw, scene: Scene, depth: int) -> Schema:
    out: Schema = _copy(draw.choice(_EXOTIC))
    return out


_EXOTIC: tuple[Any, ...] = (
    {"const": "x"},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"$ref": "#/$defs/Point"},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}]},
    {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]},
    {"type": "string", "const": "fixed"},
    {"type": "string", "anyOf": [{"minLength": 1}, {"pattern": "^a"}]},
)


def _untyped(draw: Draw, scene: Scene, depth: int) -> Schema:
    return {} if draw.chance(0.7) else {"properties": {"a": {"type": "string"}}}


_SCALARS: tuple[tuple[int, Maker], ...] = (
    (10, _typed("string")),
    (8, _typed("integer")),
    (8, _typed("number")),
    (6, _typed("boolean")),
    (3, _typed("null")),
    (9, _enum("string", _STRING_ENUMS)),
    (5, _enum("integer", _INTEGER_ENUMS)),
    (5, _mixed_enum),
    (2, _enum(None, _STRING_ENUMS)),
    (8, _union),
    (4, _exotic),
    (3, _untyped),
)
_PLAIN: Weighted[Maker] = Weighted(
    (6, _typed("string")),
    (3, _typed("integer")),
    (2, _typed("number")),
    (2, _typed("boolean")),
    (2, _enum("string", (["c", "f"], ["asc", "desc", "none"]))),
    (2, _strings),
    (1, _formatted),
)
_LEAVES: Weighted[Maker] = Weighted(*_SCALARS)
_RICH: Weighted[Maker] = Weighted(*_SCALARS, (12, _array), (12, _object), (10, _one_of))
_DEEP: Weighted[Maker] = Weighted(*_SCALARS, (16, _array), (20, _object), (8, _one_of))
_VARIANTS: Weighted[Maker] = Weighted(*_SCALARS, (10, _object), (6, _array))
