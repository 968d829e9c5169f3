"""The line of JSON that a renderer is given: a conversation, the options and every reading spelled out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec.structs import asdict

from conformance.conversation import Case, Instructions, Options
from conformance.oracles.profile import (
    ArgumentsJson,
    BuiltinContentType,
    ContentType,
    EmptyInstructions,
    Exponents,
    LaterInstructions,
    NoArguments,
    Place,
    PreambleChannel,
    PreamblePlace,
    Profile,
    ResponseFormats,
    Retention,
    UserName,
    profiles,
)

CUSTOM = "custom"


class Choices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A profile spelled out: its name (`custom` for none of the published ones) and its readings.

    The settings with a default came later: where they have it they are left out, so that ids stay what they were.
    """

    name: str
    content_type: ContentType
    thinking_inference: Retention
    thinking_training: Retention
    preamble_channel: PreambleChannel
    arguments_json: ArgumentsJson
    recipient: Place = "role"
    result_recipient: Place = "role"
    later_instructions: LaterInstructions = "plain"
    empty_instructions: EmptyInstructions = "omitted"
    preamble_place: PreamblePlace = "after-thinking"
    exponents: Exponents = "1e20"
    no_arguments: NoArguments = "object"
    builtin_content_type: BuiltinContentType = "code"
    user_name: UserName = "written"
    response_formats: ResponseFormats = "section"

    def profile(self) -> Profile:
        """Return the oracle's profile with these settings."""
        return Profile(**asdict(self))


def choices(profile: Profile) -> Choices:
    """Spell a profile out, under the name of the published profile with the same settings if there is one."""
    values: dict[str, Any] = {
        name: getattr(profile, name) for name in Choices.__struct_fields__ if name != "name"
    }
    # msgspec omits defaults by identity, and a profile may hold other objects of the same words.
    own = {each.name: each.default for each in msgspec.structs.fields(Choices)}
    values = {name: own[name] if value == own[name] else value for name, value in values.items()}
    for known in profiles().values():
        if all(getattr(known, name) == value for name, value in values.items()):
            return Choices(name=known.name, **values)
    return Choices(name=CUSTOM, **values)


def spelled_out(case: Case) -> dict[str, Any]:
    """Return a case as JSON values in which no option and no role is left to a default.

    Who reads vectors in another language should not need to know this project's defaults.
    """
    conversation = case.conversation
    messages = []
    for message in conversation.messages:
        raw = msgspec.to_builtins(message)
        if isinstance(message, Instructions):
            raw["role"] = message.role
        messages.append(raw)
    options = {name: getattr(case.options, name) for name in Options.__struct_fields__}
    return {
        "conversation": {"messages": messages, "tools": msgspec.to_builtins(conversation.tools)},
        "options": msgspec.to_builtins(options),
    }


def line(identity: str, case: Case, readings: Choices, *, shapes: Any = None) -> str:
    """Return what a renderer is asked, as one line of ASCII JSON."""
    raw: dict[str, Any] = {"id": identity, "profile": asdict(readings), **spelled_out(case)}
    if shapes is not None:
        raw["shapes"] = shapes
    return json.dumps(raw, separators=(",", ":"))
