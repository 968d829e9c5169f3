"""A template's source taken apart into tags and blocks that know their place, so that a part can be replaced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

from jinja2 import nodes
from jinja2.exceptions import TemplateError

from conformance.template.marks import parse

_OPEN = re.compile(r"\{\{|\{%|\{#")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_CLOSE = {"{{": "}}", "{%": "%}", "{#": "#}"}
_PAIRED = frozenset(("if", "for", "macro", "call", "filter", "with", "block", "generation", "autoescape"))
_ARMS = frozenset(("elif", "else"))
# What hosts and Jinja give every template; the rest of a template's free names are its own.
GIVEN = frozenset((
    "messages", "tools", "add_generation_prompt", "continue_final_message", "bos_token", "eos_token", "pad_token",
    "unk_token", "model_identity", "reasoning_effort", "builtin_tools", "strftime_now", "current_date",
    "raise_exception", "documents", "loop", "namespace", "range", "dict", "lipsum", "cycler", "joiner", "caller",
    "varargs", "kwargs", "self",
))  # fmt: skip
_RAW_END = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")


@dataclass(frozen=True, slots=True)
class Text:
    """Text between tags, which the template writes as it is."""

    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag; `body` is what stands between the delimiters and their whitespace marks."""

    kind: Literal["output", "statement", "comment"]
    start: int
    end: int
    body: str
    keyword: str

    @property
    def rest(self) -> str:
        """The body without the keyword of a statement."""
        return self.body.strip()[len(self.keyword) :].strip()


@dataclass(frozen=True, slots=True)
class Arm:
    """One branch of a block: the tag that opens it and what is inside."""

    tag: Tag
    children: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Block:
    """An opening tag with all that belongs to it, up to its end tag."""

    keyword: str
    arms: list[Arm]
    last: Tag

    @property
    def start(self) -> int:
        """Where the opening tag begins."""
        return self.arms[0].tag.start

    @property
    def end(self) -> int:
        """Where the end tag ends."""
        return self.last.end


Part: TypeAlias = Text | Tag | Block


class UnreadableError(Exception):
    """The source is no template that can be taken apart."""


class Source:
    """A template's source with its parts; every position is an offset into `text`.

    Raises UnreadableError where Jinja cannot parse it.
    """

    def __init__(self, text: str) -> None:
        # Jinja reads every line end as \n; offsets have to agree with what is written back.
        self.text = text
        try:
            self._syntax = parse(text)
        except (TemplateError, RecursionError) as error:
            raise UnreadableError(str(error)) from None
        self.parts, rest = _tree(list(scan(text)))
        if rest:
            raise UnreadableError(f"the tag {rest[0]} ends nothing")

    @cached_property
    def macros(self) -> dict[str, Block]:
        """The macros by name."""
        found = (part for part in walk(self.parts) if isinstance(part, Block) and part.keyword == "macro")
        return {block.arms[0].tag.rest.partition("(")[0].strip(): block for block in found}

    @property
    def own_arguments(self) -> set[str]:
        """What the template reads, sets nowhere and no host gives it unasked: its own keyword arguments.

        A function that it calls is the host's, whatever its name: no client hands one over.
        """
        calls = [call.node for call in self._syntax.find_all(nodes.Call)]
        names = list(self._syntax.find_all(nodes.Name))
        defined = {name.name for name in names if name.ctx != "load"}
        defined |= {macro.name for macro in self._syntax.find_all(nodes.Macro)}
        read = {name.name for name in names if name.ctx == "load" and not any(name is call for call in calls)}
        return read - defined - GIVEN

    def replaced(self, *changes: tuple[int, int, str]) -> str:
        """Return the text with some stretches replaced; they must not overlap."""
        text = self.text
        for start, end, new in sorted(changes, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def slice(self, first: Part, last: Part) -> str:
        """Return the text from the begin of one part to the end of another."""
        return self.text[first.start : last.end]

    def indent(self, part: Part) -> str:
        """Return the blanks before a part that begins its line; empty when other things stand there."""
        line = self.text[self.text.rfind("\n", 0, part.start) + 1 : part.start]
        return line if not line.strip() else ""

    def writes(self, parts: Iterable[Part]) -> str:
        """Return the constant text that some parts write, that of the macros they call included."""
        return "".join(self._written(parts, set()))

    def _written(self, parts: Iterable[Part], seen: set[str]) -> Iterator[str]:
        for part in walk(parts):
            if isinstance(part, Text):
                yield part.value
            elif isinstance(part, Tag) and part.kind != "comment":
                tree = tag_tree(part)
                # What a test compares with is not written.
                if part.kind == "output" or part.keyword == "set":
                    for const in tree.find_all(nodes.Const):
                        if isinstance(const.value, str):
                            yield const.value
                for name in called(tree):
                    if name in self.macros and name not in seen:
                        seen.add(name)
                        yield from self._written(self.macros[name].arms[0].children, seen)


def walk(parts: Iterable[Part], *, into: Iterable[str] | None = None) -> Iterator[Part]:
    """Yield parts and all that is inside them in the order of the source, opening tags included.

    `into` limits which kinds of blocks are entered.
    """
    for part in parts:
        yield part
        if isinstance(part, Block) and (into is None or part.keyword in into):
            for arm in part.arms:
                yield arm.tag
                yield from walk(arm.children, into=into)


def blocks(parts: Iterable[Part], keyword: str, *, into: Iterable[str] | None = None) -> Iterator[Block]:
    """Yield the blocks of one kind."""
    for part in walk(parts, into=into):
        if isinstance(part, Block) and part.keyword == keyword:
            yield part


@lru_cache(maxsize=4096)
def tag_tree(tag: Tag) -> nodes.Template:
    """Return the syntax tree of one tag, a block's opening tag as if the block were empty."""
    if tag.kind == "comment":
        return nodes.Template([])
    body = tag.body.strip()
    if tag.kind == "output":
        source = "{{ " + body + " }}"
    elif tag.keyword in ("elif", "else"):
        source = "{% if " + (tag.rest or "true") + " %}{% endif %}"
    elif tag.keyword == "set" and is_set_block(tag):
        source = "{% " + body + " %}{% endset %}"
    elif tag.keyword in _PAIRED:
        source = "{% " + body + " %}{% end" + tag.keyword + " %}"
    elif tag.keyword.startswith("end"):
        return nodes.Template([])
    else:
        source = "{% " + body + " %}"
    return parse(source)


def called(tree: nodes.Node) -> list[str]:
    """Return the names of the functions that a syntax tree calls."""
    return [call.node.name for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Name)]


def names_read(parts: Iterable[Part]) -> set[str]:
    """Return the names of the variables and functions that some parts read."""
    return {
        name.name
        for part in walk(parts)
        if isinstance(part, Tag)
        for name in tag_tree(part).find_all(nodes.Name)
        if name.ctx == "load"
    }


def constants(tag: Tag) -> list[str]:
    """Return the string constants of a tag."""
    return [c.value for c in tag_tree(tag).find_all(nodes.Const) if isinstance(c.value, str)]


def is_set_block(tag: Tag) -> bool:
    """Return whether a set statement collects a block instead of assigning a value."""
    return "=" not in _STRING.sub("", tag.rest)


def scan(text: str) -> Iterator[Text | Tag]:
    """Yield the tags of a template and the text between them."""
    position = 0
    while (opening := _OPEN.search(text, position)) is not None:
        if opening.start() > position:
            yield Text(position, opening.start(), text[position : opening.start()])
        tag = _tag(text, opening.start(), opening[0])
        yield tag
        position = tag.end
        if tag.keyword == "raw":
            end = _RAW_END.search(text, position)
            if end is None:
                raise UnreadableError("a raw block has no end")
            yield Text(position, end.start(), text[position : end.start()])
            position = end.end()
    if position < len(text):
        yield Text(position, len(text), text[position:])


def _tag(text: str, start: int, opening: str) -> Tag:
    close = _CLOSE[opening]
    position = start + 2
    if opening == "{#":
        end = text.find(close, position)
    else:
        end, depth = -1, 0
        while position < len(text):
            if depth == 0 and text.startswith(close, position):
                end = position
                break
            # A mapping's own braces may stand right before the end: {{ {'a': {}} }}.
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            string = _STRING.match(text, position)
            position = string.end() if string else position + 1
    if end < 0:
        raise UnreadableError(f"the tag at character {start} has no end")
    body = text[start + 2 : end]
    body = body[1:] if body[:1] in "-+" and body else body
    body = body[:-1] if body[-1:] in ("-", "+") else body
    kind: Literal["output", "statement", "comment"] = "comment"
    keyword = ""
    if opening == "{{":
        kind = "output"
    elif opening == "{%":
        kind = "statement"
        word = re.match(r"\s*(\w+)", body)
        keyword = word[1] if word else ""
    return Tag(kind, start, end + 2, body, keyword)


def _tree(tokens: list[Text | Tag]) -> tuple[list[Part], list[str]]:
    """Nest tags into blocks; returns the top level and the names of end tags that end nothing."""
    top: list[Part] = []
    level = top
    stack: list[tuple[Block, list[Part]]] = []
    for token in tokens:
        if isinstance(token, Text) or token.kind != "statement":
            level.append(token)
        elif token.keyword in _PAIRED or (token.keyword == "set" and is_set_block(token)):
            block = Block(token.keyword, [Arm(token)], token)
            stack.append((block, level))
            level = block.arms[0].children
        elif token.keyword in _ARMS and stack:
            stack[-1][0].arms.append(Arm(token))
            level = stack[-1][0].arms[-1].children
        elif token.keyword.startswith("end") and token.keyword != "endraw":
            if not stack:
                return top, [token.keyword]
            block, level = stack.pop()
            level.append(Block(block.keyword, block.arms, token))
        else:
            level.append(token)
    return top, [stack[-1][0].keyword] if stack else []
