"""Frames between the parent and a worker: one byte of kind, four of length, the payload; JSON inside.

JSON through msgspec, not MessagePack: it carries integers of any size exactly. Nothing from a worker is
unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from conformance.engines.base import (
    Crashed,
    LimitExceeded,
    Limits,
    Refused,
    Rejected,
    Rendered,
    Request,
    SyntaxProblem,
)

TEMPLATE, RENDER, COMPILE, REPLY = range(1, 5)

# Orders on the control socket: a session, its end, another worker with what this one has loaded.
START, END, SIBLING = b"S", b"E", b"W"

HEADER = struct.Struct("<BI")
TEMPLATE_ID = struct.Struct("<I")
EXIT_STATUS = struct.Struct("<i")
# Before a reply: the seconds of processor time that it took.
SPENT = struct.Struct("<d")


class Compiles(msgspec.Struct, frozen=True, tag="compiles"):
    """The template compiles."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The engine is loaded; the worker process takes sessions."""

    version: str


class Task(msgspec.Struct, frozen=True):
    """What a worker is to be: an engine by name and, where the parent had it, its class; its limits and its folder."""

    engine: str
    place: str
    limits: Limits
    folder: str


class NotReady(msgspec.Struct, frozen=True, tag="not-ready"):
    """The engine cannot work here, and why."""

    reason: str


Reply = Rendered | Rejected | Crashed | LimitExceeded | Refused | SyntaxProblem | Compiles

encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_task = msgspec.json.Decoder(Task).decode
decode_greeting = msgspec.json.Decoder(Ready | NotReady).decode


class MalformedFrameError(ValueError):
    """The other side sent something that is not a frame."""


def frame(kind: int, *payload: bytes) -> bytes:
    """Return one frame as bytes."""
    return b"".join((HEADER.pack(kind, sum(map(len, payload))), *payload))


class FrameReader:
    """Cuts a stream of bytes into frames of at most `limit` bytes each."""

    def __init__(self, limit: int = (1 << 32) - 1) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take more bytes and yield the kind and payload of every frame that is now complete.

        Raises MalformedFrameError when a frame of an unknown kind or of more than the limit begins.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER.size:
                kind, length = HEADER.unpack_from(buffer, start)
                if not TEMPLATE <= kind <= REPLY or length > self._limit:
                    raise MalformedFrameError(f"a frame of kind {kind} and {length} bytes")
                end = start + HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[start + HEADER.size : end])
                start = end
                yield kind, payload
        finally:
            del buffer[:start]
