"""What Python prints for a value has no place in a prompt: None, True, single-quoted dicts, objects."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.checks.base import Finding, eased, register
from conformance.checks.bench import Bench
from conformance.checks.probe import Probe
from conformance.rules.properties import PYTHON_REPR

_OBJECTS = re.compile(
    r"<[\w.]+ object at 0x|<bound method |<built-in method |<generator object |<function |dict_items\(|dict_keys\("
)
_PARTS = re.compile(r"""['"]?type['"]?: 'text'|Undefined\b""")
_TOOLS = re.compile(r"'(?:function|parameters|properties|toolname1|paramname1)': ?[\[{']|'name': 'toolname1'")
_ARGUMENTS = re.compile(r"'paramname1': ?['\"]")
_NESTED = re.compile(r"'innername': ?|\[(?:False|false), ?'Listword1'")
_CONSTANTS = re.compile(r"(?<![\w'\"])(None|True|False|Undefined)(?![\w'\"])")
# Formats that write calls as Python does, name(key=value), mean Python's constants.
_PYTHONIC = re.compile(r"""\bparamname1 ?= ?['"]?Argword1""")
_NULLS = frozenset(
    {"null-content", "absent-content", "sdk-nulls", "no-description", "no-parameters", "no-required"}
)


@register("python-repr")
def python_repr(bench: Bench, probe: Probe) -> Iterator[Finding]:
    """Yield the first place where the prompt holds what Python prints instead of text or JSON."""
    text = bench.text(probe)
    if text is None:
        return
    found = _place(bench, probe, text)
    if found is None:
        return
    what, offset = found
    yield Finding(
        PYTHON_REPR.slug,
        probe,
        what,
        expected=f"no {what}",
        actual=text,
        actual_offset=offset,
        severity=eased(probe),
    )


def _place(bench: Bench, probe: Probe, text: str) -> tuple[str, int] | None:
    if (match := _OBJECTS.search(text)) and match[0] not in bench.template:
        return "printed object", match.start()
    manner = probe.how
    plain = "" if probe.manner is None else bench.text(probe.plain)
    if manner.endswith("-parts"):
        match = _PARTS.search(text)
        return ("text parts printed as a Python list", match.start()) if match else None
    if manner == "plain":
        return _plain_place(bench, probe, text)
    if plain is None:
        return None
    if manner in _NULLS:
        return _new_constant(text, plain)
    if manner == "json-values" and not _PYTHONIC.search(text):
        if (match := _NESTED.search(text)) and not _ARGUMENTS.search(plain):
            return "nested arguments printed as a Python dict or list", match.start()
        return _new_constant(text, plain)
    return None


def _plain_place(bench: Bench, probe: Probe, text: str) -> tuple[str, int] | None:
    tools, calls = probe.case.conversation.tools, probe.case.conversation.calls()
    if tools and not calls and (match := _TOOLS.search(text)) and match[0] not in bench.template:
        return "tool definitions printed as a Python dict", match.start()
    if calls and not _PYTHONIC.search(text) and (match := _ARGUMENTS.search(text)):
        return "arguments printed as a Python dict", match.start()
    return None


def _new_constant(text: str, plain: str) -> tuple[str, int] | None:
    """Return a constant of Python that the plain manner's prompt has less often, and where it stands."""
    places: dict[str, list[int]] = {}
    for match in _CONSTANTS.finditer(text):
        places.setdefault(match[1], []).append(match.start())
    before = [match[1] for match in _CONSTANTS.finditer(plain)]
    for constant, found in places.items():
        if len(found) > before.count(constant):
            shared = next((at for at in found if not plain.startswith(text[: at + len(constant)])), found[-1])
            return f"{constant} printed for a value", shared
    return None
