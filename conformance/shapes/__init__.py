"""Shapes: the ways a server hands one conversation to a template, as messages, tools and keyword arguments.

A family such as `hf` has members that differ in what servers really vary: an assistant message without
text has its `content` absent, null or empty; tool calls carry ids or not; results carry names or not. A
member is named by its family and what it changes, `hf+null-content+ids`. The families are data, in
`table.toml`; some of them are what one server hands over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal, TypeAlias

import msgspec

from conformance.decode import decode_toml
from conformance.errors import UsageError
from conformance.registry import Registry
from conformance.shapes.losses import SERVER_LOSSES
from conformance.shapes.shape import (
    Arguments,
    CanonicalShape,
    EmptyContent,
    Ids,
    Parts,
    SentShape,
    Shape,
    Tools,
)

__all__ = [
    "ALL",
    "AS_SENT",
    "SHAPES",
    "Family",
    "Shape",
    "default_families",
    "draw",
    "families",
    "shapes",
    "table",
    "turns",
]

ALL = "all"
"""As the name of a shape: every family of the table."""

_CONTENT_WORDS: dict[EmptyContent, str] = {
    "absent": "absent-content",
    "null": "null-content",
    "empty": "empty-content",
}
_ID_WORDS: dict[Ids, str] = {
    "none": "no-ids",
    "counted": "ids",
    "opaque": "opaque-ids",
    "restarting": "restarting-ids",
}
# What clients do now and then, each by itself.
Habit: TypeAlias = Literal["empty-calls", "parts"]
_HABITS: dict[Habit, dict[str, Any]] = {"empty-calls": {"empty_calls": True}, "parts": {"parts": "one"}}
RARELY = 16
"""A family with rare members gives every so many turns to one of them."""

_PART_WORDS: dict[Parts, str] = {"none": "text", "one": "parts", "several": "several"}


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A family as the table declares it; `citation` says who hands conversations over in this way."""

    what: str
    citation: str
    arguments: Arguments
    thinking: tuple[str, ...]
    content: tuple[EmptyContent, ...]
    ids: tuple[Ids, ...]
    names: tuple[bool, ...] = (False,)
    parts: tuple[Parts, ...] = ("none",)
    tools: Tools = "wrapped"
    thinking_beside_calls: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    rare: tuple[Habit, ...] = ()
    default: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.cannot) - SERVER_LOSSES.keys()
        if unknown:
            raise ValueError(f"no loss is called {', '.join(sorted(unknown))}")

    def members(self, name: str) -> Iterator[Shape]:
        """Yield the shapes of the family called `name`, its own way first, the rare ones last."""
        own: Shape | None = None
        # Results' names change fastest, parts slowest: cases take turns over members in this order.
        for parts, content, ids, names in product(self.parts, self.content, self.ids, self.names):
            changes = [_PART_WORDS[parts]] if parts != self.parts[0] else []
            if content != self.content[0]:
                changes.append(_CONTENT_WORDS[content])
            if ids != self.ids[0]:
                changes.append(_ID_WORDS[ids])
            if names != self.names[0]:
                changes.append("names")
            shape = Shape(
                name="+".join([name, *changes]),
                family=name,
                arguments=self.arguments,
                thinking=self.thinking,
                empty_content=content,
                ids=ids,
                names=names,
                parts=parts,
                tools=self.tools,
                thinking_beside_calls=self.thinking_beside_calls,
                cannot=self.cannot,
            )
            own = own or shape
            yield shape
        for habit in self.rare:
            assert own is not None
            yield replace(own, name=f"{name}+{habit}", rare=True, **_HABITS[habit])


@lru_cache(maxsize=1)
def table() -> dict[str, Family]:
    """Return the families as they are declared in `table.toml`."""
    data = files(__package__).joinpath("table.toml").read_bytes()
    return msgspec.convert(decode_toml(data, "the table of shapes"), dict[str, Family])


# Families of other packages; ours are data.
SHAPES: Registry[Family] = Registry("shape", "conformance.shapes")


def families() -> dict[str, tuple[Shape, ...]]:
    """Return the members of every shape family, the plain one first: ours, and those of installed plug-ins."""
    return {name: _members(name, family) for name, family in (table() | dict(SHAPES.items())).items()}


@lru_cache
def _members(name: str, family: Family) -> tuple[Shape, ...]:
    return tuple(family.members(name))


CONVERSATION = CanonicalShape(
    "conversation", "conversation", "object", ("thinking",), "absent", "counted", names=True
)
"""What programs are given that take the conversation itself; no template is asked in it."""

AS_SENT = SentShape("as-sent", "as-sent", "string", (), "absent", "counted", names=False)
"""What is handed over when a request is given: the request."""

# No families: nothing is drawn in them.
_SINGLE = {shape.name: (shape,) for shape in (CONVERSATION, AS_SENT)}


def default_families() -> dict[str, tuple[Shape, ...]]:
    """Return the families that are drawn from when no shape is named; they are ours alone."""
    return {name: _members(name, family) for name, family in table().items() if family.default}


def shapes(names: Iterable[str] = ()) -> tuple[tuple[Shape, ...], ...]:
    """Return, for each name, the shapes to draw from: a family's members, or the one member named.

    No names means the default families, `all` every one. Raises UsageError for a name that is neither.
    """
    known = families()
    chosen: dict[str, tuple[Shape, ...]] = {}
    for name in tuple(names) or default_families():
        if name in _SINGLE:
            chosen[name] = _SINGLE[name]
            continue
        if name == ALL:
            chosen.update(known)
            continue
        if name in known:
            chosen[name] = known[name]
            continue
        member = [shape for family in known.values() for shape in family if shape.name == name]
        if not member:
            raise UsageError(
                f"No shape is called {name!r}; choose from {', '.join(known)}, {ALL}, or one member such as "
                f"{known['hf'][-1].name}."
            )
        chosen[name] = (member[0],)
    return tuple(chosen.values())


def draw(choices: tuple[tuple[Shape, ...], ...], index: int) -> Shape:
    """Return the shape of case number `index`: families take turns, and so do members within each, rare ones rarely."""
    common, rare = _by_turns(choices[index % len(choices)])
    turn = index // len(choices)
    if rare and turn % RARELY == RARELY - 1:
        return rare[turn // RARELY % len(rare)]
    return common[turn % len(common)]


def turns(choices: tuple[tuple[Shape, ...], ...]) -> int:
    """Return after how many cases every shape had its turn, and the turns begin anew."""
    lengths = []
    for family in choices:
        common, rare = _by_turns(family)
        lengths += [len(common), RARELY * len(rare) if rare else 1]
    return len(choices) * math.lcm(*lengths)


@lru_cache
def _by_turns(family: tuple[Shape, ...]) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Return the members that take turns, and those that do so rarely; a rare one that was named is not rare."""
    common = tuple(shape for shape in family if not shape.rare)
    return (common, tuple(shape for shape in family if shape.rare)) if common else (family, ())
