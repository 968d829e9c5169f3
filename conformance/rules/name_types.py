"""Name what differs inside a property: its default, its type text, its comments."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from conformance.compare.base import Difference
from conformance.compare.tools import Unit, comparable, compare_units, property_units
from conformance.oracles.base import BELOW, Block

Named = tuple[str, Difference]
_BARE = frozenset({"//", "// None"})
_NAMES = frozenset({"integer", "int", "float", "bool", "str"})
_DEFAULT = re.compile(r"[ \t]*,?[ \t]*//[ ]*default:[ ]?", re.IGNORECASE)


def name_body(found: Difference, unit: Unit, schema: dict[str, Any], indent: str) -> Iterator[Named]:
    """Name the differences in a property's text after its name: type, comma, default."""
    block = found.block
    assert block is not None
    default = "".join([t for r, p, t in unit.pieces if r == "default" and p == unit.path])
    expected_type = unit.body[: len(unit.body) - len(default) - len(",\n")]
    actual = found.actual
    shown_type, shown_default = _split_default(actual, expected_type, bool(default))
    start, actual_start = found.start, found.actual_start
    emitted = False
    if shown_type != expected_type:
        for slug, inner in name_type(
            block, unit, schema, expected_type, shown_type, indent, start, actual_start
        ):
            emitted = True
            yield slug, inner
    if default or shown_default:
        slug = _name_default(default, shown_default, actual, unit.body, same_type=shown_type == expected_type)
        if slug:
            at, actual_at = start + len(expected_type), actual_start + len(shown_type)
            expected_tail, actual_tail = unit.body[len(expected_type) :], actual[len(shown_type) :]
            yield slug, Difference(block, "default", unit.path, expected_tail, actual_tail, at, actual_at)
            emitted = True
    if not emitted:
        if actual.split() == unit.body.split():
            slug = "extra-newline"
        else:
            slug = (
                "property-comma" if actual.replace(",", "") == unit.body.replace(",", "") else "tool-layout"
            )
        yield slug, found


def _split_default(actual: str, expected_type: str, has_default: bool) -> tuple[str, str]:
    """Split the template's text into the type and the comment of the default, if there is one."""
    text = actual.removesuffix("\n")
    if actual.startswith(expected_type):
        rest = text[len(expected_type) :]
        if not has_default and rest in (",", ""):
            return expected_type, ""
        if _DEFAULT.match(rest):
            return expected_type, rest
    if has_default or "// default:" in text:
        matches = list(_DEFAULT.finditer(text))
        last_line = text.rfind("\n") + 1
        for match in reversed(matches):
            # A nested property's default ends in the braces that close the object; it is not this one's.
            if match.start() >= last_line - 1 and "}" not in text[match.end() :].split('"')[0]:
                return text[: match.start()], text[match.start() :]
        if has_default and matches:
            return text[: matches[-1].start()], text[matches[-1].start() :]
    return text.removesuffix(","), ""


def _literal(comment: str) -> str:
    found = _DEFAULT.match(comment)
    return comment[found.end() :] if found else comment


def _name_default(expected: str, shown: str, actual: str, body: str, *, same_type: bool) -> str:
    if not shown or not expected:
        return "default-literal"
    literal, other = _literal(expected), _literal(shown)
    if literal == other:
        placed = f"{',' + expected}\n"
        return "" if actual.endswith(placed) else "default-comment-placement"
    if other.rstrip(" ,") == literal.rstrip(" ,"):
        return "default-comment-placement"
    return "default-literal"


def name_type(
    block: Block,
    unit: Unit,
    schema: Any,
    expected: str,
    actual: str,
    indent: str,
    offset: int,
    actual_offset: int,
) -> Iterator[Named]:
    """Name the differences between two type texts of one schema; see design notes on precedence in the catalogue."""
    whole = Difference(block, "type", unit.path, expected, actual, offset, actual_offset)
    if not isinstance(schema, dict):
        yield "type-name", whole
        return
    nullable = schema.get("nullable") is True
    if nullable and actual == f"{expected} | null":
        yield "nullable-ignored", whole
        return
    if nullable or actual == f"{expected} | null":
        bare, bare_actual = _without_null(expected), _without_null(actual)
        if (bare == expected) != (bare_actual == actual):
            at = offset + len(bare)
            yield (
                "nullable-ignored",
                Difference(block, "nullable", unit.path, expected[len(bare) :], actual[len(bare_actual) :], at,
                           actual_offset + len(bare_actual)),
            )  # fmt: skip
        if bare == bare_actual:
            return
        expected, actual = bare, bare_actual
        whole = Difference(block, "type", unit.path, expected, actual, offset, actual_offset)
    kind = schema.get("type")
    if isinstance(schema.get("oneOf"), list):
        yield "one-of-layout", whole
    elif isinstance(kind, list):
        yield "type-union", whole
    elif schema.get("enum") and actual not in _NAMES:
        yield "enum-values", whole
    elif kind == "array":
        yield from _name_array(block, unit, schema, expected, actual, indent, offset, actual_offset, whole)
    elif kind == "object":
        yield from _name_object(block, unit, schema, expected, actual, indent, offset, actual_offset, whole)
    else:
        yield "type-name", whole


def _without_null(text: str) -> str:
    return text.removesuffix(" | null")


def _name_array(
    block: Block, unit: Unit, schema: dict[str, Any], expected: str, actual: str, indent: str,
    offset: int, actual_offset: int, whole: Difference,
) -> Iterator[Named]:  # fmt: skip
    if "items" not in schema:
        yield "array-without-items", whole
        return
    items = schema["items"]
    is_object = isinstance(items, dict) and items.get("type") == "object"
    nested_array = isinstance(items, dict) and items.get("type") == "array"
    if actual.endswith("[]") and (nested_array or (is_object and "{" in actual)):
        inner = list(name_type(block, unit, items, expected[:-2], actual[:-2], indent, offset, actual_offset))
        if inner and all(slug not in ("nested-object", "type-name") for slug, _ in inner):
            yield from inner
            return
    yield "array-items", whole


def _name_object(
    block: Block, unit: Unit, schema: dict[str, Any], expected: str, actual: str, indent: str,
    offset: int, actual_offset: int, whole: Difference,
) -> Iterator[Named]:  # fmt: skip
    """Go into a nested object where the template laid it out as Harmony does; otherwise the whole object is named."""
    parent = _parent_path(unit, expected)
    nested = [p for p in unit.pieces if p[1].startswith(parent)]
    before, units, _ = property_units(_inside(nested, expected), parent)
    opening = "".join([p[2] for p in before])
    description = opening.removesuffix("{\n")
    close = indent + "}"
    at_brace = actual.find("{\n")
    if not units or at_brace < 0 or not actual.endswith(close):
        slug = "nested-object"
        if description and actual == expected.removeprefix(description):
            slug = "schema-comments-dropped"
        yield slug, whole
        return
    shown_opening = actual[: at_brace + 2]
    inner = actual[len(shown_opening) : len(actual) - len(close)]
    if not comparable(units, inner, indent):
        yield "nested-object", whole
        return
    if shown_opening != opening:
        yield (
            "schema-comments-dropped",
            Difference(block, "object-description", unit.path, opening, shown_opening, offset, actual_offset),
        )
    by_path = {nested_unit.path: nested_unit for nested_unit in units}
    properties = schema.get("properties") or {}
    for found in compare_units(
        block, units, inner, indent, offset + len(opening), actual_offset + len(shown_opening)
    ):
        nested_unit = by_path[found.path]
        yield from name_property(found, nested_unit, properties.get(nested_unit.name), indent)


def _parent_path(unit: Unit, expected: str) -> str:
    """Return the path of the object whose text this is: the property itself, or an element of its array."""
    path = unit.path
    while f"{path}{BELOW}[]" in {p[1] for p in unit.pieces} and not any(
        region == "object" and where == path for region, where, _ in unit.pieces
    ):
        path += f"{BELOW}[]"
    return path


def _inside(pieces: list[tuple[str, str, str]], expected: str) -> list[tuple[str, str, str]]:
    """Keep the pieces of the object's own text: from its description or brace to its closing brace."""
    start = next((i for i, p in enumerate(pieces) if p[0] in ("object", "object-description")), len(pieces))
    length, out = 0, []
    for piece in pieces[start:]:
        if length >= len(expected):
            break
        out.append(piece)
        length += len(piece[2])
    return out


def name_property(found: Difference, unit: Unit, schema: Any, indent: str) -> Iterator[Named]:
    """Name one difference of a property: by region, then by what changed."""
    spec = schema if isinstance(schema, dict) else {}
    if found.hint:
        yield found.hint, found
    elif found.region == "comment":
        yield _name_comment(found, spec, indent), found
    elif found.region == "name":
        marks = ("?" in found.expected[-3:], "?" in found.actual[-3:])
        yield ("required-mark" if marks[0] != marks[1] else "tool-layout"), found
    elif found.region == "one-of":
        yield _name_one_of(found, unit, spec, indent), found
    else:
        yield from name_body(found, unit, spec, indent + "    ")


def _name_one_of(found: Difference, unit: Unit, spec: dict[str, Any], indent: str) -> str:
    """Comments above a oneOf property are named as any property's; the rest is its layout."""
    tail = unit.head + unit.body
    if found.actual.endswith(tail):
        shown = found.actual[: -len(tail)]
        own = "".join([t for r, _, t in unit.pieces if r == "one-of-default"])
        other = unit.comment.removesuffix(own)
        if own and shown.startswith(other):
            return "default-literal"
        comment = Difference(found.block, "comment", unit.path, unit.comment, shown, 0, 0)
        return _name_comment(comment, spec, indent)
    nullable = spec.get("nullable") is True or '"nullable"' in json.dumps(spec.get("oneOf"))
    if nullable and found.expected.replace(" | null", "") == found.actual.replace(" | null", ""):
        return "nullable-ignored"
    marks = re.sub(r"\?:\n", ":\n", unit.text)
    if marks == re.sub(r"\?:\n", ":\n", found.actual):
        return "required-mark"
    return "one-of-layout"


def _name_comment(found: Difference, spec: dict[str, Any], indent: str) -> str:
    expected, actual = found.expected, found.actual
    description = spec.get("description")
    if isinstance(description, str) and "\n" in description:
        whole = f"// {description}\n"
        if whole in expected and whole not in actual and description.split("\n")[0] in actual:
            return "multiline-description"
    if not actual and "title" not in spec and not spec.get("examples"):
        return "missing-description" if not description else "schema-comments-dropped"
    if not description:
        before, after = Counter(expected.splitlines()), Counter(actual.splitlines())
        title_lost = isinstance(spec.get("title"), str) and after[indent + "//"] < before[indent + "//"]
        if not title_lost and all(line.strip() in _BARE for line in (before - after) + (after - before)):
            return "missing-description"
    if actual.split() == expected.split():
        return "extra-newline"
    return "schema-comments-dropped"
