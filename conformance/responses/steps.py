"""Steps of the assistant as Harmony writes them behind a prompt: what a model that follows the format generates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from conformance.conversation import Assistant, Case, case_id
from conformance.generate import case_at
from conformance.oracles.base import Block
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.profile import profile

_HEADER = "<|start|>assistant"
_CONTROL = re.compile(r"<\|(?:start|end|message|channel|constrain|return|call)\|>")


@dataclass(frozen=True, slots=True)
class Step:
    """What the assistant said in one message, and Harmony's text of it: `written` behind `prompt`.

    `case` and `index` say where it comes from. `untold` says why no response template could give it back, empty where
    one can.
    """

    case: Case
    index: int
    said: Assistant
    prompt: str
    written: str
    untold: str = ""

    @property
    def name(self) -> str:
        """The case and the message in it, from 1."""
        return f"{case_id(self.case)}, message {self.index + 1}"


class Steps:
    """Makes steps from generated conversations, the same ones for the same seed.

    Raises UnjudgedError when Harmony cannot be had.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        keep = profile("harmony").with_setting(thinking_training="keep-all")
        self._oracle = HarmonyOracle(keep)

    def __iter__(self) -> Iterator[Step]:
        """Yield steps without end."""
        number = 0
        while True:
            yield from self.of(case_at(self._seed, number))
            number += 1

    def of(self, case: Case) -> Iterator[Step]:
        """Yield the steps of one conversation, whatever it is asked for."""
        said = {i: m for i, m in enumerate(case.conversation.messages) if isinstance(m, Assistant)}
        if not said:
            return
        whole = Case(case.conversation, msgspec.structs.replace(case.options, mode="training"))
        try:
            rendering = self._oracle.render(whole)
        except OracleRefusedError:
            return
        for index, message in said.items():
            own = [block for block in rendering.blocks if block.index == index]
            if not own or own[0].kind not in ("thinking", "preamble", "call", "final"):
                continue
            first = next(i for i, block in enumerate(rendering.blocks) if block is own[0])
            written = "".join(block.text for block in own).removeprefix(_HEADER)
            if own[-1].kind == "final":
                # In a history a final answer ends otherwise than when it is written.
                written = written.removesuffix("<|end|>").removesuffix("<|return|>") + "<|return|>"
            prompt = rendering.text[: rendering.block_starts[first]] + _HEADER
            yield Step(case, index, message, prompt, written, _untold(message, own))


def _untold(said: Assistant, own: list[Block]) -> str:
    texts = [text for block in own for region, _, text in block.pieces if region == "content"]
    if any(_CONTROL.search(text) for text in texts):
        return "its text holds control tokens, which no reader of text can tell from real ones"
    for call in said.calls:
        # Read as JSON it loses its quotes; read as text, an object would be text too.
        if isinstance(call.arguments, str) and call.arguments.strip().startswith('"'):
            return "the arguments of a call are a JSON string instead of an object"
    return ""
