"""The probes: a hand-built family of conversations, their manners, and conversations of the generator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks.manners import MANNERS
from conformance.checks.probe import Probe
from conformance.conversation import (
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Tool,
    ToolCall,
    ToolResult,
    User,
)
from conformance.generate import case_at

# So many cases of the generator are looked at for one whose structure any client could send.
_TRIES = 40


def _schema(number: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            f"paramname{number}": {"type": "string", "description": f"Paramword{number} of the tool."},
            f"choicename{number}": {
                "type": "string",
                "enum": [f"enumword{number}"],
                "description": f"Choiceword{number} of the tool.",
            },
        },
        "required": [f"paramname{number}"],
    }


def _tool(number: int) -> Tool:
    return Tool(
        name=f"toolname{number}", description=f"Toolword{number} does it.", parameters=_schema(number)
    )


# A tool for conversations that have none of their own.
TOOL = _tool(1)


def _call(number: int, tool: int = 1) -> ToolCall:
    return ToolCall(name=f"toolname{tool}", arguments={f"paramname{tool}": f"Argword{number}"})


def _system(number: int = 1) -> Instructions:
    return Instructions(text=f"Sysword{number} rules here.")


def _user(number: int = 1) -> User:
    return User(text=f"Userword{number} asks this.")


def _final(number: int = 1, *, thinking: bool = False) -> Assistant:
    return Assistant(
        final=f"Finalword{number} is the answer.",
        thinking=f"Thinkword{number} in between." if thinking else None,
    )


def _step(
    *numbers: int, preamble: bool = False, thinking: bool = False, tools: tuple[int, ...] = (1, 1)
) -> Assistant:
    return Assistant(
        thinking=f"Thinkword{numbers[0]} in between." if thinking else None,
        preamble=f"Preword{numbers[0]} comes first." if preamble else None,
        calls=tuple(_call(number, tool) for number, tool in zip(numbers, tools, strict=False)),
    )


def _result(number: int = 1) -> ToolResult:
    return ToolResult(call=number - 1, content=f"Resultword{number} came back.")


def _probe(name: str, *messages: Message, tools: int = 0, basic: bool = False) -> Probe:
    offered = tuple(_tool(number) for number in range(1, tools + 1))
    return Probe(name, Case(conversation=Conversation(messages=messages, tools=offered)), basic=basic)


def hand_built() -> list[Probe]:
    """Return the family in the plain manner, the smallest first."""
    loop = (_user(), _step(1), _result())
    found = [
        _probe("user", _user(), basic=True),
        _probe("user-final-user", _user(), _final(), _user(2), basic=True),
        _probe("user-final", _user(), _final(), basic=True),
        _probe("system-user", _system(), _user()),
        _probe("system-user-final-user", _system(), _user(), _final(), _user(2)),
        _probe("three-turns", _system(), _user(), _final(), _user(2), _final(2), _user(3)),
        _probe("trained-turns", _system(), _user(), _final(), _user(2), _final(2)),
        _probe("two-users", _user(), _user(2)),
        _probe("later-system", _user(), _final(), _system(), _user(2)),
        _probe("thinking-turns", _user(), _final(thinking=True), _user(2)),
        _probe("thinking-trained", _user(), _final(thinking=True), _user(2), _final(2, thinking=True)),
        _probe("tool-user", _user(), tools=1),
        _probe("tool-system-user", _system(), _user(), tools=1),
        _probe("two-tools", _user(), tools=2),
        _probe("tool-user-final-user", _user(), _final(), _user(2), tools=1),
        _probe("tool-loop", *loop, tools=1),
        _probe("tool-loop-final", *loop, _final(), tools=1),
        _probe("tool-loop-final-user", *loop, _final(), _user(2), tools=1),
        _probe("system-tool-loop", _system(), *loop, _final(), _user(2), tools=1),
        _probe("two-loops", *loop, _step(2), _result(2), tools=1),
        _probe("preamble", _user(), _step(1, preamble=True), _result(), tools=1),
        _probe("thinking-call", _user(), _step(1, thinking=True), _result(), tools=1),
        _probe(
            "thinking-call-final", _user(), _step(1, thinking=True), _result(), _final(), _user(2), tools=1
        ),
        _probe("parallel-calls", _user(), _step(1, 2, tools=(1, 2)), _result(), _result(2), tools=2),
        _probe("same-tool-twice", _user(), _step(1, 2), _result(), _result(2), _final(), tools=1),
        _probe("loop-in-second-turn", _user(), _final(), _user(2), _step(1), _result(), tools=1),
    ]
    return sorted(found, key=lambda probe: probe.size)


def in_manners() -> list[Probe]:
    """Return the probes that are handed over in another manner, each beside one of the family."""
    plain = {probe.name: probe for probe in hand_built()}
    found: list[Probe] = []
    for manner, names in MANNERS:
        for name in names:
            twin = plain[name]
            found.append(Probe(f"{name}+{manner.name}", twin.case, manner))
    return found


def generated(seed: int, count: int) -> Iterator[Probe]:
    """Yield `count` probes with the structure of generated conversations, every text replaced by a word.

    Taken are structures that clients of any model send: instructions first, turns that take turns, every
    call answered in order.
    """
    index = made = 0
    while made < count and index < count * _TRIES:
        conversation = case_at(seed, index).conversation
        index += 1
        if _usual(conversation):
            made += 1
            yield Probe(f"generated-{index - 1}", Case(conversation=_in_words(conversation)))


def _usual(conversation: Conversation) -> bool:
    """Say whether any client could send this; names and arguments are replaced, so only the order counts."""
    expected: tuple[type[Message], ...] = (Instructions, User)
    open_calls: list[int] = []
    made = 0
    offered = {tool.name for tool in conversation.tools}
    for message in conversation.messages:
        if not isinstance(message, expected):
            return False
        if isinstance(message, Assistant):
            if not message.calls and not message.final:
                return False
            if any(call.name not in offered for call in message.calls):
                return False
            open_calls = list(range(made, made + len(message.calls)))
            made += len(message.calls)
        elif isinstance(message, ToolResult) and message.call != open_calls.pop(0):
            return False
        if open_calls:
            expected = (ToolResult,)
        elif isinstance(message, Instructions):
            expected = (User,)
        elif isinstance(message, User | ToolResult):
            expected = (Assistant,)
        else:
            expected = (User,)
    last = conversation.messages[-1] if conversation.messages else None
    return last is not None and not open_calls and not isinstance(last, Instructions)


def _in_words(conversation: Conversation) -> Conversation:
    numbers = {tool.name: number for number, tool in enumerate(conversation.tools, 1)}
    counts: dict[str, int] = {}

    def count(kind: str) -> int:
        counts[kind] = counts.get(kind, 0) + 1
        return counts[kind]

    messages: list[Message] = []
    for message in conversation.messages:
        match message:
            case Instructions():
                messages.append(_system(count("system")))
            case User():
                messages.append(_user(count("user")))
            case ToolResult(call=call):
                assert call is not None  # `_usual` took none without
                messages.append(_result(call + 1))
            case Assistant(thinking=thinking, preamble=preamble, calls=calls):
                step = count("step")
                called = tuple(_call(count("call"), numbers[call.name]) for call in calls)
                messages.append(
                    Assistant(
                        thinking=f"Thinkword{step} in between." if thinking else None,
                        preamble=f"Preword{step} comes first." if preamble and calls else None,
                        calls=called,
                        final=None if calls else f"Finalword{step} is the answer.",
                    )
                )
    return Conversation(messages=tuple(messages), tools=tuple(_tool(number) for number in numbers.values()))


def probes(seed: int, count: int) -> list[Probe]:
    """Return all probes, of each rule's possible examples the smallest first: `count` generated ones among them."""
    plain = [*hand_built(), *generated(seed, count)]
    return sorted(plain, key=lambda probe: probe.size) + in_manners()
