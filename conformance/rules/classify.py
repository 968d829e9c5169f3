"""Name every divergence of a case: each difference gets the rule of its place and of what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from conformance.compare.align import Pair, align
from conformance.compare.base import Difference
from conformance.compare.developer import compare_developer
from conformance.compare.system import compare_system
from conformance.compare.tools import Unit, tool_units
from conformance.conversation import Case, Conversation
from conformance.oracles.base import WITHIN, Block, Rendering
from conformance.oracles.plan import plan
from conformance.oracles.profile import Profile, profiles
from conformance.rules import name_messages
from conformance.rules.base import Severity
from conformance.rules.name_types import name_property

Named = tuple[str, Difference]


@dataclass(slots=True)
class Found:
    """A named divergence of one case: the rule, where it shows (None when there is no text), and the profiles
    under which it vanishes.

    Where two engines disagree, `cause` says why, and `against` and `against_text` are the other engine and its
    text. `severity` is given where it is not the rule's own.
    """

    rule: str
    difference: Difference | None
    vanishes_under: tuple[str, ...] = ()
    cause: str = ""
    against: str = ""
    against_text: str = ""
    severity: Severity | None = None

    @property
    def key(self) -> str:
        """What is counted and shrunk by itself: the rule, with its cause or severity where it has several."""
        if self.cause:
            return f"{self.rule}: {self.cause}"
        return f"{self.rule} ({self.severity})" if self.severity else self.rule


def classify(
    case: Case, expected: Rendering, actual: str, profile: Profile, pairs: list[Pair] | None = None
) -> list[Found]:
    """Name all divergences between the oracle's rendering and a template's text, in the order of the text.

    Each rule is listed once, at its first place. An empty list means that the texts are equal. `pairs` are their
    aligned messages, where these are known already.
    """
    if actual == expected.text:
        return []
    named: dict[str, Difference] = {}
    pairs = align(expected, actual) if pairs is None else pairs
    for slug, difference in _name_pairs(case, pairs, profile):
        named.setdefault(slug, difference)
    if not named:
        named["unclassified"] = Difference(None, "message", "", expected.text, actual, 0, 0)
    return [
        Found(slug, difference, vanishes_under(case, slug, difference, profile, pairs))
        for slug, difference in named.items()
    ]


def _name_pairs(case: Case, pairs: list[Pair], profile: Profile) -> Iterator[Named]:
    thinking = [pair for pair in pairs if pair.dropped or (pair.actual is None and _kind(pair) == "thinking")]
    if thinking:
        yield name_messages.name_thinking(case, thinking, profile)
    for pair in pairs:
        if pair in thinking:
            if pair.dropped and pair.block is not None and pair.actual != pair.block.text:
                yield from name_messages.name_pair(case, pair)
            continue
        if pair.block is None:
            yield name_messages.name_extra(case, pair)
        elif pair.actual is None:
            yield name_messages.name_missing(case, pair, pairs)
        elif pair.block.kind == "developer":
            yield from _name_developer(case, pair.block, pair)
        elif pair.block.kind == "system":
            yield from _name_system(pair.block, pair)
        else:
            yield from name_messages.name_pair(case, pair)


def _kind(pair: Pair) -> str:
    return pair.block.kind if pair.block is not None else ""


_SYSTEM = {
    "current-date": "current-date",
    "reasoning-effort": "reasoning-effort",
    "builtin-tools": "builtin-tools",
    "functions-note": "functions-note",
}


def _name_system(block: Block, pair: Pair) -> Iterator[Named]:
    assert pair.actual is not None
    for found in compare_system(block, pair.actual, pair.offset, pair.actual_offset):
        if "Calls to these tools" in found.actual and "Calls to these tools" not in found.expected:
            yield "functions-note", found
        elif "# Tools" in found.actual and "# Tools" not in found.expected:
            yield "builtin-tools", found
        elif found.region in _SYSTEM:
            yield _SYSTEM[found.region], found
        elif found.region == "end" and not found.actual.removeprefix("<|end|>").strip():
            yield "extra-newline", found
        else:
            yield "system-text", found


def _name_developer(case: Case, block: Block, pair: Pair) -> Iterator[Named]:
    assert pair.actual is not None
    units: dict[str, Unit] = {}
    for found in compare_developer(block, pair.actual, pair.offset, pair.actual_offset):
        if found.region in ("comment", "name", "body", "one-of", "property") and not units:
            inner = [p for p in block.pieces if p[0] not in name_messages.FRAME]
            units = {unit.path: unit for tool in tool_units(inner) for unit in tool.units}
        yield from _name_developer_part(case, found, units)


def _name_developer_part(case: Case, found: Difference, units: dict[str, Unit]) -> Iterator[Named]:
    unit = units.get(found.path)
    if found.hint:
        yield found.hint, found
    elif unit is not None and found.region in ("comment", "name", "body", "one-of"):
        yield from name_property(found, unit, _schema(case.conversation, unit), "")
    elif found.region == "instructions":
        newlines = found.expected.rstrip("\n") == found.actual.rstrip("\n")
        yield ("instructions-trailing-newlines" if newlines else "instructions-altered"), found
    elif found.region == "tool-description":
        yield _name_tool_description(case.conversation, found), found
    elif found.region == "parameters":
        yield _name_parameters(case.conversation, found), found
    elif found.region == "opening":
        dropped = "//" in found.expected and "//" not in found.actual
        yield ("schema-comments-dropped" if dropped else "tool-layout"), found
    elif found.region == "header":
        yield "role-header", found
    elif found.region == "end":
        space = (
            found.actual.replace(found.expected, "").isspace() if found.expected in found.actual else False
        )
        yield ("extra-newline" if space else "return-or-end"), found
    elif found.region in ("tools-heading", "instructions-heading"):
        moved = found.expected.split() != found.actual.split()
        yield ("section-order" if moved else "extra-newline"), found
    elif found.expected.lstrip("\n") == found.actual.lstrip("\n"):
        yield "tool-layout", found
    else:
        tool = next((t for t in case.conversation.tools if t.name == found.path), None)
        lines = tool is not None and "\n" in (tool.description or "") and "//" in found.expected
        yield ("multiline-description" if lines else "tool-layout"), found


def _schema(conversation: Conversation, unit: Unit) -> object:
    for tool in conversation.tools:
        if unit.path.startswith(f"{tool.name}{WITHIN}"):
            properties = (tool.parameters or {}).get("properties")
            if isinstance(properties, dict) and unit.name in properties:
                return properties[unit.name]
    return None


def _name_tool_description(conversation: Conversation, found: Difference) -> str:
    descriptions = [tool.description for tool in conversation.tools if tool.name == found.path]
    text = descriptions[0] if descriptions else None
    if not text:
        return "missing-description"
    if "\n" in text or "\r" in text:
        return "multiline-description"
    if not found.actual.strip():
        return "missing-description"
    return "tool-layout" if found.actual.split() == found.expected.split() else "schema-comments-dropped"


def _name_parameters(conversation: Conversation, found: Difference) -> str:
    for tool in conversation.tools:
        if tool.name != found.path:
            continue
        if found.expected.split() == found.actual.split():
            return "tool-layout"
        parameters = tool.parameters
        if parameters is not None and parameters.get("description") and found.actual.count("//") == 0:
            bare = "".join(line for line in found.expected.splitlines(keepends=True) if "//" not in line)
            if "=> any" in found.actual and bare and "{" in found.actual:
                return "schema-comments-dropped"
        if parameters is None or not parameters.get("properties"):
            return "empty-parameters"
        if parameters.get("type") != "object":
            return "type-name"
    return "tool-layout"


_SETTINGS = {
    "thinking-retention": ("thinking_inference", "thinking_training"),
    "content-type-marker": ("content_type",),
    "preamble-channel": ("preamble_channel",),
    "arguments-formatting": ("arguments_json",),
}


def vanishes_under(
    case: Case, slug: str, found: Difference, profile: Profile, pairs: list[Pair]
) -> tuple[str, ...]:
    """Return the other profiles under which a divergence would not be there."""
    if slug not in _SETTINGS:
        return ()
    names = []
    for other in profiles().values():
        if other.name == profile.name or all(
            getattr(other, setting) == getattr(profile, setting) for setting in _SETTINGS[slug]
        ):
            continue
        if slug == "thinking-retention":
            agrees = name_messages.retention_agrees(case, pairs, profile, other)
        else:
            only = replace(profile, **{setting: getattr(other, setting) for setting in _SETTINGS[slug]})
            agrees = _block_agrees(case, found, only)
        if agrees:
            names.append(other.name)
    return tuple(names)


def _block_agrees(case: Case, found: Difference, other: Profile) -> bool:
    """Say whether the part that differs reads as the template has it under another profile."""
    block = found.block
    if block is None:
        return False
    for made in plan(case, other).blocks:
        if (made.kind, made.index, made.call) == (block.kind, block.index, block.call):
            stretch = "".join([text for region, _, text in made.pieces if region == found.region])
            return stretch == found.actual
    return False
