"""The oracle: an authority, a library that renders Harmony, under one profile; its text and tokens are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from conformance.conversation import Case
from conformance.oracles.authorities import DEFAULT, Authority, find
from conformance.oracles.base import Block, Rendering
from conformance.oracles.departures import moved_tokens, recipient_after_channel
from conformance.oracles.library import Heard, OracleRefusedError
from conformance.oracles.load import authority
from conformance.oracles.opening import Raw, Shared
from conformance.oracles.plan import Plan, plan
from conformance.oracles.profile import Profile, profile

# Of o200k_harmony; what users write never makes them.
_START, _MESSAGE = 200_006, 200_008

__all__ = ["HarmonyOracle", "OracleRefusedError"]


class HarmonyOracle:
    """Renders cases under one profile; `layout_failures` counts cases whose spans fell back to message level.

    Raises UnjudgedError when the authority cannot be had.
    """

    def __init__(self, chosen: Profile | str = "harmony", name: str = DEFAULT) -> None:
        asked = profile(chosen) if isinstance(chosen, str) else chosen
        # What this library reads its own way, whatever it is given.
        self.profile = asked.as_rendered_by(profile(find(name).profile))
        self._departs = name == DEFAULT
        self.layout_failures = 0
        self._library = authority(name)

    @property
    def authority(self) -> Authority:
        """Which library answers."""
        return self._library.authority

    def render(self, case: Case, shared: Shared | None = None) -> Rendering:
        """Render a case: the authority's text and tokens, with spans; `shared` is what other profiles wrote of it.

        Raises OracleRefusedError when the authority does not accept the conversation, crashes or hangs.
        """
        made = plan(case, self.profile, shared)
        tokens = self.tokens(made, case.options.mode)
        text = self._library.decode_utf8(tokens)
        changed = [new is not old for new, old in zip(made.written, made.kept, strict=True)]
        if not self._departs:
            made.kept, changed = made.written, []
        blocks, exact = made.kept, text == "".join([block.text for block in made.kept])
        if not exact:
            self.layout_failures += 1
            blocks = self._message_blocks(made, text)
        if any(changed):
            blocks, tokens = self._departed(made, blocks, tokens, exact=exact)
            text = "".join([block.text for block in blocks])
        return Rendering(text, tokens, blocks, made.dropped, exact_spans=exact)

    def tokens(self, made: Plan, mode: str) -> list[int]:
        """Return the authority's tokens for a plan.

        Raises OracleRefusedError when it does not accept it, crashes or hangs.
        """
        said = made.messages[: len(made.messages) - made.open]
        tokens = self._library.render(said, training=mode == "training", auto_drop=made.auto_drop)
        return [*tokens, *self._opened(made, tokens)] if made.open else tokens

    def _opened(self, made: Plan, prompt: list[int]) -> list[int]:
        """Return the tokens of the messages that the model is writing, as they go on after a prompt."""
        out: list[int] = []
        for raw in made.messages[-made.open :]:
            out += self._library.render_message(raw, function_tools=False)
        begun = prompt[len(prompt) - prompt[::-1].index(_START) - 1 :]
        if out[: len(begun)] != begun:
            raise OracleRefusedError("the message to be continued does not begin as the prompt ends")
        return out[len(begun) : -1]

    def layout(self, case: Case, shared: Shared | None = None) -> str:
        """Return the text a case should have by the layout alone, which costs a twentieth of asking Harmony."""
        return "".join([block.text for block in plan(case, self.profile, shared).written])

    def _departed(
        self, made: Plan, blocks: list[Block], tokens: list[int], *, exact: bool
    ) -> tuple[list[Block], list[int]]:
        """Return Harmony's blocks and tokens after what the profile reads otherwise than the library writes.

        Raises OracleRefusedError where that needs the layout, which is not `exact`.
        """
        starts = [at for at, token in enumerate(tokens) if token == _START]
        assert len(starts) == len(blocks)
        read, out = list[Block](), list[int]()
        ends = [*starts[1:], len(tokens)]
        for block, old, new, start, end in zip(blocks, made.kept, made.written, starts, ends, strict=True):
            own = tokens[start:end]
            if new is old:
                read.append(block)
                out += own
            elif new.kind == "developer":
                if not exact:
                    raise OracleRefusedError(
                        f"the layout does not explain this text, so {self.profile.name} cannot change its exponents"
                    )
                # The content is one text to Harmony, between the header and the end.
                head = own.index(_MESSAGE) + 1
                said = "".join([text for region, _, text in new.pieces if region not in ("header", "end")])
                read.append(new)
                out += [*own[:head], *self._library.encode(said, special=False), own[-1]]
            else:
                read.append(recipient_after_channel(block))
                out += moved_tokens(own, block, self.encode)
        return read, out

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
            # The last one may end otherwise, or not at all.
            stretch = text[offset : offset + length]
            if block is made.kept[-1]:
                stretch = text[offset:]
            blocks.append(Block(block.kind, block.index, [("message", "", stretch)], block.call, stretch))
            offset += len(stretch)
        return blocks


def _content(raw: Raw) -> dict[str, Any]:
    return cast("dict[str, Any]", raw["content"][0])
