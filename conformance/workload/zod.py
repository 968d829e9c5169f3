"""Schemas written in zod, as the JSON Schema that MCP's TypeScript SDK makes of them (zod-to-json-schema, draft 7)."""

from __future__ import annotations

from typing import Any

from conformance.workload.javascript import Chain, UnreadableError

_DRAFT = "http://json-schema.org/draft-07/schema#"
_PLAIN = {"string": "string", "number": "number", "boolean": "boolean", "bigint": "integer", "null": "null"}
_PRIMITIVES = frozenset(("string", "number", "integer", "boolean", "null"))
# What says nothing in JSON Schema, or nothing that a template could look at.
_SILENT = frozenset((
    "transform", "refine", "superRefine", "catch", "trim", "brand", "readonly", "passthrough", "strict", "strip",
    "finite", "positive", "nonnegative", "nonempty", "coerce", "pipe", "url", "uuid", "email", "regex", "datetime",
))  # fmt: skip
_LENGTHS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}


def parameters(fields: Any) -> dict[str, Any]:
    """Return the parameters of a tool whose input is written as an object of zod schemas.

    Raises UnreadableError where a schema is not one that is known here.
    """
    if isinstance(fields, Chain):
        schema, _ = _schema(fields)
    else:
        schema = _object(fields)
    return {**schema, "$schema": _DRAFT}


def _object(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise UnreadableError("no object")
    properties, required = {}, []
    for name, field in fields.items():
        properties[name], optional = _schema(field)
        if not optional:
            required.append(name)
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = required
    return {**found, "additionalProperties": False}


def _schema(field: Any) -> tuple[dict[str, Any], bool]:
    """Return a field's schema and whether it may be left out."""
    if not isinstance(field, Chain):
        raise UnreadableError("no schema")
    schema: dict[str, Any] = {}
    about: dict[str, Any] = {}
    optional = False
    for name, given in field.steps:
        values = given or ()
        if name in _PLAIN:
            schema = {"type": _PLAIN[name]}
        elif name == "date":
            schema = {"type": "string", "format": "date-time"}
        elif name in ("any", "unknown"):
            schema = {}
        elif name == "shape":
            continue
        elif name == "object":
            schema = _object(values[0])
        elif name == "array":
            schema = (
                {"type": "array", "items": _schema(values[0])[0]}
                if values
                else {"type": "array", "items": schema}
            )
        elif name == "record":
            schema = {"type": "object", "additionalProperties": _schema(values[-1])[0]}
        elif name in ("enum", "nativeEnum"):
            choices = list(values[0].values()) if isinstance(values[0], dict) else list(values[0])
            schema = {"type": "string", "enum": choices}
        elif name == "literal":
            schema = {"type": "string" if isinstance(values[0], str) else "number", "const": values[0]}
        elif name == "union":
            schema = _either([_schema(each)[0] for each in values[0]])
        elif name == "or":
            schema = _either([schema, _schema(values[0])[0]])
        elif name == "int":
            schema["type"] = "integer"
        elif name in ("min", "max"):
            least, most = _LENGTHS.get(schema.get("type", ""), ("minimum", "maximum"))
            schema[least if name == "min" else most] = values[0]
        elif name == "nullable":
            schema = _either([schema, {"type": "null"}])
        elif name == "optional":
            optional = True
        elif name == "default":
            optional, about["default"] = True, values[0]
        elif name == "describe":
            about["description"] = values[0]
        elif name not in _SILENT:
            raise UnreadableError(name)
    if "description" in about and not isinstance(about["description"], str):
        raise UnreadableError("describe")
    return {**schema, **dict(sorted(about.items()))}, optional


def _either(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a union: one list of types where all are plain, as zod-to-json-schema writes it."""
    kinds = [
        schema["type"] for schema in schemas if schema.keys() == {"type"} and schema["type"] in _PRIMITIVES
    ]
    return {"type": kinds} if len(kinds) == len(schemas) else {"anyOf": schemas}
