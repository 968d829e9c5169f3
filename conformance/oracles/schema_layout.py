"""How Harmony prints tools: a JSON Schema as TypeScript-like text, piece by piece.

This follows the layout of openai-harmony's `json_schema_to_typescript` (src/encoding.rs), oddities
included. It never judges: the text it yields is compared with Harmony's own on every case, and only
where they are equal are its regions believed.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

from conformance.oracles.base import BELOW, WITHIN, Piece

_I64_MIN, _U64_MAX = -(2**63), 2**64 - 1


def rust_lines(text: str) -> list[str]:
    """Split as Rust's `str::lines` does: at LF or CRLF, without an empty last line."""
    lines = text.split("\n")
    last = lines.pop()
    lines = [line[:-1] if line.endswith("\r") else line for line in lines]
    return [*lines, last] if last else lines


def rust_float(value: float, plus: str = "") -> str:
    """Print a float as serde_json does: shortest digits, exponents without padding, `plus` before those above 0.

    The sign is empty in the serde_json of openai-harmony, "+" in later ones.
    """
    if value == 0 or not math.isfinite(value):
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    digits, exponent = _digits(abs(value))
    sign = "-" if value < 0 else ""
    point = len(digits) + exponent
    if exponent >= 0 and point <= 16:
        return f"{sign}{digits}{'0' * exponent}.0"
    if 0 < point <= 16:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -5 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}e{plus if point > 0 else ''}{point - 1}"


def _digits(value: float) -> tuple[str, int]:
    """Return the shortest digits and the exponent: value = digits * 10 ** exponent."""
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    shift = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return stripped, shift + len(digits) - len(stripped)


def rust_json(value: Any, plus: str = "") -> str:
    """Print a JSON value as serde_json's `Display` does: compact, Unicode as it is, floats its own way."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or value is True or value is False:
        return "null" if value is None else str(value).lower()
    if isinstance(value, int):
        return str(value) if _I64_MIN <= value <= _U64_MAX else rust_float(reread(value), plus)
    if isinstance(value, float):
        return rust_float(reread(value), plus)
    if isinstance(value, dict):
        items = (f"{encode_basestring(key)}:{rust_json(item, plus)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    return "[" + ",".join(rust_json(item, plus) for item in value) + "]"


def reread(value: int | float) -> float:
    """Return the float that Harmony reads from a number's JSON text, which can miss the nearest in the last digit.

    serde_json (without its feature float_roundtrip) takes the digits as one 64-bit integer and scales that by a
    power of ten: src/de.rs, parse_long_integer, parse_decimal and f64_from_parts.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return value  # Harmony refuses the case, whatever stands here
    try:
        mantissa, _, exponent = repr(abs(value)).partition("e")
    except ValueError:  # more digits than Python prints; Harmony refuses the case, whatever stands here
        return math.inf
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0)
    significand = 0
    for position, digit in enumerate(whole):
        grown = significand * 10 + int(digit)
        if grown > _U64_MAX:
            power += len(whole) - position
            fraction = ""
            break
        significand = grown
    for digit in fraction:
        grown = significand * 10 + int(digit)
        if grown > _U64_MAX:
            break
        significand, power = grown, power - 1
    number = float(significand)
    while power < -308 and number:
        number /= 1e308
        power += 308
    scale = float(f"1e{abs(power)}")  # infinite where Harmony refuses the number
    number = number * scale if power >= 0 else number / scale
    negative = value < 0 if isinstance(value, int) else math.copysign(1, value) < 0
    return -number if negative else number


def _is_enum(schema: dict[str, Any]) -> bool:
    enum = schema.get("enum")
    return isinstance(enum, list) and bool(enum)


def _default_text(schema: dict[str, Any], *, bare_enum: bool, plus: str) -> str:
    """Print a default; strings of enums stand without quotes where `bare_enum`, as Harmony does by place."""
    default = schema["default"]
    if isinstance(default, str):
        if not _is_enum(schema):
            return f'"{default}"'
        if bare_enum:
            return default
    return rust_json(default, plus)


def _nullable(schema: Any, pieces: list[Piece], start: int, path: str) -> None:
    """Append ` | null` as Harmony does: when nullable and no `null` stands anywhere in the type's text."""
    if (
        isinstance(schema, dict)
        and schema.get("nullable") is True
        and "null" not in "".join([piece[2] for piece in pieces[start:]])
    ):
        pieces.append(("nullable", path, " | null"))


def write_type(schema: Any, indent: str, path: str, pieces: list[Piece], plus: str) -> None:
    """Append the pieces of one schema's type text; `indent` is what Harmony puts before nested lines."""
    if not isinstance(schema, dict):
        pieces.append(("type", path, "any"))
        return
    one_of = schema.get("oneOf")
    if isinstance(one_of, list):
        _write_one_of(one_of, indent, path, pieces, plus)
        return
    kind = schema.get("type")
    if isinstance(kind, list):
        names = ["number" if name == "integer" else name for name in kind if isinstance(name, str)]
        if names:
            pieces.append(("type-union", path, " | ".join(names)))
            return
    if kind == "object":
        _write_object(schema, indent, path, pieces, plus)
    elif kind == "string":
        enum = schema.get("enum")
        values = [value for value in enum if isinstance(value, str)] if isinstance(enum, list) else []
        if values:
            pieces.append(("enum", path, " | ".join([f'"{value}"' for value in values])))
        else:
            pieces.append(("type", path, "string"))
    elif kind in ("number", "integer"):
        pieces.append(("type", path, "number"))
    elif kind == "boolean":
        pieces.append(("type", path, "boolean"))
    elif kind == "array":
        if "items" in schema:
            write_type(schema["items"], indent, f"{path}{BELOW}[]", pieces, plus)
            pieces.append(("array", path, "[]"))
        else:
            pieces.append(("array-any", path, "Array<any>"))
    else:
        pieces.append(("type-union" if isinstance(kind, list) else "type", path, "any"))


def _write_one_of(variants: list[Any], indent: str, path: str, pieces: list[Piece], plus: str) -> None:
    for number, variant in enumerate(variants):
        here = f"{path}{BELOW}|{number}"
        pieces.append(("one-of", here, f"\n{indent} | "))
        start = len(pieces)
        write_type(variant, f"{indent}   ", here, pieces, plus)
        _nullable(variant, pieces, start, here)
        if not isinstance(variant, dict):
            continue
        comments = [variant["description"]] if isinstance(variant.get("description"), str) else []
        if "default" in variant:
            comments.append("default: " + _default_text(variant, bare_enum=False, plus=plus))
        if comments:
            pieces.append(("one-of-comment", here, " // " + " ".join(comments)))


def _write_object(schema: dict[str, Any], indent: str, path: str, pieces: list[Piece], plus: str) -> None:
    description = schema.get("description")
    if isinstance(description, str):
        pieces.append(("object-description", path, f"{indent}// {description}\n"))
    pieces.append(("object", path, "{\n"))
    properties = schema.get("properties")
    if isinstance(properties, dict):
        listed = schema.get("required")
        required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
        for name, value in properties.items():
            mark = "" if name in required else "?"
            _write_property(name, mark, value, indent, f"{path}{WITHIN}{name}", pieces, plus)
    pieces.append(("object", path, indent + "}"))


def _write_property(
    name: str, mark: str, value: Any, indent: str, path: str, pieces: list[Piece], plus: str
) -> None:
    schema = value if isinstance(value, dict) else {}
    if isinstance(schema.get("title"), str):
        pieces.append(("title", path, f"{indent}// {schema['title']}\n{indent}//\n"))
    description = schema.get("description") if isinstance(schema.get("description"), str) else None
    if "oneOf" not in schema and description is not None:
        pieces.append(("description", path, f"{indent}// {description}\n"))
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        lines = [f'{indent}// - "{example}"\n' for example in examples if isinstance(example, str)]
        pieces.append(("examples", path, f"{indent}// Examples:\n" + "".join(lines)))
    one_of = schema.get("oneOf")
    if isinstance(one_of, list):
        _write_one_of_property(name, mark, schema, one_of, indent, path, pieces, plus)
        return
    pieces.append(("name", path, f"{indent}{name}{mark}: "))
    start = len(pieces)
    write_type(value, f"{indent}    ", path, pieces, plus)
    _nullable(value, pieces, start, path)
    pieces.append(("comma", path, ","))
    if "default" in schema and "oneOf" not in schema:
        pieces.append(("default", path, " // default: " + _default_text(schema, bare_enum=True, plus=plus)))
    pieces.append(("line-end", path, "\n"))


def _write_one_of_property(
    name: str,
    mark: str,
    schema: dict[str, Any],
    variants: list[Any],
    indent: str,
    path: str,
    pieces: list[Piece],
    plus: str,
) -> None:
    description = schema.get("description") if isinstance(schema.get("description"), str) else None
    first = variants[0] if variants else None
    same = description is not None and isinstance(first, dict) and first.get("description") == description
    above = description is not None and not same
    if above:
        pieces.append(("description", path, f"{indent}// {description}\n"))
    if "default" in schema:
        default = _default_text(schema, bare_enum=True, plus=plus)
        pieces.append(("one-of-default", path, f"{indent}// default: {default}\n"))
    pieces.append(("one-of-name", path, f"{indent}{name}{mark}:\n"))
    for number, variant in enumerate(variants):
        here = f"{path}{BELOW}|{number}"
        pieces.append(("one-of", here, f"{indent} | "))
        start = len(pieces)
        write_type(variant, f"{indent}   ", here, pieces, plus)
        _nullable(variant, pieces, start, here)
        comments: list[str] = []
        if isinstance(variant, dict):
            text = variant.get("description")
            if isinstance(text, str) and not (number == 0 and above) and text != description:
                comments.append(text)
            if "default" in variant:
                comments.append("default: " + _default_text(variant, bare_enum=True, plus=plus))
        if comments:
            pieces.append(("one-of-comment", here, " // " + " ".join(comments)))
        pieces.append(("one-of", here, "\n"))
    pieces.append(("one-of", path, f"{indent},\n"))


def write_namespace(
    name: str, description: str | None, tools: list[dict[str, Any]], pieces: list[Piece], plus: str = ""
) -> None:
    """Append one tool namespace: its heading, description and tools (dicts with name, description, parameters).

    `plus` is what stands before exponents above 0: nothing in Harmony.
    """
    head = f"## {name}\n"
    if description is not None:
        mark = "// " if tools else ""
        head += "".join([f"\n{mark}{line}" for line in rust_lines(description)])
    if not tools:
        pieces.append(("namespace", "", head))
        return
    pieces.append(("namespace", "", f"{head}\nnamespace {name} {{\n"))
    for tool in tools:
        label = tool["name"]
        lines = rust_lines(tool["description"])
        pieces.append(("tool", label, "\n"))
        if lines:
            pieces.append(("tool-description", label, "".join([f"// {line}\n" for line in lines])))
        parameters = tool.get("parameters")
        if parameters is None:
            pieces.append(("no-parameters", label, f"type {label} = () => any;\n"))
        else:
            pieces.append(("tool", label, f"type {label} = (_: "))
            write_type(parameters, "", label, pieces, plus)
            pieces.append(("tool", label, ") => any;\n"))
    pieces.append(("namespace", "", f"\n}} // namespace {name}"))
