"""Values that schemas ask for: the arguments of a call, the content of a result."""

from __future__ import annotations

import json
from typing import Any

from conformance.generate import Draw
from conformance.workload.mix import RESULT

_WORDS = (
    "main", "draft", "Zürich", "2026-03-14", "report.pdf", "PROJ-1423", "anna@example.org", "https://example.org/a?b=1&c=2",
    "SELECT id, name FROM users WHERE id = 7", "status = \"Done\" AND assignee = currentUser()", "src/app.py", "東京",
    "It's done.", "42", "Q3 budget", "/home/anna/notes/todo.md", "- [ ] one\n- [x] two", "café ☕", "<b>urgent</b>", "",
)  # fmt: skip
_DEPTH = 4


def of_schema(draw: Draw, schema: Any, depth: int = 0) -> Any:
    """Return a value that a schema allows, as far as this looks: enums, examples, types, items, properties."""
    if not isinstance(schema, dict):
        return draw.choice(_WORDS)
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return draw.choice(schema[key])
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return of_schema(draw, draw.choice(schema[key]), depth)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "integer":
        return draw.choice((1, 5, 10, 20, 100, 0, 2026, 1423))
    if kind == "number":
        return draw.choice((1.5, 47.3769, 10, 0.25, -122.4194, 100))
    if kind == "boolean":
        return draw.chance(0.5)
    if kind == "null":
        return None
    if kind == "array":
        return (
            [] if depth > _DEPTH else draw.many(lambda d: of_schema(d, schema.get("items"), depth + 1), 1, 3)
        )
    if kind == "object":
        return {} if depth > _DEPTH else arguments(draw, schema, depth + 1)
    return draw.choice(_WORDS)


def arguments(draw: Draw, schema: Any, depth: int = 0) -> dict[str, Any]:
    """Return an object for a schema: what is required, and some of the rest."""
    fields = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(fields, dict):
        return {}
    required = schema.get("required") or ()
    return {
        name: of_schema(draw, field, depth)
        for name, field in fields.items()
        if name in required or draw.chance(0.25)
    }


def result(draw: Draw, schema: Any, sentence: str) -> str:
    """Return what a tool answers; `schema` is that of its results, `sentence` a text for those that are text."""
    kind = RESULT.pick(draw)
    if kind == "empty":
        return draw.choice(("", "null", "[]", "{}"))
    if kind == "error":
        return draw.choice(
            (f"Error: {sentence}", json.dumps({"error": sentence}), "Error executing tool: timed out")
        )
    if kind == "text":
        return sentence
    one = (
        of_schema(draw, schema)
        if schema is not None
        else {"id": draw.choice(_WORDS), "text": sentence, "ok": True}
    )
    value = one if kind == "object" else [one, one]
    # Servers indent as often as not; Python escapes what is not ASCII, JavaScript does not.
    return json.dumps(value, indent=2 if draw.chance(0.4) else None, ensure_ascii=draw.chance(0.4))
