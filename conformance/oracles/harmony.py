"""The oracle: an authority, a library that renders Harmony, under one profile; its text and tokens are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from conformance.conversation import Case
from conformance.oracles.authorities import DEFAULT, Authority
from conformance.oracles.base import Block, Profile, Rendering, profile
from conformance.oracles.library import Heard, OracleRefusedError
from conformance.oracles.load import authority
from conformance.oracles.plan import Plan, Raw, plan

__all__ = ["HarmonyOracle", "OracleRefusedError"]


class HarmonyOracle:
    """Renders cases under one profile; `layout_failures` counts cases whose spans fell back to message level.

    Raises UnjudgedError when the authority cannot be had.
    """

    def __init__(self, chosen: Profile | str = "harmony", name: str = DEFAULT) -> None:
        self.profile = profile(chosen) if isinstance(chosen, str) else chosen
        self.layout_failures = 0
        self._library = authority(name)

    @property
    def authority(self) -> Authority:
        """Which library answers."""
        return self._library.authority

    def render(self, case: Case) -> Rendering:
        """Render a case: the authority's text and tokens, with spans.

        Raises OracleRefusedError when the authority does not accept the conversation, crashes or hangs.
        """
        made = plan(case, self.profile)
        tokens = self.tokens(made, case.options.mode)
        text = self._library.decode_utf8(tokens)
        if text == "".join([block.text for block in made.kept]):
            return Rendering(text, tokens, made.kept, made.dropped)
        self.layout_failures += 1
        return Rendering(text, tokens, self._message_blocks(made, text), exact_spans=False)

    def tokens(self, made: Plan, mode: str) -> list[int]:
        """Return the authority's tokens for a plan.

        Raises OracleRefusedError when it does not accept it, crashes or hangs.
        """
        return self._library.render(made.messages, training=mode == "training", auto_drop=made.auto_drop)

    def layout(self, case: Case) -> str:
        """Return the text a case should have by the layout alone, which costs a twentieth of asking Harmony."""
        return "".join([block.text for block in plan(case, self.profile).kept])

    def encode(self, text: str) -> list[int]:
        """Tokenize text as a server does: special tokens are recognised wherever they stand."""
        return self._library.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._library.decode(tokens)

    def parse(self, tokens: Sequence[int], *, strict: bool = False) -> list[Heard]:
        """Parse tokens back into messages with the library's own parser."""
        return self._library.parse(tokens, strict=strict)

    def _message_blocks(self, made: Plan, text: str) -> list[Block]:
        """Find the message spans by rendering message by message, where the layout does not hold."""
        note = any("tools" in _content(raw) for raw in made.messages[1:2])
        raws = {id(block): raw for block, raw in zip(made.blocks, made.messages, strict=True)}
        blocks, offset = [], 0
        for block in made.kept:
            raw = raws.get(id(block))
            length = len(block.text)
            if raw is not None:
                tokens = self._library.render_message(raw, function_tools=note)
                length = len(self._library.decode_utf8(tokens))
            stretch = text[offset : offset + length]
            # `<|return|>` is longer than the `<|end|>` that a message by itself ends in.
            if block is made.kept[-1]:
                stretch = text[offset:]
            blocks.append(Block(block.kind, block.index, [("message", "", stretch)], block.call, stretch))
            offset += len(stretch)
        return blocks


def _content(raw: Raw) -> dict[str, Any]:
    return cast("dict[str, Any]", raw["content"][0])
