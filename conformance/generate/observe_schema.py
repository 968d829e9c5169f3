"""Which features a tool and its schemas have, as a bit mask."""

from __future__ import annotations

import re
from typing import Any

from conformance.conversation import Tool
from conformance.generate.features import BIT
from conformance.generate.observe_text import text_mask
from conformance.generate.schema import KEYWORD_NAMES

_TYPES = {
    kind: BIT[f"schema-type-{kind}"]
    for kind in ("string", "integer", "number", "boolean", "null", "array", "object")
}
_KEYWORDS = frozenset(KEYWORD_NAMES)
_PRESENT = {
    "anyOf": BIT["schema-any-of"],
    "$ref": BIT["schema-ref"],
    "const": BIT["schema-const"],
    "allOf": BIT["schema-all-of"],
    "title": BIT["schema-title"],
    "additionalProperties": BIT["schema-additional-properties"],
    **dict.fromkeys(
        ("minimum", "maximum", "minLength", "pattern", "format", "minItems"), BIT["schema-bounds"]
    ),
}
_STANDS_FOR_TYPE = ("oneOf", "enum", "anyOf", "$ref", "const", "allOf")
_SPECIAL_IN_DEFAULT = re.compile("[\"'\\\\\n]").search


def tool_mask(tool: Tool) -> int:
    """Return the features of one tool and its schemas, however odd they are."""
    description = tool.description
    if description is None:
        mask = BIT["tool-description-missing"]
    elif not description:
        mask = BIT["tool-description-empty"]
    else:
        mask = text_mask(description)
        if description[-1] == "\n":
            mask |= BIT["tool-description-trailing-newline"]
        if "\n" in description.strip("\n"):
            mask |= BIT["tool-description-multiline"]
    parameters = tool.parameters
    if parameters is None:
        return mask | BIT["parameters-absent"]
    if not parameters:
        return mask | BIT["parameters-empty"]
    if parameters.get("description"):
        mask |= BIT["parameters-description"]
    if "properties" not in parameters:
        return mask | BIT["parameters-no-properties"]
    if not parameters["properties"]:
        return mask | BIT["parameters-empty-properties"]
    return mask | BIT["schema-property"] | _properties(parameters, 1)


def _properties(schema: dict[str, Any], depth: int) -> int:
    properties, required = schema["properties"], schema.get("required")
    if not isinstance(properties, dict):
        return 0
    needed = required if isinstance(required, list | tuple) else ()
    mask = BIT["schema-additional-properties"] if "additionalProperties" in schema else 0
    for name, value in properties.items():
        mask |= BIT["schema-required"] if name in needed else BIT["schema-optional"]
        if name in _KEYWORDS:
            mask |= BIT["property-name-keyword"]
        if "null" in name:
            mask |= BIT["property-name-null"]
        if not name.isidentifier() or not name.isascii():
            mask |= BIT["property-name-odd"]
        if isinstance(value, dict):
            mask |= _schema(value, depth)
    return mask


def _schema(schema: dict[str, Any], depth: int) -> int:
    mask = 0 if depth < 3 else BIT["schema-nested-depth-3"]
    kind = schema.get("type")
    if isinstance(kind, str):
        mask |= _TYPES.get(kind, 0)
        if kind == "array":
            mask |= _items(schema, depth)
        elif kind == "object":
            mask |= _nested(schema, depth)
    elif isinstance(kind, list | tuple):
        mask |= _union(kind)
    elif not any(key in schema for key in _STANDS_FOR_TYPE):
        mask |= BIT["schema-type-absent"]
    for key in schema:
        bit = _PRESENT.get(key)
        if bit:
            mask |= bit
    if "description" in schema:
        mask |= _description(schema["description"], kind)
    if "default" in schema:
        mask |= _default(schema["default"])
    if "enum" in schema:
        mask |= _enum(schema)
    if schema.get("nullable") is True:
        mask |= BIT["schema-nullable"] | (BIT["schema-nullable-other"] if kind != "string" else 0)
    if "examples" in schema:
        mask |= BIT["schema-examples"]
        examples = schema["examples"]
        if isinstance(examples, list | tuple) and not all(isinstance(value, str) for value in examples):
            mask |= BIT["schema-examples-other"]
    if isinstance(schema.get("oneOf"), list | tuple):
        mask |= _one_of(schema, depth)
    return mask


def _union(kinds: list[Any] | tuple[Any, ...]) -> int:
    if len(kinds) < 2:
        return BIT["schema-type-list-single"]
    mask = BIT["schema-type-union"]
    if "null" in kinds:
        mask |= BIT["schema-type-union-null"]
        if kinds[0] == "null":
            mask |= BIT["schema-type-null-first"]
    return mask


def _items(schema: dict[str, Any], depth: int) -> int:
    items = schema.get("items")
    if not isinstance(items, dict) or not items:
        return BIT["schema-array-no-items"]
    mask = _schema(items, depth + 1)
    kind = items.get("type")
    if kind == "array":
        mask |= BIT["schema-array-of-arrays"]
    elif kind == "object":
        mask |= BIT["schema-array-of-objects"]
    if "enum" in items:
        mask |= BIT["schema-array-of-enums"]
    return mask | (BIT["schema-array-of-one-of"] if "oneOf" in items else 0)


def _nested(schema: dict[str, Any], depth: int) -> int:
    mask = BIT["schema-object-description"] if schema.get("description") else 0
    if not schema.get("properties"):
        return mask | BIT["schema-nested-empty"]
    return mask | BIT["schema-nested-object"] | _properties(schema, depth + 1)


def _description(text: Any, kind: Any) -> int:
    mask = BIT["schema-description"]
    if isinstance(text, str):
        found = text_mask(text)
        if "\n" in text:
            mask |= BIT["schema-description-multiline"]
        if found & ~(BIT["text-multiline"] | BIT["text-newline-run"]):
            mask |= BIT["schema-description-hostile"]
    return mask


def _default(value: Any) -> int:
    if isinstance(value, str):
        special = _SPECIAL_IN_DEFAULT(value)
        return BIT["schema-default-string"] | (BIT["schema-default-string-special"] if special else 0)
    if value is None:
        return BIT["schema-default-null"]
    if isinstance(value, bool):
        return BIT["schema-default-boolean"]
    if isinstance(value, int):
        return BIT["schema-default-integer"] | (
            BIT["schema-default-big-integer"] if abs(value) > 2**53 else 0
        )
    if isinstance(value, float):
        mask = BIT["schema-default-float"]
        if "e" in repr(value):
            return mask | BIT["schema-default-float-exponent"]
        return mask | (BIT["schema-default-float-whole"] if value.is_integer() else 0)
    return BIT["schema-default-object"] if isinstance(value, dict) else BIT["schema-default-array"]


def _enum(schema: dict[str, Any]) -> int:
    mask = BIT["schema-enum-default"] if "default" in schema else 0
    values = schema["enum"]
    if not isinstance(values, list | tuple):
        return mask
    kinds = {type(value) for value in values}
    if kinds <= {str}:
        return mask | BIT["schema-enum-strings"]
    return mask | (BIT["schema-enum-integers"] if kinds == {int} else BIT["schema-enum-mixed"])


def _one_of(schema: dict[str, Any], depth: int) -> int:
    variants = schema["oneOf"]
    mask = BIT["schema-one-of"] | (BIT["schema-one-of-single"] if len(variants) == 1 else 0)
    if "default" in schema:
        mask |= BIT["schema-one-of-own-default"]
    for variant in variants:
        if not isinstance(variant, dict):
            continue
        mask |= _schema(variant, depth + 1)
        if variant.get("description"):
            mask |= BIT["schema-one-of-described"]
        if "default" in variant:
            mask |= BIT["schema-one-of-default"]
            if "enum" in variant:
                mask |= BIT["schema-one-of-enum-default"]
        if variant.get("type") == "object":
            mask |= BIT["schema-one-of-object"]
    return mask
