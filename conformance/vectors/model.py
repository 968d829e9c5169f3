"""What a vector is: one line of JSON that says what goes in, what has to come out, and why that matters."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import asdict

from conformance.conversation import (
    Case,
    Conversation,
    Instructions,
    Options,
    case_id,
    check_case,
    decode_problem,
    to_json,
)
from conformance.errors import UsageError
from conformance.oracles.profile import (
    ArgumentsJson,
    ContentType,
    EmptyInstructions,
    Exponents,
    LaterInstructions,
    Place,
    PreambleChannel,
    PreamblePlace,
    Profile,
    Retention,
    profiles,
)

SCHEMA_ID = "conformance-vector/2"
CUSTOM = "custom"

Origin: TypeAlias = Literal["written", "generated", "reported"]
Id: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$", description="12 hexadecimal digits")]
Sentence: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="one sentence")]


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

    def profile(self) -> Profile:
        """Return the oracle's profile with these settings."""
        return Profile(**asdict(self))


def choices(profile: Profile) -> Choices:
    """Spell a profile out, under the name of the published profile with the same settings if there is one."""
    values: dict[str, Any] = {
        name: getattr(profile, name) for name in Choices.__struct_fields__ if name != "name"
    }
    for known in profiles().values():
        if all(getattr(known, name) == value for name, value in values.items()):
            return Choices(name=known.name, **values)
    return Choices(name=CUSTOM, **values)


class Vector(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One vector: an author gives origin, why, profile, conversation and options, the tool writes the rest.

    `id` names the input (conversation, options and profile), not the answer. `shapes` holds the same conversation
    as servers receive it.
    """

    id: Id
    why: Sentence
    origin: Origin
    flags: tuple[str, ...]
    profile: Choices
    conversation: Conversation
    options: Options
    text: str
    tokens: tuple[int, ...]
    shapes: dict[str, dict[str, Any]] | None = None

    @property
    def case(self) -> Case:
        """The case of this vector."""
        return Case(conversation=self.conversation, options=self.options)


def vector_id(case: Case, chosen: Choices) -> str:
    """Return the id of a vector: that of its case under the default profile, else a hash of both."""
    if chosen.name == "harmony":
        return case_id(case)
    return hashlib.sha256(to_json(case) + msgspec.json.encode(chosen)).hexdigest()[:12]


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


def to_line(vector: Vector) -> str:
    """Return a vector as one line of JSON without the newline.

    ASCII only: a line reads the same whatever a language takes for a line end, and no invisible or
    right-to-left character hides in it.
    """
    raw: dict[str, Any] = {
        "id": vector.id,
        "why": vector.why,
        "origin": vector.origin,
        "flags": vector.flags,
        "profile": msgspec.to_builtins(vector.profile),
        **spelled_out(vector.case),
        "text": vector.text,
        "tokens": vector.tokens,
    }
    if vector.shapes is not None:
        raw["shapes"] = vector.shapes
    return json.dumps(raw, separators=(",", ":"))


def request_line(vector: Vector) -> str:
    """Return what a renderer is asked, as one line of ASCII JSON: the vector without its answer."""
    raw: dict[str, Any] = {
        "id": vector.id,
        "profile": msgspec.to_builtins(vector.profile),
        **spelled_out(vector.case),
    }
    if vector.shapes is not None:
        raw["shapes"] = vector.shapes
    return json.dumps(raw, separators=(",", ":"))


def from_line(line: bytes | str, where: str) -> Vector:
    """Read a vector from its line.

    Raises UsageError, naming `where`, when it is no vector, when Harmony could not render its case, or when
    its id or its profile's name is wrong.
    """
    try:
        vector = msgspec.json.decode(line, type=Vector)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"{where} is not a vector: {decode_problem(line, error)}.") from None
    check_case(vector.case, where)
    known = choices(vector.profile.profile())
    if vector.profile.name != known.name:
        raise UsageError(
            f"{where}: profile.name is {vector.profile.name!r}, but these settings are those of {known.name!r}."
        )
    right = vector_id(vector.case, vector.profile)
    if vector.id != right:
        raise UsageError(
            f"{where}: id is {vector.id!r}, but the id of its conversation, options and profile is {right!r}; "
            "run `conformance vectors export`, which writes ids."
        )
    return vector


@lru_cache(maxsize=1)
def vector_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one line of a vector file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "conformance vector",
        **msgspec.json.schema(Vector),
    }
