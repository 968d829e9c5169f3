"""What the oracle's tests share: one oracle a profile, and a short way to write cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Options,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profiles

CaseOf = Callable[..., Case]


@pytest.fixture(scope="session")
def oracles() -> Mapping[str, HarmonyOracle]:
    return {name: HarmonyOracle(name) for name in profiles()}


@pytest.fixture(scope="session")
def oracle(oracles: Mapping[str, HarmonyOracle]) -> HarmonyOracle:
    return oracles["harmony"]


def _message(item: str | Message) -> Message:
    """Read `user: text`, `thinking: text`, `final: text`, `system: text`, `developer: text`."""
    if not isinstance(item, str):
        return item
    kind, _, text = item.partition(": ")
    match kind:
        case "user":
            return User(text=text)
        case "thinking":
            return Assistant(thinking=text)
        case "final":
            return Assistant(final=text)
        case "system" | "developer":
            return Instructions(text=text, role=kind)
        case "call":
            return Assistant(calls=(ToolCall(name=text, arguments={}),))
        case "result":
            number, _, content = text.partition(" ")
            return ToolResult(call=int(number), content=content)
    raise ValueError(item)


@pytest.fixture(scope="session")
def case_of() -> CaseOf:
    def build(*messages: str | Message, tools: tuple[Tool, ...] = (), **options: Any) -> Case:
        return Case(
            conversation=Conversation(messages=tuple(map(_message, messages)), tools=tools),
            options=Options(**options),
        )

    return build
