"""What realistic conversations are drawn from, kept beside the archives in the form in which it is drawn.

To read the archives anew takes most of a second, which every check would pay. An entry is decoded when it is drawn.
What is kept is bound to the archives' hashes and to all that read them, and checked by a hash of its own: anything
else is read from the archives again, which are checked by theirs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, overload

import msgspec

from conformance.errors import UsageError
from conformance.workload import packages
from conformance.workload.material import Dialogue, Material, Server

T = TypeVar("T")

_SENTENCE = re.compile(r"[A-Z][^.\n]{15,200}\.")
_NAME = "read-{}.json"
_OURS = re.compile(r"read-[0-9a-f]{16}\.json")
_MAX_BYTES = 128 * 2**20


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sentences: list[str]
    instructions: list[str]
    questions: list[msgspec.Raw]
    dialogues: list[msgspec.Raw]
    chats: list[msgspec.Raw]
    servers: list[msgspec.Raw]
    results: dict[str, msgspec.Raw]


_encode = msgspec.json.Encoder().encode
_decode_kept = msgspec.json.Decoder(_Kept).decode
_decode_dialogue = msgspec.json.Decoder(Dialogue).decode
_decode_server = msgspec.json.Decoder(Server).decode


class Entries(Sequence[T], Generic[T]):
    """A sequence whose entries are decoded when they are asked for."""

    def __init__(self, kept: list[msgspec.Raw], decode: Callable[[msgspec.Raw], T]) -> None:
        self._kept = kept
        self._decode = decode

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if isinstance(index, slice):
            return type(self)(self._kept[index], self._decode)
        return self._decode(self._kept[index])


class Stock:
    """What conversations are drawn from: `questions` have one turn, those with calls first; `chats` have no tools.

    `sentences` and `instructions` are texts that some author has written.
    """

    def __init__(self, kept: _Kept) -> None:
        self.sentences = kept.sentences
        self.instructions = kept.instructions
        self.questions = Entries(kept.questions, _decode_dialogue)
        self.dialogues = Entries(kept.dialogues, _decode_dialogue)
        self.chats = Entries(kept.chats, _decode_dialogue)
        self.servers = Entries(kept.servers, _decode_server)
        self._results = kept.results

    def result(self, name: str) -> Mapping[str, object] | None:
        """Return the schema of what a tool of this name answers, where a set has one."""
        found = self._results.get(name)
        schema: dict[str, object] | None = None if found is None else msgspec.json.decode(found)
        return schema


def stock() -> Stock:
    """Return what the cached packages give; raises UsageError where one is missing or holds something else."""
    path = packages.folder() / _NAME.format(_key())
    data = _read(path)
    if data is None:
        data = _encode(_kept_of(packages.material()))
        _keep(path, data)
    return Stock(_decode_kept(data))


def _kept_of(material: Material) -> _Kept:
    tools = [*material.tools, *(tool for question in material.questions[::7] for tool in question.tools)]
    found = (text for tool in tools for text in _SENTENCE.findall(tool.description or ""))
    called = [question for question in material.questions if question.turns[0].steps]
    kept = _Kept(
        sentences=list(dict.fromkeys(found)),
        instructions=list(
            dict.fromkeys(each.instructions for each in material.questions if each.instructions)
        ),
        questions=_raw([*called, *(each for each in material.questions if not each.turns[0].steps)]),
        dialogues=_raw(material.dialogues),
        chats=_raw(material.chats),
        servers=_raw(material.servers),
        results={name: msgspec.Raw(_encode(schema)) for name, schema in material.results.items()},
    )
    if not all((kept.sentences, kept.instructions, kept.questions, kept.chats, kept.servers)):
        raise UsageError("the packages of realistic work do not hold what they should; report this")
    return kept


def _raw(entries: Iterable[Any]) -> list[msgspec.Raw]:
    return [msgspec.Raw(_encode(entry)) for entry in entries]


def _key() -> str:
    """Return what the kept form depends on: the archives, the code that reads them, and what that is made of."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for package in packages.packages():
        digest.update(f"{package.title} {package.hash}\n".encode())
    for file in (*sorted(here.glob("*.py")), here.parent / "conversation.py"):
        digest.update(file.read_bytes())
    # pydantic writes the schemas of signatures.
    digest.update(f"{sys.version} {version('msgspec')} {version('pydantic')}".encode())
    return digest.hexdigest()[:16]


def _read(path: Path) -> bytes | None:
    """Return the kept form, or None where there is none or not as it was written."""
    try:
        # Whatever stands in its place, to open it must not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            digest, data = file.readline(80).strip(), file.read(_MAX_BYTES)
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest().encode() == digest else None


def _keep(path: Path, data: bytes) -> None:
    """Write the kept form instead of older ones; a folder that cannot be written does without."""
    with contextlib.suppress(UsageError):
        packages.keep(path, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            if other != path and _OURS.fullmatch(other.name):
                other.unlink()
