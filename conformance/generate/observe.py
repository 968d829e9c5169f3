"""Which features a case has, as a bit mask: tens of microseconds a case, for it runs on every one."""

from __future__ import annotations

from typing import Any

import msgspec

from conformance.conversation import (
    DEFAULT_DATE,
    Assistant,
    Case,
    Conversation,
    Instructions,
    Message,
    Options,
    ToolCall,
    ToolResult,
    User,
)
from conformance.decode import NO_JSON
from conformance.generate.features import BIT
from conformance.generate.observe_schema import tool_mask
from conformance.generate.observe_text import text_mask

_EFFORTS: dict[str | None, int] = {
    None: BIT["effort-none"],
    **{e: BIT[f"effort-{e}"] for e in ("low", "medium", "high")},
}
_decode = msgspec.json.Decoder().decode


def feature_mask(case: Case) -> int:
    """Return the features of a case; bit i stands for `features.NAMES[i]`."""
    conversation = case.conversation
    mask = _options(case.options) | _messages(conversation)
    tools = conversation.tools
    mask |= BIT["tools-none"] if not tools else BIT["tools-one"] if len(tools) == 1 else BIT["tools-several"]
    for tool in tools:
        mask |= tool_mask(tool)
    return mask


def _options(options: Options) -> int:
    mask = _EFFORTS[options.reasoning_effort]
    mask |= BIT["mode-training"] if options.mode == "training" else BIT["mode-generation"]
    builtins = options.builtin_tools
    if "browser" in builtins:
        mask |= BIT["builtin-browser"]
    if "python" in builtins:
        mask |= BIT["builtin-python"]
        if len(builtins) > 1 and builtins[0] == "python":
            mask |= BIT["builtin-python-first"]
    if options.date != DEFAULT_DATE:
        mask |= BIT["date-custom"]
    if options.model_identity is not None:
        mask |= BIT["identity-custom"] | text_mask(options.model_identity)
    return mask


def _messages(conversation: Conversation) -> int:
    messages = conversation.messages
    offered = {tool.name for tool in conversation.tools}
    mask = BIT["messages-many"] if len(messages) >= 12 else 0
    turns = called = steps = thought = 0  # `thought`: turns with thinking, one bit each
    answered: set[int] = set()
    instructed = spoken = False
    previous: Message | None = None
    for message in messages:
        if isinstance(message, User):
            mask |= text_mask(message.text)
            if not message.text:
                mask |= BIT["user-empty"]
            if isinstance(previous, User):
                mask |= BIT["users-in-a-row"]
            else:
                turns, steps = turns + 1, 0
            spoken = True
        elif isinstance(message, Assistant):
            mask |= _assistant(message, offered)
            if not spoken:
                mask |= BIT["starts-assistant"]
            spoken = True
            if message.thinking:
                thought |= 1 << turns
            if message.calls:
                called, steps = called + len(message.calls), steps + 1
                if steps > 1:
                    mask |= BIT["calls-several-steps"]
        elif isinstance(message, ToolResult):
            mask |= _result(message.content)
            if message.call is not None:
                if answered and message.call < max(answered):
                    mask |= BIT["results-out-of-order"]
                answered.add(message.call)
        else:
            mask |= _instructions(message, first=not instructed)
            instructed = True
        previous = message
    if not instructed:
        mask |= BIT["instructions-absent"]
    if called > len(answered):
        mask |= BIT["results-missing"]
    if thought & (thought - 1):
        mask |= BIT["thinking-several-turns"]
    mask |= BIT["turns-one"] if turns <= 1 else BIT["turns-two-or-three"] if turns < 4 else BIT["turns-many"]
    return mask | (_end(previous) if previous else 0)


def _end(last: Message) -> int:
    if isinstance(last, User):
        return BIT["ends-user"]
    if isinstance(last, ToolResult):
        return BIT["ends-result"]
    if isinstance(last, Instructions):
        return BIT["ends-instructions"]
    if last.calls:
        return BIT["ends-call"]
    return BIT["ends-thinking"] if last.final is None else BIT["ends-final"]


def _instructions(message: Instructions, *, first: bool) -> int:
    text = message.text
    mask = text_mask(text)
    if not first:
        return mask | BIT["instructions-later"]
    if not text:
        mask |= BIT["instructions-empty"]
    elif text[-1] == "\n":
        mask |= BIT["instructions-trailing-newline"]
    return mask | BIT["instructions-system" if message.role == "system" else "instructions-developer"]


def _assistant(message: Assistant, offered: set[str]) -> int:
    mask = 0
    thinking, preamble, final, calls = message.thinking, message.preamble, message.final, message.calls
    if thinking:
        mask |= text_mask(thinking)
        if calls:
            mask |= BIT["thinking-before-call"]
            if preamble:
                mask |= BIT["preamble-with-thinking"]
        else:
            mask |= BIT["thinking-alone"] if final is None else BIT["thinking-before-final"]
    if preamble:
        mask |= BIT["preamble"] | text_mask(preamble)
    if thinking == "" or preamble == "":
        mask |= BIT["empty-aside"]
    if final is not None:
        mask |= BIT["final"] | text_mask(final)
        if not final:
            mask |= BIT["final-empty"]
    if calls:
        mask |= BIT["calls"]
        if len(calls) > 1:
            mask |= BIT["parallel-calls"]
        for call in calls:
            mask |= _call(call, offered)
    return mask


def _result(content: str) -> int:
    mask = text_mask(content) | BIT["results"]
    if not content:
        mask |= BIT["result-empty"]
    elif "\n" in content:
        mask |= BIT["result-multiline"]
    if content and content[0] in '{["0123456789-tfn' and _is_json(content):
        mask |= BIT["result-json"]
    return mask


def _is_json(text: str) -> bool:
    try:
        _decode(text)
    except NO_JSON:
        return False
    return True


def _call(call: ToolCall, offered: set[str]) -> int:
    mask = 0 if call.name in offered else BIT["call-unknown-tool"]
    arguments = call.arguments
    if isinstance(arguments, dict):
        mask |= BIT["arguments-object"]
        return mask | (_argument(arguments, 0) if arguments else BIT["arguments-empty-object"])
    if not arguments:
        return mask | BIT["arguments-empty-string"]
    if not _is_json(arguments):
        return mask | BIT["arguments-not-json"]
    text = arguments.strip()
    if text[0] != "{":
        return mask | BIT["arguments-no-object"]
    mask |= BIT["arguments-string"]
    if '":' in text and '": ' not in text:
        mask |= BIT["arguments-string-compact"]
    return mask | (BIT["arguments-string-lines"] if text != arguments or "\n" in text else 0)


def _argument(value: Any, depth: int) -> int:
    if isinstance(value, str):
        return 0 if value.isascii() else BIT["arguments-not-ascii"]
    if isinstance(value, bool) or value is None:
        return BIT["arguments-constant"]
    if isinstance(value, int):
        return BIT["arguments-big-integer"] if abs(value) > 2**53 else 0
    if isinstance(value, float):
        return BIT["arguments-float"]
    mask = BIT["arguments-nested"] if depth else 0
    if isinstance(value, dict):
        for key in value:
            if not key.isascii():
                mask |= BIT["arguments-not-ascii"]
        value = value.values()
    for item in value:
        mask |= _argument(item, depth + 1)
    return mask
