"""A tool's properties, nested ones included: find what differs in comments, names, types and defaults, and name it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from conformance.compare.base import Difference, Named
from conformance.compare.units import Cut, Unit, comparable, cut, property_units, reordered
from conformance.oracles.base import BELOW, Piece
from conformance.rules import tool_definitions as rules
from conformance.rules.base import Rule

_BARE = frozenset({"//", "// None"})
_NAMES = frozenset({"integer", "int", "float", "bool", "str"})
_PROPERTY = re.compile(r"^[ \t]*[\"']?[\w$.-]+[\"']?\??[ ]*:", re.MULTILINE)
_LINE_END = re.compile(",?\n")
_NULL = re.compile(r"(?<![ \t])[ \t]*+\|[ \t]*null$")
# Possessive, and beginning where blanks begin: a template may write any number of them.
_COMMENT = re.compile(r"(?<![ \t])[ \t]*+(?:,[ \t]*+)?//")
_DEFAULT = re.compile(r"(?<![ \t])[ \t]*+(?:,[ \t]*+)?//[ ]*+default:[ ]?", re.IGNORECASE)


def compare_properties(found: Difference, units: list[Unit], schemas: object, indent: str) -> Iterator[Named]:
    """Yield the differences between the properties of one object.

    `found` has the texts between the object's braces, `schemas` is its `properties` and `indent` what stands before
    each of their names.
    """
    actual, start = found.actual, found.start
    if units and _run_on(found.expected, actual):
        yield rules.PROPERTY_COMMA, found.part("property", units[0].path, found.expected, actual)
        return
    cuts = cut(units, actual, indent)
    if None in cuts and reordered(units, cuts, actual, indent):
        expected = "".join([unit.text for unit in units])
        yield rules.TOOL_DROPPED, found.part("property", units[0].path, expected, actual)
        return
    for unit, place in zip(units, cuts, strict=True):
        text = unit.text
        if place is None:
            missing = Difference(found.block, "property", unit.path, text, "", start, found.actual_start)
            yield rules.TOOL_DROPPED, missing
        elif actual[place[0] : place[2]] != text:
            schema = schemas.get(unit.name) if isinstance(schemas, dict) else None
            spec = schema if isinstance(schema, dict) else {}
            yield from _compare_unit(found, unit, place, start, spec, indent)
        start += len(text)
    if not units and actual:
        yield rules.TOOL_DROPPED, found.part("property", "", "", actual)


def _run_on(expected: str, actual: str) -> bool:
    """Say whether properties stand behind each other on one line, and all that they lack are commas and line ends."""
    if actual.count(",") >= expected.count(",") or actual.count("\n") >= expected.count("\n"):
        return False
    return _LINE_END.sub("", expected) == _LINE_END.sub("", actual)


def _compare_unit(
    found: Difference, unit: Unit, place: Cut, start: int, schema: dict[str, Any], indent: str
) -> Iterator[Named]:
    """Compare one property: its comments, its name, and what follows."""
    first, name, end = place
    here = Difference(
        found.block, "property", unit.path, unit.text, found.actual[first:end], start, found.actual_start + first
    )  # fmt: skip
    comment, rest = found.actual[first:name], found.actual[name:end]
    if unit.one_of:
        yield _name_one_of(here, unit, schema, indent), here.part("one-of", unit.path, unit.text, here.actual)
        return
    extra = comment.removesuffix(unit.comment)
    if len(extra) + len(unit.comment) == len(comment) and _PROPERTY.search(extra):
        yield rules.TOOL_DROPPED, here.part("property", unit.path, "", extra)
    elif comment != unit.comment:
        differing = here.part("comment", unit.path, unit.comment, comment)
        yield _name_comment(differing, schema, indent), differing
    colon = rest.find(":") + 1
    head = rest[: colon + 1] if rest.startswith(" ", colon) else rest[:colon]
    at, actual_at = len(unit.comment), len(comment)
    if head != unit.head:
        marked, shown = ("?" in text[-3:] for text in (unit.head, head))
        rule = rules.REQUIRED_MARK if marked != shown else rules.TOOL_LAYOUT
        yield rule, here.part("name", unit.path, unit.head, head, at, actual_at)
    body = rest[len(head) :]
    extra = body.removeprefix(unit.body)
    if body.startswith(unit.body) and _PROPERTY.search(extra):
        skips = len(unit.text), actual_at + len(head) + len(unit.body)
        yield rules.TOOL_DROPPED, here.part("property", unit.path, "", extra, *skips)
    elif body != unit.body:
        at, actual_at = at + len(unit.head), actual_at + len(head)
        differing = here.part("body", unit.path, unit.body, body, at, actual_at)
        yield from _name_body(differing, unit, schema, indent + "    ")


def _name_comment(found: Difference, schema: dict[str, Any], indent: str) -> Rule:
    expected, actual = found.expected, found.actual
    description = schema.get("description")
    if isinstance(description, str) and "\n" in description:
        whole = f"// {description}\n"
        if whole in expected and whole not in actual and description.split("\n")[0] in actual:
            return rules.MULTILINE_DESCRIPTION
    if not actual and "title" not in schema and not schema.get("examples"):
        return rules.SCHEMA_COMMENTS_DROPPED if description else rules.MISSING_DESCRIPTION
    if not description:
        before, after = Counter(expected.splitlines()), Counter(actual.splitlines())
        title_lost = isinstance(schema.get("title"), str) and after[indent + "//"] < before[indent + "//"]
        if not title_lost and all(line.strip() in _BARE for line in (before - after) + (after - before)):
            return rules.MISSING_DESCRIPTION
    same = actual.endswith("\n") and comment_lines(actual) == comment_lines(expected)
    return rules.TOOL_LAYOUT if same else rules.SCHEMA_COMMENTS_DROPPED


def comment_lines(text: str) -> list[str]:
    """Return the lines of comments that hold something, without what stands before them."""
    return [line.lstrip(" \t") for line in text.split("\n") if line.strip()]


def _name_one_of(found: Difference, unit: Unit, schema: dict[str, Any], indent: str) -> Rule:
    """Comments above a oneOf property are named as any property's; the rest is its layout."""
    tail = unit.head + unit.body
    if found.actual.endswith(tail):
        shown = found.actual[: -len(tail)]
        own = unit.written("one-of-default")
        other = unit.comment.removesuffix(own)
        if own and shown.startswith(other):
            return rules.DEFAULT_LITERAL
        return _name_comment(found.part("comment", unit.path, unit.comment, shown), schema, indent)
    nullable = schema.get("nullable") is True or '"nullable"' in json.dumps(schema.get("oneOf"))
    if nullable and found.expected.replace(" | null", "") == found.actual.replace(" | null", ""):
        return rules.NULLABLE_IGNORED
    if _only_defaults(found.expected, found.actual):
        return rules.DEFAULT_LITERAL
    unmarked = re.sub(r"\?:\n", ":\n", unit.text)
    return rules.REQUIRED_MARK if unmarked == re.sub(r"\?:\n", ":\n", found.actual) else rules.ONE_OF_LAYOUT


def _only_defaults(expected: str, actual: str) -> bool:
    """Say whether two layouts of a oneOf differ in the comments of its variants' defaults only."""
    lines, others = expected.split("\n"), actual.split("\n")
    for line, other in zip(lines, others, strict=False):
        before, mark, _ = line.rpartition("default: ")
        bare = before.rstrip().removesuffix("//").rstrip()
        if line != other and not (mark and (other.startswith(before) or other == bare)):
            return False
    return len(lines) == len(others)


def _name_body(found: Difference, unit: Unit, schema: dict[str, Any], indent: str) -> Iterator[Named]:
    """Name the differences in a property's text after its name: type, comma, default."""
    default = unit.written("default")
    kind = unit.body[: len(unit.body) - len(default) - len(",\n")]
    shown_kind, shown_default = _split_default(found.actual, kind, bool(default))
    named = False
    if shown_kind != kind:
        for each in _name_type(found.part("type", unit.path, kind, shown_kind), unit, schema, indent):
            named = True
            yield each
    if default or shown_default:
        rule = _name_default(default, shown_default, found.actual)
        if rule is not None:
            named = True
            tail, shown_tail = unit.body[len(kind) :], found.actual[len(shown_kind) :]
            yield rule, found.part("default", unit.path, tail, shown_tail, len(kind), len(shown_kind))
    if not named:
        yield _name_rest(found), found


def _name_rest(found: Difference) -> Rule:
    """Name what differs around a type and a default that are both right."""
    if found.actual.split() == found.expected.split():
        return rules.TOOL_LAYOUT
    same = found.actual.replace(",", "") == found.expected.replace(",", "")
    return rules.PROPERTY_COMMA if same else rules.TOOL_LAYOUT


def _split_default(actual: str, kind: str, has_default: bool) -> tuple[str, str]:
    """Split the template's text into the type and the comment of the default, if there is one."""
    text = actual.removesuffix("\n")
    if actual.startswith(kind):
        rest = text[len(kind) :]
        if not has_default and rest in (",", ""):
            return kind, ""
        if _DEFAULT.match(rest) or (has_default and _COMMENT.match(rest)):
            return kind, rest
    if has_default or "// default:" in text:
        matches = list(_DEFAULT.finditer(text))
        last_line = text.rfind("\n") + 1
        for match in reversed(matches):
            # A nested property's default ends in the braces that close the object; it is not this one's.
            if match.start() >= last_line - 1 and "}" not in text[match.end() :].split('"')[0]:
                return text[: match.start()], text[match.start() :]
        if has_default and matches:
            return text[: matches[-1].start()], text[matches[-1].start() :]
        misspelt = _COMMENT.search(text, last_line) if has_default else None
        if misspelt is not None:
            return text[: misspelt.start()], text[misspelt.start() :]
    return text.removesuffix(","), ""


def _literal(comment: str) -> str:
    found = _DEFAULT.match(comment)
    return comment[found.end() :] if found else comment


def _name_default(expected: str, shown: str, actual: str) -> Rule | None:
    """Name the difference between two comments of a default; None where there is none."""
    if not shown or not expected:
        return rules.DEFAULT_LITERAL
    literal, other = _literal(expected), _literal(shown)
    if literal == other:
        # A line's end that is missing is no matter of the comment.
        right = actual.endswith((f",{expected}\n", f",{expected}"))
        return None if right else rules.DEFAULT_COMMENT_PLACEMENT
    if other.rstrip(" ,") == literal.rstrip(" ,"):
        return rules.DEFAULT_COMMENT_PLACEMENT
    return rules.DEFAULT_LITERAL


def _name_type(found: Difference, unit: Unit, schema: object, indent: str) -> Iterator[Named]:
    """Name the differences between two type texts of one schema, ` | null` apart from the rest."""
    if not isinstance(schema, dict):
        yield rules.TYPE_NAME, found
        return
    expected, actual = found.expected, found.actual
    bare, shown = expected.removesuffix(" | null"), _NULL.sub("", actual)
    if "{" in expected and not shown.endswith(("}", "]")):
        shown = actual  # what is null there is the last property inside
    nullable = schema.get("nullable") is True
    added = actual == f"{expected} | null"
    if nullable and added:
        yield rules.NULLABLE_IGNORED, found
        return
    if nullable or added:
        null, shown_null = expected[len(bare) :], actual[len(shown) :]
        if null != shown_null:
            at = found.part("nullable", unit.path, null, shown_null, len(bare), len(shown))
            yield rules.NULLABLE_IGNORED, at
        if bare == shown:
            return
        found = found.part("type", unit.path, bare, shown)
    kind = schema.get("type")
    if isinstance(schema.get("oneOf"), list):
        yield rules.ONE_OF_LAYOUT, found
    elif isinstance(kind, list):
        yield rules.TYPE_UNION, found
    elif schema.get("enum") and found.actual not in _NAMES:
        yield rules.ENUM_VALUES, found
    elif kind == "array":
        yield from _name_array(found, unit, schema, indent)
    elif kind == "object":
        yield from _name_object(found, unit, schema, indent)
    else:
        yield rules.TYPE_NAME, found


def _name_array(found: Difference, unit: Unit, schema: dict[str, Any], indent: str) -> Iterator[Named]:
    if "items" not in schema:
        yield rules.ARRAY_WITHOUT_ITEMS, found
        return
    items = schema["items"]
    kind = items.get("type") if isinstance(items, dict) else None
    if found.actual.endswith("[]") and (kind == "array" or (kind == "object" and "{" in found.actual)):
        element = found.part("type", unit.path, found.expected[:-2], found.actual[:-2])
        inner = list(_name_type(element, unit, items, indent))
        if inner and all(rule not in (rules.NESTED_OBJECT, rules.TYPE_NAME) for rule, _ in inner):
            yield from inner
            return
    yield rules.ARRAY_ITEMS, found


def _name_object(found: Difference, unit: Unit, schema: dict[str, Any], indent: str) -> Iterator[Named]:
    """Go into a nested object where the template laid it out as Harmony does; otherwise the whole object is named."""
    expected, actual = found.expected, found.actual
    parent = _parent_path(unit)
    nested = [piece for piece in unit.pieces if piece[1].startswith(parent)]
    before, units, _ = property_units(_inside(nested, expected), parent)
    opening = "".join([piece[2] for piece in before])
    description = opening.removesuffix("{\n")
    close = indent + "}"
    brace = actual.find("{\n")
    if not units or brace < 0 or not actual.endswith(close):
        bare = description and actual == expected.removeprefix(description)
        yield (rules.SCHEMA_COMMENTS_DROPPED if bare else rules.NESTED_OBJECT), found
        return
    shown_opening = actual[: brace + 2]
    shown = actual[len(shown_opening) : len(actual) - len(close)]
    if not comparable(units, shown, indent):
        yield rules.NESTED_OBJECT, found
        return
    if shown_opening != opening:
        at = found.part("object-description", unit.path, opening, shown_opening)
        yield rules.SCHEMA_COMMENTS_DROPPED, at
    inside = "".join([each.text for each in units])
    inner = found.part("property", unit.path, inside, shown, len(opening), len(shown_opening))
    yield from compare_properties(inner, units, schema.get("properties"), indent)


def _parent_path(unit: Unit) -> str:
    """Return the path of the object in a property's type: the property itself, or an element of its array."""
    path = unit.path
    while f"{path}{BELOW}[]" in {piece[1] for piece in unit.pieces} and not any(
        region == "object" and where == path for region, where, _ in unit.pieces
    ):
        path += f"{BELOW}[]"
    return path


def _inside(pieces: list[Piece], expected: str) -> list[Piece]:
    """Keep the pieces of the object's own text: from its description or brace to its closing brace."""
    start = next((i for i, p in enumerate(pieces) if p[0] in ("object", "object-description")), len(pieces))
    length, out = 0, []
    for piece in pieces[start:]:
        if length >= len(expected):
            break
        out.append(piece)
        length += len(piece[2])
    return out
