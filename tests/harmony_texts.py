"""Prompts written by hand as an oracle would return them: blocks found in the text."""

from __future__ import annotations

import re

from conformance.compare.align import align, side_by_side
from conformance.compare.tokens import server_tokens
from conformance.oracles.base import Block, Kind, Rendering

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"(?!.*<\|message\|>)", "prompt"),
    ("system", "system"),
    ("developer", "developer"),
    ("user", "user"),
    ("functions", "result"),
    (r"assistant to=|assistant<\|channel\|>commentary to=", "call"),
    (r"assistant<\|channel\|>analysis", "thinking"),
    (r"assistant<\|channel\|>commentary", "preamble"),
    ("assistant", "final"),
)


def rendering_of(text: str) -> Rendering:
    """Return a prompt without hostile text as a rendering, its tokens those of a server."""
    blocks = []
    for number, part in enumerate(re.split(r"(?=<\|start\|>)", text)):
        if part:
            kinds = (k for p, k in _KINDS if re.match(p, part.removeprefix("<|start|>"), re.DOTALL))
            blocks.append(Block(next(kinds, "user"), number - 1, [("message", "", part)]))
    return Rendering(text, server_tokens(text), blocks)


def messages_of(expected: str, actual: str):
    """Return two prompts side by side."""
    rendering = rendering_of(expected)
    return side_by_side(rendering, align(rendering, actual))
