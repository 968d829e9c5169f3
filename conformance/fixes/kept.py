"""What a template does beyond Harmony's conversations, asked before and after a repair, so that it is not lost unseen.

No generated conversation reaches it and no oracle can judge it: values of options, roles, names of built-in tools and
kinds of content that the template itself names. A repair may not end what worked there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

from conformance.compare.base import parting
from conformance.conversation import DEFAULT_DATE
from conformance.engines.base import Request
from conformance.template.parts import Source, Tag, called, tag_tree, walk

Texts = Callable[[str, Sequence[Request]], list[str | None]]
"""Renders requests with a template; None where it fails."""

_EFFORTS = frozenset(("low", "medium", "high"))
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
# What a value of another kind than text is, and how it shows in a prompt.
_MAPPING = {"temperature": 20, "unit": "c"}
_MOST = 40
_WORDS = 12  # a constant of fewer characters says nothing by itself


@dataclass(frozen=True, slots=True)
class Probe:
    """Something that a template names: what it is, and a request with it.

    Where its effect is compared there is one `without` it, else `shows` is what it writes.
    """

    what: str
    request: Request
    without: Request | None = None
    shows: str = ""


def lost(before: str, after: str, texts: Texts) -> list[str]:
    """Return what the template `before` did beyond Harmony's conversations and `after` does not."""
    found = probes(Source(before))
    requests = [request for probe in found for request in (probe.request, probe.without or probe.request)]
    old, new = texts(before, requests), texts(after, requests)
    return [
        probe.what
        for number, probe in enumerate(found)
        if not _same(probe, old[2 * number : 2 * number + 2], new[2 * number : 2 * number + 2])
    ]


def _same(probe: Probe, old: Sequence[str | None], new: Sequence[str | None]) -> bool:
    """Return whether what a probe did is still done, as far as it did anything."""
    if old[0] is None or (probe.shows and probe.shows not in old[0]):
        return True
    if probe.without is None:
        return new[0] is not None and _said(old[0], probe.shows) in new[0]
    effect = _effect(old)
    return effect is None or effect == _effect(new)


def _effect(texts: Sequence[str | None]) -> tuple[str, str] | None:
    """Return what stands with an option in place of what stands without it, None where there is no difference."""
    one, other = texts
    if one is None or other is None or one == other:
        return None
    first = parting(one, other)
    last = parting(one[first:][::-1], other[first:][::-1])
    return one[first : len(one) - last], other[first : len(other) - last]


def _said(text: str, shows: str) -> str:
    """Return the message that a word stands in, without its header, which may be repaired; for a header the word."""
    at = text.rfind(shows)
    begin = text.rfind("<|message|>", 0, at)
    if begin < 0 or begin < text.rfind("<|start|>", 0, at):
        return shows
    return text[begin : at + len(shows)]


def probes(source: Source) -> list[Probe]:
    """Return what a template names beyond what Harmony's conversations hold."""
    found = [*_options(source), *_roles(source), *_tools(source), *_contents()]
    return found[:_MOST]


def _request(*messages: dict[str, Any], **options: Any) -> Request:
    return Request([{"role": "user", "content": "probe"}, *messages], None, options, True, DEFAULT_DATE)


def _compared(source: Source) -> Iterator[tuple[str, str]]:
    """Yield what is compared with which text: the name, or the last key, of an expression, and the text."""
    for part in walk(source.parts):
        if not isinstance(part, Tag) or part.kind == "comment":
            continue
        for node in tag_tree(part).find_all(nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
            names = [name for side in sides if (name := _name(side))]
            for name in names[:1]:
                for text in (text for side in sides for text in _constants(side)):
                    yield name, text


def _name(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return str(node.arg.value)
    return ""


def _constants(node: nodes.Node) -> list[str]:
    return [
        each.value
        for each in ([node] if isinstance(node, nodes.Const) else node.find_all(nodes.Const))
        if isinstance(each.value, str) and not isinstance(node, nodes.Getitem)
    ]


def _options(source: Source) -> Iterator[Probe]:
    """Yield the values of options that the template names and Harmony has not, with what they change."""
    own = source.own_arguments
    for name, value in dict.fromkeys(_compared(source)):
        if name == "reasoning_effort" or name == "effort":
            if value not in _EFFORTS:
                yield Probe(
                    f"reasoning_effort={value!r}",
                    _request(reasoning_effort=value),
                    _request(reasoning_effort="medium"),
                )
        elif name in own:
            yield Probe(f"{name}={value!r}", _request(**{name: value}), _request())
    for name in sorted(own):
        yield Probe(f"the argument {name}", _request(**{name: True}), _request())


def _roles(source: Source) -> Iterator[Probe]:
    for name, value in dict.fromkeys(_compared(source)):
        if name == "role" and value not in _ROLES:
            message = {"role": value, "name": "probe", "content": "asked of a role"}
            yield Probe(f"messages of the role {value!r}", _request(message), shows="asked of a role")


def _tools(source: Source) -> Iterator[Probe]:
    """Yield calls of the tools that the template names itself, such as built-in ones with a recipient of their own."""
    names = {value for name, value in _compared(source) if name in ("name", "recipient", "function_name")}
    written = " ".join(_written(source))
    names |= set(re.findall(r"to=((?:browser|python)[\w.]*)", written))
    for name in sorted(name for name in names if re.fullmatch(r"[\w.]+", name)):
        call = {"type": "function", "function": {"name": name, "arguments": {"code": "1 + 1"}}}
        request = _request({"role": "assistant", "tool_calls": [call]})
        # A call that Harmony knows as a function's is judged by the oracle.
        yield Probe(f"calls of {name}", request, shows=f"to={name}")


def _contents() -> Iterator[Probe]:
    """Yield results that are no text, as Python's callers hand them over."""
    call = {"type": "function", "function": {"name": "probe", "arguments": {"a": 1}}}
    asked = {"role": "assistant", "tool_calls": [call]}
    result = {"role": "tool", "name": "probe", "content": _MAPPING}
    yield Probe("results that are objects", _request(asked, result), shows=json.dumps(_MAPPING))


def _written(source: Source) -> Iterator[str]:
    for part in walk(source.parts):
        if isinstance(part, Tag) and part.kind != "comment":
            for const in tag_tree(part).find_all(nodes.Const):
                if isinstance(const.value, str):
                    yield const.value


def gone(before: str, after: str) -> list[str]:
    """Return texts that a template wrote or refused with, and that its repaired version says nowhere any more.

    An identity, a refusal, a hint to the model: whether it was wanted only its author knows.
    """
    new = "\n".join(_written(Source(after))) + after
    old = Source(before)
    found = []
    for part in walk(old.parts):
        if not isinstance(part, Tag) or part.kind == "comment":
            continue
        refuses = any("raise" in name for name in called(tag_tree(part)))
        for const in tag_tree(part).find_all(nodes.Const):
            text = const.value
            if isinstance(text, str) and len(text) >= _WORDS and " " in text.strip() and text not in new:
                line = old.text.count("\n", 0, part.start) + 1
                kind = "refuses" if refuses else "writes"
                found.append(f"line {line} {kind} {' '.join(text.split())!r}")
    return list(dict.fromkeys(found))
