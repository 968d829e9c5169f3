"""Where the parts of a gpt-oss template are: found by what they write and what they test, not by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from jinja2 import nodes

from conformance.fixes.base import SkippedError
from conformance.template.parts import Arm, Block, Part, Source, Tag, blocks, called, tag_tree, walk

# Words that only templates of models with eyes and ears compare with; the oracle reads text alone.
_MEDIA = frozenset(("image", "image_url", "input_image", "video", "video_url", "audio", "input_audio"))


_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch of the message loop for a role: an arm of an if block."""

    block: Block
    number: int

    @property
    def arm(self) -> Arm:
        """The arm itself."""
        return self.block.arms[self.number]

    @property
    def span(self) -> tuple[int, int]:
        """Where the inside of the branch begins and ends."""
        arms = self.block.arms
        after = arms[self.number + 1].tag if self.number + 1 < len(arms) else self.block.last
        return self.arm.tag.end, after.start


def reach(source: Source, parts: Iterable[Part], seen: set[str] | None = None) -> Iterator[Tag]:
    """Yield the tags of some parts and of the macros that they call."""
    seen = set() if seen is None else seen
    for part in walk(parts):
        if isinstance(part, Tag) and part.kind != "comment":
            yield part
            for name in called(tag_tree(part)):
                if name in source.macros and name not in seen:
                    seen.add(name)
                    yield from reach(source, source.macros[name].arms[0].children, seen)


def loop_of(block: Block) -> tuple[str, str]:
    """Return a loop's variable and the text of what it runs over.

    Raises SkippedError for loops over pairs and loops that leave items out.
    """
    tree = tag_tree(block.arms[0].tag).body[0]
    assert isinstance(tree, nodes.For)
    if not isinstance(tree.target, nodes.Name) or tree.test is not None or tree.recursive:
        raise SkippedError(f"the loop {block.arms[0].tag.body.strip()!r} has a form that is not known")
    return tree.target.name, block.arms[0].tag.rest.partition(" in ")[2].strip()


def message_loop(source: Source) -> Block:
    """Return the loop that writes the messages.

    Raises SkippedError when there is none, or more than one.
    """
    found = [
        block
        for block in blocks(source.parts, "for", into=("if", "with", "generation"))
        if "<|start|>" in source.writes([block]) and branches(block, "assistant")
    ]
    return only(found, "the loop over the messages")


def branches(loop: Block, role: str) -> list[Branch]:
    """Return the branches of a message loop that test for a role."""
    found: list[Branch] = []
    tree = tag_tree(loop.arms[0].tag).body[0]
    plain = isinstance(tree, nodes.For) and isinstance(tree.target, nodes.Name)
    variable = tree.target.name if plain else None  # type: ignore[attr-defined]
    for block in blocks(loop.arms[0].children, "if", into=("if", "generation")):
        for number, arm in enumerate(block.arms):
            inside = any(block.start > outer.span[0] and block.end <= outer.span[1] for outer in found)
            if not inside and role in _roles(arm.tag, variable):
                found.append(Branch(block, number))
    return found


def _roles(tag: Tag, variable: str | None) -> set[str]:
    """Return the roles that a test names, if it is one of the role of the loop's message."""
    tree = tag_tree(tag)
    names = {name.name for name in tree.find_all(nodes.Name)}
    keys = {node.attr for node in tree.find_all(nodes.Getattr)}
    words = {const.value for const in tree.find_all(nodes.Const) if isinstance(const.value, str)}
    if "role" not in names and not (variable in names and "role" in keys | words):
        return set()
    return words & {"assistant", "tool", "user", "system", "developer"}


def only(found: list[_Found], what: str) -> _Found:
    """Return the only one of what was found.

    Raises SkippedError when there is none, or more than one.
    """
    if len(found) != 1:
        times = (
            "not found" if not found else "found twice" if len(found) == 2 else f"found {len(found)} times"
        )
        raise SkippedError(f"{what} was {times}")
    return found[0]


def developer_block(source: Source) -> Block:
    """Return the if block that writes the developer message.

    Raises SkippedError when there is none, or more than one.
    """
    found: list[Block] = []
    for block in blocks(source.parts, "if", into=("if",)):
        inside = any(outer.start < block.start < outer.end for outer in found)
        has_loop = any(branches(loop, "user") for loop in blocks([block], "for"))
        if not inside and not has_loop and "developer<|message|>" in source.writes([block]):
            found.append(block)
    return only(found, "the block that writes the developer message")


def siblings(parts: list[Part]) -> Iterator[list[Part]]:
    """Yield every list of parts that stand beside each other."""
    yield parts
    for part in parts:
        if isinstance(part, Block):
            for arm in part.arms:
                yield from siblings(arm.children)


def tools_loop(source: Source) -> tuple[list[Part], Block]:
    """Return the loop that writes the tools, and the parts that it stands among.

    Raises SkippedError when there is none, or more than one.
    """
    found = []
    for level in siblings(source.parts):
        for part in level:
            if isinstance(part, Block) and part.keyword == "for":
                written = source.writes(part.arms[0].children)
                if "type " in written and "=> any" in written and "<|start|>" not in written:
                    found.append((level, part))
    only([part for _, part in found], "the loop over the tools")
    return found[0]


def refuse_media(source: Source, parts: Iterable[Part], where: str) -> None:
    """Raise SkippedError when some parts handle images, sound or video, which Harmony cannot judge."""
    for tag in reach(source, parts):
        words = {c.value for c in tag_tree(tag).find_all(nodes.Const) if isinstance(c.value, str)}
        if tag.kind == "statement" and (media := words & _MEDIA):
            raise SkippedError(f"{where} handles {min(media)!r} parts, which Harmony cannot judge")


def refuse_unknown_keys(
    source: Source, parts: Iterable[Part], variable: str, known: Iterable[str], where: str
) -> None:
    """Raise SkippedError when some parts read other keys of a message than those the oracle can judge."""
    for tag in reach(source, parts):
        tree = tag_tree(tag)
        reads: list[nodes.Getattr | nodes.Getitem] = [
            *tree.find_all(nodes.Getattr),
            *tree.find_all(nodes.Getitem),
        ]
        for node in reads:
            if not (isinstance(node.node, nodes.Name) and node.node.name == variable):
                continue
            key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
            if isinstance(key, str) and key not in known and key not in ("get", "items", "keys"):
                raise SkippedError(f"{where} reads {variable}.{key}, which Harmony cannot judge")


def refuse_unknown_names(source: Source, parts: list[Part], known: Iterable[str], where: str) -> None:
    """Raise SkippedError when some parts read other variables than those the oracle can judge."""
    read: set[str] = set()
    own: set[str] = set(source.macros)
    for tag in reach(source, parts):
        for name in tag_tree(tag).find_all(nodes.Name):
            (read if name.ctx == "load" else own).add(name.name)
    for macro in source.macros.values():
        own.update(
            name.name for name in tag_tree(macro.arms[0].tag).find_all(nodes.Name) if name.ctx != "load"
        )
    if unknown := read - own - set(known):
        raise SkippedError(f"{where} reads {min(unknown)}, which Harmony cannot judge")
