"""What is known of where a template's text comes from, in words."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.report.model import Example, Origin

_MOST = 5


def headline(example: Example) -> str | None:
    """Return the place in the template as a headline has it: `line 7`, `lines 7-9`; None where it is unknown."""
    origin = example.origin
    if example.template_line is not None:
        return f"line {example.template_line}"
    if origin is not None and origin.between:
        first, last = origin.between
        return f"line {first}" if first == last else f"lines {first}-{last}"
    return None


def sentence(example: Example) -> str | None:
    """Return one sentence on what led to the text, None where there is nothing to say beyond the headline."""
    origin = example.origin
    if origin is None:
        return None
    parts: list[str] = []
    if example.template_line is None and origin.between:
        first, last = origin.between
        place = f"in line {first}" if first == last else f"between lines {first} and {last}"
        parts.append(f"nothing was written {place}")
        if origin.nearest is not None and not first <= origin.nearest <= last:
            parts.append(f"line {origin.nearest} ran last before")
    if origin.trail:
        parts.append(f"printed through {_lines(origin.trail)}")
    if origin.condition is not None:
        parts.append(_condition(origin))
    if origin.decisive:
        parts.append(_decisive(origin.decisive))
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else None


def _condition(origin: Origin) -> str:
    text = f"the condition in line {origin.condition} was {'true' if origin.went else 'false'}"
    others = [line for line in origin.sets if line != origin.condition]
    return f"{text} (it reads what {_lines(others)} set)" if others else text


def _decisive(lines: Sequence[int]) -> str:
    each = "each of " if len(set(lines)) > 1 else ""
    return f"{each}{_lines(lines)} decides: going the other way there, the text is right"


def _lines(numbers: Sequence[int]) -> str:
    shown = list(dict.fromkeys(numbers))
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return f"line{'s'[: len(shown) > 1]} {', '.join(map(str, shown[:_MOST]))}{more}"
