"""What a vector is: one line of JSON that says what goes in, what has to come out, and why that matters."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from conformance.conversation import (
    Case,
    Conversation,
    Options,
    case_id,
    check_case,
    to_json,
)
from conformance.decode import decode_json
from conformance.errors import UsageError
from conformance.renderers.line import Choices, choices, line, spelled_out

SCHEMA_ID = "conformance-vector/2"

Origin: TypeAlias = Literal["written", "generated", "reported"]
Id: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$", description="12 hexadecimal digits")]
Sentence: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="one sentence")]


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
    return line(vector.id, vector.case, vector.profile, shapes=vector.shapes)


def from_line(line: bytes | str, where: str) -> Vector:
    """Read a vector from its line.

    Raises UsageError, naming `where`, when it is no vector, when Harmony could not render its case, or when
    its id or its profile's name is wrong.
    """
    vector = decode_json(line, Vector, f"{where} is not a vector")
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
