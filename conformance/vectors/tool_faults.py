"""Typical faults in how tool definitions are printed, planted piece by piece in Harmony's own text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.conversation import Case
from conformance.oracles.base import BELOW, WITHIN, Block

Fault = Callable[[list[str], int, Block, Case], bool]


def _schema(case: Case, path: str) -> dict[str, Any]:
    """Return the schema that a path leads to; empty where it leads to none."""
    name, *steps = path.replace(BELOW, WITHIN).split(WITHIN)
    here: Any = next((tool.parameters for tool in case.conversation.tools if tool.name == name), None)
    for step in steps:
        if not isinstance(here, dict):
            return {}
        if step == "[]":
            here = here.get("items")
        elif step.startswith("|") and isinstance(here.get("oneOf"), list):
            here = here["oneOf"][int(step[1:])]
        else:
            here = (here.get("properties") or {}).get(step)
    return here if isinstance(here, dict) else {}


def _clear(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = ""
    return True


def _set(text: str) -> Fault:
    def fault(texts: list[str], at: int, block: Block, case: Case) -> bool:
        changed = texts[at] != text
        texts[at] = text
        return changed

    return fault


def _comment_without_tool_description(texts: list[str], at: int, block: Block, case: Case) -> bool:
    if not texts[at].startswith("type "):
        return False
    texts[at] = f"// \n{texts[at]}"
    return block.pieces[at - 1][0] != "tool-description"


def _comment_without_description(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = f"// \n{texts[at]}"
    return "description" not in _schema(case, block.pieces[at][1])


def _tool_lines_bare(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = texts[at].replace("\n// ", "\n")
    return texts[at] != block.pieces[at][2]


def _lines_commented(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = texts[at][:-1].replace("\n", "\n// ") + "\n"
    return texts[at] != block.pieces[at][2]


def _comma_after_default(texts: list[str], at: int, block: Block, case: Case) -> bool:
    if texts[at - 1] != ",":
        return False
    texts[at - 1] = ""
    texts[at] += ","
    return True


def _no_comma(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = ""
    return texts[at + 1] == "\n"


def _default_quotes(texts: list[str], at: int, block: Block, case: Case) -> bool:
    head, mark, literal = texts[at].partition("default: ")
    end = "\n" if literal.endswith("\n") else ""
    literal = literal.removesuffix("\n")
    literal = literal[1:-1] if literal[:1] == literal[-1:] == '"' and len(literal) > 1 else f'"{literal}"'
    texts[at] = head + mark + literal + end
    return bool(mark)


def _any_for_empty(texts: list[str], at: int, block: Block, case: Case) -> bool:
    pieces = block.pieces
    own = pieces[at][1]
    if not texts[at].startswith("type ") or _schema(case, own).get("properties"):
        return False
    end = next(i for i in range(at, len(texts)) if texts[i] == ") => any;\n")
    texts[at : end + 1] = [f"type {own} = () => any;\n", *[""] * (end - at)]
    return True


def _object_for_absent(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = f"type {block.pieces[at][1]} = (_: {{\n}}) => any;\n"
    return True


def _first_type(texts: list[str], at: int, block: Block, case: Case) -> bool:
    first = texts[at].split(" | ")[0]
    texts[at] = first if first != texts[at] else "any"
    return True


def _one_line(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at] = texts[at].replace("\n", "")
    return texts[at] != block.pieces[at][2]


def _flat_object(texts: list[str], at: int, block: Block, case: Case) -> bool:
    path = block.pieces[at][1]
    if WITHIN not in path or not texts[at].endswith("{\n"):
        return False
    end = next(
        i for i in range(at + 1, len(texts)) if block.pieces[i][:2] == ("object", path) and "}" in texts[i]
    )
    texts[at : end + 1] = ["object", *[""] * (end - at)]
    return True


def _any_items(texts: list[str], at: int, block: Block, case: Case) -> bool:
    texts[at - 1] = "any"
    return block.pieces[at - 1][2] not in ("any", "[]")


def _printed_enum(texts: list[str], at: int, block: Block, case: Case) -> bool:
    values = _schema(case, block.pieces[at][1]).get("enum")
    texts[at] = " | ".join(f'"{value}"' for value in values) if isinstance(values, list) else ""
    return bool(texts[at])


def _schema_name(texts: list[str], at: int, block: Block, case: Case) -> bool:
    kind = _schema(case, block.pieces[at][1]).get("type")
    texts[at] = kind if isinstance(kind, str) else "object"
    return texts[at] != block.pieces[at][2]


def _mark(texts: list[str], at: int, block: Block, case: Case) -> bool:
    text = texts[at]
    texts[at] = text.replace("?:", ":") if "?:" in text else text.replace(":", "?:")
    return True


def _property_gone(texts: list[str], at: int, block: Block, case: Case) -> bool:
    own = block.pieces[at][1]
    for i, (_, path, _text) in enumerate(block.pieces):
        if path == own or path.startswith((own + WITHIN, own + BELOW)):
            texts[i] = ""
    return True


def _tool_gone(texts: list[str], at: int, block: Block, case: Case) -> bool:
    own = block.pieces[at][1]
    if texts[at] != "\n" or len(case.conversation.tools) < 2:
        return False
    for i, (_, path, _text) in enumerate(block.pieces):
        if path == own or path.startswith(own + WITHIN):
            texts[i] = ""
    return True


# (rule, region, fault)
TOOL_FAULTS: tuple[tuple[str, str, Fault], ...] = (
    ("missing-description", "tool", _comment_without_tool_description),
    ("missing-description", "no-parameters", _comment_without_tool_description),
    ("missing-description", "name", _comment_without_description),
    ("multiline-description", "tool-description", _tool_lines_bare),
    ("multiline-description", "description", _lines_commented),
    ("default-comment-placement", "default", _comma_after_default),
    ("default-literal", "default", _default_quotes),
    ("default-literal", "one-of-default", _default_quotes),
    ("empty-parameters", "tool", _any_for_empty),
    ("empty-parameters", "no-parameters", _object_for_absent),
    ("nullable-ignored", "nullable", _clear),
    ("type-union", "type-union", _first_type),
    ("one-of-layout", "one-of", _one_line),
    ("one-of-layout", "one-of-comment", _clear),
    ("nested-object", "object", _flat_object),
    ("array-items", "array", _any_items),
    ("array-without-items", "array-any", _set("any[]")),
    ("enum-values", "enum", _set("string")),
    ("enum-values", "type", _printed_enum),
    ("schema-comments-dropped", "title", _clear),
    ("schema-comments-dropped", "examples", _clear),
    ("schema-comments-dropped", "description", _clear),
    ("schema-comments-dropped", "object-description", _clear),
    ("type-name", "type", _schema_name),
    ("required-mark", "name", _mark),
    ("required-mark", "one-of-name", _mark),
    ("tool-dropped", "name", _property_gone),
    ("tool-dropped", "tool", _tool_gone),
    ("tool-layout", "namespace", _one_line),
    ("property-comma", "comma", _no_comma),
)
