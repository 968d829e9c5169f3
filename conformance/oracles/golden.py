"""The golden set: a few conversations whose rendering tells one Harmony library from another.

They are given to a library in its own JSON, so that nothing of this project stands between. The second separates
openai-harmony 0.0.3, which reads `<|constrain|>` as plain text; the second to fourth separate oss-harmony; the
others hold what an altered library may do otherwise.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from conformance.oracles.library import Library, OracleRefusedError

Raw = dict[str, Any]


def _text(role: str, text: str, **header: str) -> Raw:
    return {"role": role, "content": [{"type": "text", "text": text}], **header}


def _call(content_type: str | None, text: str = '{"a": 1}') -> Raw:
    kind = {} if content_type is None else {"content_type": content_type}
    return _text("assistant", text, recipient="functions.f", channel="commentary", **kind)


def _system(**more: Any) -> Raw:
    content = {
        "type": "system_content",
        "model_identity": "You are ChatGPT, a large language model trained by OpenAI.",
        "reasoning_effort": "High",
        "conversation_start_date": "2025-06-28",
        "knowledge_cutoff": "2024-06",
        "channel_config": {"valid_channels": ["analysis", "commentary", "final"], "channel_required": True},
        **more,
    }
    return {"role": "system", "content": [content]}


def _developer(schema: Raw | None, instructions: str | None = None) -> Raw:
    tool = {"name": "f", "description": "First line\nSecond line", "parameters": schema}
    content: Raw = {"type": "developer_content"}
    if instructions is not None:
        content["instructions"] = instructions
    content["tools"] = {"functions": {"name": "functions", "description": None, "tools": [tool]}}
    return {"role": "developer", "content": [content]}


_DEFAULTS = {
    "type": "object",
    "properties": {
        "a": {"type": "number", "default": 1e20},
        "b": {"type": "string", "enum": ["x", "y"], "default": "x", "description": "which"},
        "c": {"type": "string", "default": "é", "nullable": True},
        "d": {"type": "integer", "default": -0.5e-7},
    },
    "required": ["b"],
}
_TYPES = {
    "type": "object",
    "description": "all kinds",
    "properties": {
        "a": {"type": ["string", "null"], "title": "A title", "examples": ["one", "two"]},
        "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "boolean"}}}},
        "d": {"oneOf": [{"type": "string", "description": "a word"}, {"type": "integer", "default": 3}]},
        "e": {"type": "array"},
        "f": {},
    },
}
_TALK = [
    _text("user", "One <|end|> more"),
    _text("assistant", "first thought", channel="analysis"),
    _text("assistant", "first answer", channel="final"),
    _text("user", "Two"),
    _text("assistant", "second thought", channel="analysis"),
    _text("assistant", "Let me see.", channel="commentary"),
    _text("assistant", "second answer", channel="final"),
]
# Each: messages, for training, with the library's own dropping of analysis.
CONVERSATIONS: tuple[tuple[list[Raw], bool, bool], ...] = (
    ([_system(), _developer(None), _text("user", "Hi"), _call("json")], False, True),
    (
        [_text("user", "Hi"), _call("<|constrain|>json"), _call("<|constrain|> json"), _call(None)],
        False,
        True,
    ),
    (
        [
            _call("json"),
            _text("tool", "4", name="functions.f", recipient="assistant", channel="commentary"),
        ],
        True,
        True,
    ),
    ([_system(), _developer(_DEFAULTS, "Be brief.\n"), _text("user", "Hi")], False, True),
    ([_system(), _developer(_TYPES)], False, True),
    ([_system(), *_TALK], False, True),
    ([_system(), *_TALK], True, True),
    ([_system(), *_TALK], True, False),
    ([_text("developer", "Later instructions"), _text("user", "日本 🙂\r\n")], False, False),
)


def renders(library: Library) -> str:
    """Return the sha256 of the tokens that a library makes of the golden set; a refusal counts as no tokens.

    The two built-in tool namespaces are part of it.
    """
    written: list[Any] = []
    for messages, training, auto_drop in CONVERSATIONS:
        try:
            written.append(library.render(messages, training=training, auto_drop=auto_drop))
        except OracleRefusedError:
            written.append(None)
    try:
        tools = {name: library.namespace(name) for name in ("browser", "python")}
        written.append(library.render([_system(tools=tools)], training=False, auto_drop=True))
    except OracleRefusedError:
        written.append(None)
    return hashlib.sha256(json.dumps(written, separators=(",", ":")).encode()).hexdigest()
