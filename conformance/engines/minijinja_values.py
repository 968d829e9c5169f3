"""What stands between Python and MiniJinja: values as literals, JSON in a host's form, tags it does not know."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

_STRING = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
# Comments and raw blocks are passed over; the group is a tag. A tag with `}}` inside a dict of dicts ends early here,
# which costs no more than the rewriting of what follows in that tag.
_TAG = re.compile(
    r"\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}"
    rf"|(\{{[{{%](?:{_STRING}|[^'\"])*?[%}}]\}})",
    re.DOTALL,
)
_TOJSON = re.compile(rf"{_STRING}|((?:\||\bfilter\b)\s*)tojson\b", re.DOTALL)
_GENERATION = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[,:] ')
# Integers that MiniJinja's literals and its JSON keep; what is larger becomes a float there.
SMALLEST, LARGEST = -(2**127), 2**128 - 1

# The filter that gives what the built-in `tojson` wrote the form of the host.
FORMATTER = "__tojson"


def literal(value: Any, smallest: int = SMALLEST, largest: int = LARGEST) -> str:
    """Return a JSON-like value as a MiniJinja expression; integers outside the bounds become floats.

    A dict that is passed to MiniJinja's Python binding stays a Python object there: `items` is "in" it, `pop`
    changes it. Written down as an expression it is what a Rust program passes: a map that knows its keys.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "none"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if smallest <= value <= largest else repr(float(value))
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(key, ensure_ascii=False)}:{literal(item, smallest, largest)}"
            for key, item in value.items()
        )
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join(literal(item, smallest, largest) for item in value) + "]"


def with_formatter(template: str) -> str:
    """Return the template with every `|tojson` followed by the host's own formatter, which takes the options.

    The built-in filter stays the one that reads the value: a filter written in Python would get 1.0 as 1.
    """

    def in_tag(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return _TOJSON.sub(
            lambda name: name[0] if name[1] is None else f"{name[1]}tojson|{FORMATTER}", found[1]
        )

    return _TAG.sub(in_tag, template)


def with_generation(template: str) -> str:
    """Return the template with each `generation` tag as a `with` block: its own scope, and its body is written."""

    def in_tag(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return f"{tag[1]}{tag[2] or ''}with{tag[3]}" if (tag := _GENERATION.fullmatch(found[1])) else found[1]

    return _TAG.sub(in_tag, template)


def python_json(
    text: str,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: list[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON text as Python's json.dumps writes it, which is transformers' `tojson`."""
    return json.dumps(
        json.loads(text),
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=None if separators is None else (separators[0], separators[1]),
        sort_keys=sort_keys,
    )


def serde_json(text: str, *, compact: bool, html_safe: bool, indent: int | None = None) -> str:
    r"""Return JSON text as serde_json writes it: compact or with blanks, `<>&'` as \u003c and so on if `html_safe`.

    Its pretty form (`indent`) has Python's line breaks.
    """
    if indent is not None:
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=indent)

    def token(found: re.Match[str]) -> str:
        part = found[0]
        if part[0] == '"':
            return _html_safe(part) if html_safe else _html_plain(part)
        if part in (", ", ": "):
            return part[0] if compact and indent is None else part
        return part if part.lstrip("-").isdigit() else serde_float(float(part))

    return _JSON_TOKEN.sub(token, text)


def serde_float(value: float) -> str:
    """Return a finite float as serde_json writes it: the shortest digits, 1e20 and 1e-7 with bare exponents."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent
    text = "".join(map(str, digits)).rstrip("0")
    if not text:
        number = "0.0"
    elif len(text) <= point <= 16:
        number = text.ljust(point, "0") + ".0"
    elif 0 < point <= 16:
        number = f"{text[:point]}.{text[point:]}"
    elif -5 < point <= 0:
        number = "0." + "0" * -point + text
    else:
        number = f"{text[0]}.{text[1:]}e{point - 1}" if len(text) > 1 else f"{text}e{point - 1}"
    return f"-{number}" if sign else number


_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "'": "\\u0027"}


def _html_safe(string: str) -> str:
    return re.sub("[<>&']", lambda found: _HTML[found[0]], string)


def _html_plain(string: str) -> str:
    return json.dumps(json.loads(string), ensure_ascii=False) if "\\u00" in string else string
