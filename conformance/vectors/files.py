"""Vector files: one family a file, one vector a line, read strictly and written in one way only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conformance.conversation import Case, case_id
from conformance.errors import UsageError
from conformance.report.files import read_file, write_file
from conformance.resources import resource
from conformance.vectors.model import Vector, from_line, to_line

SUFFIX = ".jsonl"
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Family:
    """The vectors of one file, which gives the family its name."""

    name: str
    vectors: tuple[Vector, ...]


def default_folder() -> Path:
    """Return the folder of the shipped vectors."""
    return resource("fixtures", "vectors")


def read_folder(folder: Path) -> tuple[Family, ...]:
    """Read all families of a folder in the order of their names.

    Raises UsageError naming file and line for what is no vector, and when an id stands twice.
    """
    paths = vector_files(folder)
    families, seen = [], dict[str, str]()
    for path in paths:
        vectors = []
        for where, line in lines_of(path):
            vector = from_line(line, where)
            if vector.id in seen:
                raise UsageError(f"{where}: the vector {vector.id} is already in {seen[vector.id]}.")
            seen[vector.id] = where
            vectors.append(vector)
        families.append(Family(path.stem, tuple(vectors)))
    return tuple(families)


def vector_files(folder: Path) -> list[Path]:
    """Return the vector files of a folder; raises UsageError when there is none."""
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not paths:
        raise UsageError(f"There are no vectors in {folder}; it should hold files such as calls{SUFFIX}.")
    return paths


def lines_of(path: Path) -> list[tuple[str, bytes]]:
    """Return the lines of a file, each with the words that name it in errors."""
    data = read_file(path)
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{path} has more than {_MAX_BYTES // 2**20} MB; no vector file needs that.")
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [(f"{path}, line {number}", line) for number, line in enumerate(lines, 1)]


def encode(family: Family) -> bytes:
    """Return the bytes of a family's file."""
    return "".join(f"{to_line(vector)}\n" for vector in family.vectors).encode("ascii")


def write_family(folder: Path, family: Family) -> Path:
    """Write a family's file, whole or not at all; raises UsageError if it cannot be written."""
    return write_file(folder / f"{family.name}{SUFFIX}", encode(family))


def reported_cases() -> tuple[Case, ...]:
    """Return the cases of the vectors that were reported, each once: campaigns replay them first.

    Raises UsageError when a vector file is broken.
    """
    folder = default_folder()
    if not any(folder.glob(f"*{SUFFIX}")):
        return ()
    cases = {
        case_id(vector.case): vector.case
        for family in read_folder(folder)
        for vector in family.vectors
        if vector.origin == "reported"
    }
    return tuple(cases.values())
