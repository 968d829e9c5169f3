"""What an oracle returns: text, tokens and the spans that say which part of the case each stretch is."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

# What a message is: `instructions` are later ones, `prompt` is the generation prompt.
Kind: TypeAlias = Literal[
    "system", "developer", "instructions", "user", "thinking", "preamble", "call", "result", "final", "prompt"
]
# The regions that Harmony's text is written in, piece by piece.
Region: TypeAlias = Literal[
    "message",  # a whole message, or none of the others
    # any message
    "header", "author", "recipient", "channel", "content-type", "content", "end", "prompt",
    # the system message
    "identity", "cutoff", "current-date", "reasoning-effort", "builtin-tools", "channels", "functions-note",
    # the developer message
    "instructions-heading", "instructions", "tools-heading", "namespace", "response-formats",
    # a tool
    "tool", "tool-description", "no-parameters",
    # a property
    "title", "description", "examples", "name", "comma", "default", "line-end", "one-of-name", "one-of-default",
    # a type
    "type", "nullable", "type-union", "enum", "array", "array-any", "one-of", "one-of-comment", "object",
    "object-description",
]  # fmt: skip

# One stretch of a message: region, path within the region, text. A path leads from a tool to a property
# (`WITHIN`) and to an array's element or a variant (`BELOW`); names may hold dots and brackets themselves.
Piece: TypeAlias = tuple[Region, str, str]
WITHIN, BELOW = "\x1f", "\x1e"


def shown_path(path: str) -> str:
    """Return a path as people read it: `tool.property.inner[]`."""
    return path.replace(WITHIN, ".").replace(BELOW, "")


@dataclass(slots=True)
class Block:
    """One Harmony message: where it comes from in the conversation, and its text piece by piece.

    `index` is the position of the message in the conversation, -1 for what belongs to none; `call` counts
    tool calls over the conversation.
    """

    kind: Kind
    index: int
    pieces: list[Piece]
    call: int = -1
    text: str = ""

    def __post_init__(self) -> None:
        if not self.text:
            self.text = "".join([piece[2] for piece in self.pieces])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an offset lies: block number, its kind, the message in the conversation, region and path."""

    block: int
    kind: Kind
    message_index: int | None
    region: Region
    path: str


@dataclass
class Rendering:
    """A rendered case: text, tokens, and blocks whose texts joined are the text.

    `dropped` are the thinking blocks that the profile leaves out, each with the number of the block before
    which it would stand. `exact_spans` is False where the layout did not reproduce the text and regions
    are unknown.
    """

    text: str
    tokens: list[int]
    blocks: list[Block]
    dropped: list[tuple[int, Block]] = field(default_factory=list)
    exact_spans: bool = True

    @cached_property
    def block_starts(self) -> list[int]:
        """Offset in characters at which each block begins."""
        starts, offset = [], 0
        for block in self.blocks:
            starts.append(offset)
            offset += len(block.text)
        return starts

    def place(self, offset: int) -> Place:
        """Say which block, region and path the character at `offset` belongs to (the last one at the end)."""
        number = max(0, bisect_right(self.block_starts, offset) - 1)
        # Empty blocks share their start with the next one; the one with text is meant.
        block = self.blocks[number]
        left = offset - self.block_starts[number]
        region: Region = "message"
        path = ""
        for piece in block.pieces:
            region, path = piece[0], shown_path(piece[1])
            if left < len(piece[2]):
                break
            left -= len(piece[2])
        index = block.index if block.index >= 0 else None
        return Place(number, block.kind, index, region, path)
