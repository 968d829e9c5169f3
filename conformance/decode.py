"""The doors for strangers' JSON and TOML: decoded, or refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from conformance.errors import UsageError

HALF_PAIR = "half of a surrogate pair, which no UTF-8 text can; remove it"

# What msgspec raises over bytes that are no JSON, no UTF-8, or nested without end.
NO_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)

_Form = TypeVar("_Form")


def decode_json(data: bytes | str, form: type[_Form], refusal: str) -> _Form:
    """Return JSON as the form asked for.

    Raises UsageError, `refusal` and then the reason, such as "case.json is not a case: it is empty."
    """
    try:
        return msgspec.json.decode(data, type=form)
    except NO_JSON as error:
        raise UsageError(f"{refusal}: {json_problem(data, error)}.") from None


def json_problem(data: bytes | str, error: Exception) -> str:
    """Say in words why JSON could not be decoded, and what to do about it where that is known."""
    message = str(error)
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if not text.strip():
        return "it is empty"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError) or "surrogate" in message or _reads_on(message, text):
        return f"it holds {HALF_PAIR}"
    if "invalid character" in message and re.search(r"[\[:,]\s*-?(NaN|Infinity)\b", text):
        return "it contains NaN or Infinity, which JSON and Harmony do not have; write null or a number"
    if "out of range" in message:
        return f"a number in it is too large ({message})"
    if "kind" in message and ("Invalid value" in message or "missing required" in message):
        return f"{message}; a message's kind is one of instructions, user, assistant, result"
    return message if message.startswith("JSON") else message[:1].lower() + message[1:]


def _reads_on(message: str, text: str) -> bool:
    """Tell whether the text only seems cut off: so it does to msgspec when half a pair stands near its end."""
    if "truncated" not in message:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the content of a TOML file; `what` names the file in errors, such as "the catalogue".

    Raises UsageError when it cannot be read or is no TOML.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UsageError(f"cannot read {what} {path}: {getattr(error, 'strerror', None) or error}") from error
    return decode_toml(data, f"{what} {path}")


def decode_toml(data: bytes, name: str) -> dict[str, Any]:
    """Return the content of a TOML document; raises UsageError, naming it, when it is none."""
    import tomllib  # 5 ms, which most runs are spared

    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply") from None
    except ValueError as error:  # not TOML, or not UTF-8
        reason = str(error)
        if "overwrite a value" in reason:
            reason = f"a key has two values ({reason}); leave one"
        raise UsageError(f"{name} is not valid TOML: {reason}") from error
