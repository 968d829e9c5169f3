"""The oracle: OpenAI's Harmony library renders a case, and its text and tokens are the right answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from conformance.conversation import Case
from conformance.errors import UnjudgedError
from conformance.oracles import vocabulary
from conformance.oracles.base import Block, Rendering
from conformance.oracles.departures import moved_tokens
from conformance.oracles.plan import Plan, Raw, plan
from conformance.oracles.profile import Profile, profile

# Of o200k_harmony; what users write never makes them.
_START, _MESSAGE = 200_006, 200_008

if TYPE_CHECKING:
    from openai_harmony import Conversation, HarmonyEncoding, Message


class OracleRefusedError(Exception):
    """Harmony refused to render a case; the message is Harmony's."""


@dataclass(frozen=True, slots=True)
class _Wire:
    """What the library's render functions ask of a conversation: its JSON.

    Building the library's pydantic models first would double the time of a render and end in the same JSON.
    """

    messages: list[Raw]

    def to_json(self) -> str:
        return json.dumps({"messages": self.messages})


@cache
def encoding() -> HarmonyEncoding:
    """Load Harmony's gpt-oss encoding once.

    Raises UnjudgedError when the library or its vocabulary is missing.
    """
    try:
        from openai_harmony import HarmonyEncodingName, load_harmony_encoding
    except ImportError as error:
        raise UnjudgedError(
            f"The oracle is missing ({error}); install it with `python -m pip install openai-harmony`."
        ) from None
    vocabulary.prepare()
    try:
        return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    except Exception as error:  # HarmonyError, or whatever a version that does not fit raises
        raise UnjudgedError(f"Harmony cannot be loaded ({error}); {vocabulary.WAY_OUT}.") from None


class HarmonyOracle:
    """Renders cases under one profile; `layout_failures` counts cases whose spans fell back to message level."""

    def __init__(self, chosen: Profile | str = "harmony") -> None:
        self.profile = profile(chosen) if isinstance(chosen, str) else chosen
        self.layout_failures = 0
        self._encoding = encoding()  # first, for it explains what to do where the library is missing
        from openai_harmony import RenderConversationConfig, Role

        self._assistant = Role.ASSISTANT
        self._drop = RenderConversationConfig(auto_drop_analysis=True)
        self._keep = RenderConversationConfig(auto_drop_analysis=False)

    def render(self, case: Case) -> Rendering:
        """Render a case: Harmony's text and tokens, with spans.

        Raises OracleRefusedError when Harmony does not accept the conversation.
        """
        made = plan(case, self.profile)
        tokens = self.tokens(made, case.options.mode)
        text = self._encoding.decode_utf8(tokens)
        if text == "".join([block.text for block in made.kept]):
            if all(new is old for new, old in zip(made.written, made.kept, strict=True)):
                return Rendering(text, tokens, made.kept, made.dropped)
            tokens = self._departed(made, tokens)
            return Rendering(
                "".join([block.text for block in made.written]), tokens, made.written, made.dropped
            )
        self.layout_failures += 1
        if any(new is not old for new, old in zip(made.written, made.kept, strict=True)):
            raise OracleRefusedError(
                f"the layout does not explain Harmony's text, so profile {self.profile.name} cannot be read from it"
            )
        return Rendering(text, tokens, self._message_blocks(made, text), exact_spans=False)

    def tokens(self, made: Plan, mode: str) -> list[int]:
        """Return Harmony's tokens for a plan.

        Raises OracleRefusedError when Harmony does not accept it.
        """
        wire = cast("Conversation", _Wire(made.messages))
        config = self._drop if made.auto_drop else self._keep
        try:
            tokens: list[int]
            if mode == "generation":
                tokens = self._encoding.render_conversation_for_completion(wire, self._assistant, config)
            else:
                tokens = self._encoding.render_conversation_for_training(wire, config)
        except Exception as error:  # the binding raises HarmonyError and plain ValueError alike
            raise OracleRefusedError(str(error)) from None
        return tokens

    def layout(self, case: Case) -> str:
        """Return the text a case should have by the layout alone, which costs a twentieth of asking Harmony."""
        return "".join([block.text for block in plan(case, self.profile).written])

    def _departed(self, made: Plan, tokens: list[int]) -> list[int]:
        """Return Harmony's tokens with the messages in which the profile departs from the library."""
        starts = [at for at, token in enumerate(tokens) if token == _START]
        assert len(starts) == len(made.kept)
        out: list[int] = []
        for old, new, start, end in zip(
            made.kept, made.written, starts, [*starts[1:], len(tokens)], strict=True
        ):
            own = tokens[start:end]
            if new is old:
                out += own
            elif new.kind == "developer":
                # The content is one text to Harmony, between the header and the end.
                head = own.index(_MESSAGE) + 1
                said = "".join([text for region, _, text in new.pieces if region not in ("header", "end")])
                out += [*own[:head], *self._encoding.encode(said, disallowed_special=()), own[-1]]
            else:
                out += moved_tokens(own, old, self.encode)
        return out

    def encode(self, text: str) -> list[int]:
        """Tokenize text as a server does: special tokens are recognised wherever they stand."""
        tokens: list[int] = self._encoding.encode(text, allowed_special="all")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        text: str = self._encoding.decode(list(tokens))
        return text

    def parse(self, tokens: Sequence[int], *, strict: bool = False) -> list[Message]:
        """Parse tokens back into Harmony messages with the library's own parser."""
        messages: list[Message] = self._encoding.parse_messages_from_completion_tokens(
            list(tokens), None, strict=strict
        )
        return messages

    def _message_blocks(self, made: Plan, text: str) -> list[Block]:
        """Find the message spans by rendering message by message, where the layout does not hold."""
        from openai_harmony import RenderOptions

        note = RenderOptions(
            conversation_has_function_tools=any("tools" in _content(raw) for raw in made.messages[1:2])
        )
        raws = {id(block): raw for block, raw in zip(made.blocks, made.messages, strict=True)}
        blocks, offset = [], 0
        for block in made.kept:
            raw = raws.get(id(block))
            length = len(block.text)
            if raw is not None:
                wire = cast("Message", _WireMessage(raw))
                length = len(self._encoding.decode_utf8(self._encoding.render(wire, note)))
            stretch = text[offset : offset + length]
            # `<|return|>` is longer than the `<|end|>` that a message by itself ends in.
            if block is made.kept[-1]:
                stretch = text[offset:]
            blocks.append(Block(block.kind, block.index, [("message", "", stretch)], block.call, stretch))
            offset += len(stretch)
        return blocks


@dataclass(frozen=True, slots=True)
class _WireMessage:
    raw: Raw

    def to_json(self) -> str:
        return json.dumps(self.raw)


def _content(raw: Raw) -> dict[str, Any]:
    return cast("dict[str, Any]", raw["content"][0])
