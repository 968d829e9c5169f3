"""Arguments of tool calls: objects, JSON written down in several ways, and strings that are no JSON."""

from __future__ import annotations

import json
from typing import Any

from conformance.conversation import ToolCall
from conformance.generate.draws import Draw, Weighted
from conformance.generate.scene import Scene
from conformance.generate.schema import FLOATS, INTEGERS, NAMES, ODD_NAMES

_FORMS: Weighted[str] = Weighted(
    (60, "object"), (12, "compact"), (12, "spaced"), (9, "not-json"), (5, "no-object"), (4, "nothing")
)
_VALUES: Weighted[str] = Weighted(
    (12, "text"), (6, "integer"), (3, "boolean"), (3, "null"), (4, "float"), (3, "array"), (3, "object")
)
_NOT_JSON = (
    "x", "{", '{"a": 1', "{'a': 1}", '{"a": 1}}', "city=Oslo", "{a: 1}", "<|end|>", '{"a": NaN}', "\n", "é",
    '{"a": 1,}', "print('hi')\nprint(1)",
)  # fmt: skip
_NO_OBJECT = ("null", "[]", '"text"', "1", "true", '["a", 1]')


def call(draw: Draw, scene: Scene, name: str, fields: tuple[str, ...]) -> ToolCall:
    """Return a call of the tool `name`, whose properties are called `fields`."""
    form = draw.pick(_FORMS) if scene.strings else "object"
    if form == "not-json":
        return ToolCall(name=name, arguments=draw.choice(_NOT_JSON))
    if form == "nothing":
        return ToolCall(name=name, arguments="")
    if form == "no-object":
        return ToolCall(name=name, arguments=draw.choice(_NO_OBJECT))
    values = _object(draw, scene, fields, 1)
    if form == "object":
        return ToolCall(name=name, arguments=values)
    if form == "compact":
        return ToolCall(name=name, arguments=json.dumps(values, separators=(",", ":"), ensure_ascii=False))
    return ToolCall(name=name, arguments=_spaced(draw, values))


def _spaced(draw: Draw, values: dict[str, Any]) -> str:
    style = draw.integer(0, 3)
    if style == 1:
        return json.dumps(values, indent=2, ensure_ascii=False)
    if style == 2:
        return json.dumps(values)
    plain = json.dumps(values, ensure_ascii=False)
    return f" {plain}\n" if style == 3 else plain


def _object(draw: Draw, scene: Scene, fields: tuple[str, ...], depth: int) -> dict[str, Any]:
    def item(draw: Draw) -> tuple[str, Any]:
        if fields and draw.chance(0.8):
            key = draw.choice(fields)
        else:
            key = draw.choice(ODD_NAMES if scene.rare(draw) else NAMES)
        return scene.guest(draw, "argument") or key, value(draw, scene, depth)

    return dict(draw.many(item, 0, 3))


def value(draw: Draw, scene: Scene, depth: int = 1) -> Any:
    """Return one value inside the arguments; `depth` counts the containers around it."""
    form = draw.pick(_VALUES)
    if form == "text":
        return scene.text(draw, "argument")
    if form == "integer":
        return draw.choice(INTEGERS)
    if form == "boolean":
        return draw.chance(0.5)
    if form == "float":
        return draw.choice(FLOATS)
    if form == "null" or depth >= 3:
        return None
    if form == "array":
        return draw.many(lambda d: value(d, scene, depth + 1), 0, 2)
    return _object(draw, scene, (), depth + 1)
