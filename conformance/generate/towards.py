"""Changes to a case that bring it towards what a condition asks for: with its literals, in places drawn at random.

A case that came as far as the condition is the best beginning: what is missing is often one key, one word, one message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from conformance.conversation import (
    TOOL_NAME,
    Assistant,
    BuiltinTool,
    Case,
    Conversation,
    Effort,
    Instructions,
    Message,
    Mode,
    Tool,
    ToolCall,
    ToolResult,
    User,
    check_case,
    keep_messages,
)
from conformance.errors import UsageError
from conformance.generate.draws import Draw, Weighted
from conformance.generate.towards_schema import changed_parameters
from conformance.generate.wants import Wants, near

_Change = Callable[[Case, Wants, Case, Draw], Case]
_LONGEST = 40  # messages, as in what steers the grammar
_EFFORTS: tuple[Effort | None, ...] = (None, "low", "medium", "high")
_BUILTINS: tuple[tuple[BuiltinTool, ...], ...] = ((), ("browser",), ("python",), ("browser", "python"))
_ROLES: tuple[Literal["system", "developer"], ...] = ("system", "developer")
_MODES: tuple[Mode, ...] = ("generation", "training")


def towards(case: Case, wants: Wants, other: Case, draw: Draw) -> Case | None:
    """Return the case with one to three changes, some of them taken from another case; None where none is valid."""
    made = case
    for _ in range(draw.integer(1, 3)):
        made = draw.pick(_CHANGES)(made, wants, other, draw)
    if made == case:
        return None
    try:
        check_case(made)
    except UsageError:
        return None
    return made


def _with(case: Case, **changes: Any) -> Case:
    return replace(case, conversation=replace(case.conversation, **changes))


def _schema(case: Case, wants: Wants, other: Case, draw: Draw) -> Case:
    tools = case.conversation.tools or other.conversation.tools or (Tool("f", "d"),)
    at = draw.integer(0, len(tools) - 1)
    changed = replace(tools[at], parameters=changed_parameters(tools[at].parameters, wants, draw))
    return _with(case, tools=(*tools[:at], changed, *tools[at + 1 :]))


def _tool(case: Case, wants: Wants, other: Case, draw: Draw) -> Case:
    tools = case.conversation.tools
    kind = draw.choice(("other", "fewer", "more", "description", "name"))
    if kind == "other" or not tools:
        return _with(case, tools=other.conversation.tools)
    at = draw.integer(0, len(tools) - 1)
    if kind == "fewer":
        return _with(case, tools=tools[:at] + tools[at + 1 :])
    if kind == "more":
        name = f"{tools[at].name[:60]}_{len(tools)}"
        return _with(case, tools=(*tools, replace(tools[at], name=name)))
    if kind == "name":
        names = [word for word in (*wants.words, "browser", "python") if TOOL_NAME.fullmatch(word)]
        changed = replace(tools[at], name=draw.choice(names))
    else:
        changed = replace(tools[at], description=_text(tools[at].description, wants, draw))
    return _with(case, tools=(*tools[:at], changed, *tools[at + 1 :]))


def _text(text: str | None, wants: Wants, draw: Draw) -> str | None:
    """Return another text in the place of one: a word that is waited for, alone or within, none, another length."""
    word = near(draw, wants.words) if wants.words else "x"
    kind = draw.integer(0, 6)
    if kind == 0:
        return None
    if kind == 1:
        return ""
    if kind == 2 and wants.numbers:
        return "x" * (near(draw, wants.numbers) + draw.integer(0, 1))
    if kind == 3:
        return (text or "a") + draw.choice(("\n", " ", "\n\nb"))
    return (word, f"{text or 'a'} {word} b", f"{word} {text or 'a'}", f"{text or 'a'} {word}")[
        draw.integer(0, 3)
    ]


def _said(case: Case, wants: Wants, other: Case, draw: Draw) -> Case:
    """Change one text of one message, at times of all of them."""
    messages = case.conversation.messages
    if not messages:
        return _with(case, messages=(User("hi"),))
    if draw.chance(0.3):
        return _with(case, messages=tuple(_otherwise(message, wants, draw) for message in messages))
    at = draw.integer(0, len(messages) - 1)
    return _with(case, messages=(*messages[:at], _otherwise(messages[at], wants, draw), *messages[at + 1 :]))


def _otherwise(message: Message, wants: Wants, draw: Draw) -> Message:
    match message:
        case Instructions(text=text, role=role):
            text = _text(text, wants, draw) or ""
            return Instructions(text=text, role=draw.choice(_ROLES) if draw.chance(0.3) else role)
        case User():
            return replace(message, text=_text(message.text, wants, draw) or "")
        case ToolResult():
            return replace(message, content=_text(message.content, wants, draw) or "")
    return _step(message, wants, draw)


def _step(message: Assistant, wants: Wants, draw: Draw) -> Assistant:
    parts = ["thinking", "preamble", "arguments"] if message.calls else ["thinking", "final"]
    part = draw.choice(parts)
    if part != "arguments":
        return replace(message, **{part: _text(getattr(message, part), wants, draw)})
    at = draw.integer(0, len(message.calls) - 1)
    call = replace(message.calls[at], arguments=_arguments(wants, draw))
    return replace(message, calls=(*message.calls[:at], call, *message.calls[at + 1 :]))


def _arguments(wants: Wants, draw: Draw) -> dict[str, Any] | str:
    kind = draw.integer(0, 3)
    if kind == 0:
        return {}
    word = near(draw, wants.words) if wants.words else "x"
    if kind == 1:
        return draw.choice(("", "{}", "not JSON", '{"a": 1}', word))
    key = near(draw, wants.keys) if wants.keys else "a"
    return {key: draw.choice((word, 1, None, [], {}, True))}


def _messages(case: Case, wants: Wants, other: Case, draw: Draw) -> Case:
    messages = case.conversation.messages
    kind = draw.choice(("fewer", "cut", "insert", "insert", "longer", "other"))
    count = len(messages)
    if kind == "other" or not messages:
        return _with(case, messages=other.conversation.messages)
    at = draw.integer(0, count - 1)
    if kind == "fewer":
        return keep_messages(case, set(range(count)) - {at})
    if kind == "cut":
        return keep_messages(case, set(range(at + 1)))
    if kind == "longer" and wants.numbers:
        wanted = min(near(draw, wants.numbers) + draw.integer(0, 1), _LONGEST)
        said = [User("go on") if number % 2 else Assistant(final="well") for number in range(wanted - count)]
        return _with(case, messages=(*messages, *said))
    return _inserted(case, draw.integer(0, count), draw)


def _inserted(case: Case, at: int, draw: Draw) -> Case:
    """Put one more message into a conversation; results keep their calls."""
    tools = case.conversation.tools
    name = draw.choice(tools).name if tools else "f"
    call = ToolCall(name=name, arguments={"a": "b"})
    calls = (call, call) if draw.chance(0.3) else (call,)
    choices: tuple[Message, ...] = (
        User("so"),
        Assistant(thinking="hm"),
        Assistant(final="well"),
        Assistant(thinking="hm", final="well"),
        Assistant(calls=calls),
        Assistant(thinking="hm", preamble="first", calls=calls),
        Instructions(text="Be brief.", role="developer"),
        Instructions(text="Be brief."),
        ToolResult(name=name, content="18"),
    )
    made = draw.choice(choices)
    before, after = case.conversation.messages[:at], case.conversation.messages[at:]
    first = len(Conversation(messages=before).calls())
    more = len(made.calls) if isinstance(made, Assistant) else 0
    moved = tuple(
        replace(message, call=message.call + more)
        if isinstance(message, ToolResult) and message.call is not None and message.call >= first
        else message
        for message in after
    )
    results = tuple(ToolResult(call=first + number, content="18") for number in range(more))
    return _with(case, messages=(*before, made, *(results if draw.chance(0.8) else ()), *moved))


def _options(case: Case, wants: Wants, other: Case, draw: Draw) -> Case:
    changes: dict[str, Any] = draw.choice(
        (
            {"reasoning_effort": draw.choice(_EFFORTS)},
            {"builtin_tools": draw.choice(_BUILTINS)},
            {"mode": draw.choice(_MODES)},
            {"model_identity": _text("You are Kai.", wants, draw)},
        )
    )
    return replace(case, options=replace(case.options, **changes))


_CHANGES: Weighted[_Change] = Weighted((8, _schema), (6, _said), (4, _messages), (2, _tool), (2, _options))
