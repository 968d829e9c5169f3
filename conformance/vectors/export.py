"""Write vector files in the one form they have: derived fields are made again, whatever the file says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from conformance.conversation import Case, Conversation, Options, check_case
from conformance.decode import decode_json
from conformance.errors import UsageError
from conformance.generate.coverage import features
from conformance.oracles.authorities import DEFAULT
from conformance.oracles.load import authority as authority_named
from conformance.oracles.opening import builtin_namespace
from conformance.oracles.profile import Profile, profile, profiles
from conformance.renderers.line import Choices
from conformance.vectors import files
from conformance.vectors.choose import choose
from conformance.vectors.derive import derive, reason
from conformance.vectors.files import Family
from conformance.vectors.model import Origin, Sentence, Vector, vector_schema

SCHEMA_FILE = "vector.schema.json"
BUILTIN_FILE = "builtin-tools.json"
AUTHORITY_FILE = "authority.json"
REPORTED, GENERATED = "reported", "generated"


class _Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an author may write: the tool makes the fields that are only read here so that they are known."""

    conversation: Conversation
    why: Sentence
    options: Options = Options()
    profile: Choices | str = "harmony"
    origin: Origin = "written"
    id: Any = None
    flags: Any = None
    features: Any = None  # of conformance-vector/1, as are the rules
    rules: Any = None
    text: Any = None
    tokens: Any = None
    shapes: dict[str, Any] | None = None


def normalise(folder: Path, authority: str = DEFAULT) -> tuple[Family, ...]:
    """Return the families of a folder with all derived fields made again, as an authority makes them.

    Raises UsageError, naming file and line, for what is no vector, what Harmony refuses, or what stands twice.
    """
    families, seen = [], dict[str, str]()
    for path in files.vector_files(folder):
        vectors = []
        for where, line in files.lines_of(path):
            vector = _from_draft(line, where, authority)
            if vector.id in seen:
                if authority != DEFAULT:
                    continue  # profiles that differ in what this authority reads its own way are one
                raise UsageError(f"{where}: the vector {vector.id} is already in {seen[vector.id]}.")
            seen[vector.id] = where
            vectors.append(vector)
        families.append(Family(path.stem, tuple(vectors)))
    return tuple(families)


def _from_draft(line: bytes, where: str, authority: str) -> Vector:
    draft = decode_json(line, _Draft, f"{where} is not a vector")
    case = Case(conversation=draft.conversation, options=draft.options)
    check_case(case, where)
    chosen = profile(draft.profile) if isinstance(draft.profile, str) else draft.profile.profile()
    return derive(case, chosen, why=draft.why, origin=draft.origin, where=where, authority=authority)


def rendered_files(families: Iterable[Family], name: str = DEFAULT) -> dict[str, bytes]:
    """Return all files of a vector folder by name: the families, the schema, the built-in tools, the authority."""
    out = {f"{family.name}{files.SUFFIX}": files.encode(family) for family in families}
    out[SCHEMA_FILE] = _pretty(vector_schema())
    # What the model was told about them is data of the format, and no implementer should have to type it.
    out[BUILTIN_FILE] = _pretty({name: builtin_namespace(name) for name in ("browser", "python")})
    judge = authority_named(name).authority
    out[AUTHORITY_FILE] = _pretty(
        {name: getattr(judge, name) for name in ("name", "version", "distribution", "renders")}
    )
    return out


def _pretty(value: Any) -> bytes:
    return f"{json.dumps(value, indent=2)}\n".encode("ascii")


def differences(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """Say in a line each which files of a folder are not as the tool writes them, and at which line first."""
    out = []
    for name, data in wanted.items():
        path = folder / name
        if not path.is_file():
            out.append(f"{path} is missing")
            continue
        found = path.read_bytes()
        if found != data:
            out.append(_first_difference(path, found, data))
    return out


def _first_difference(path: Path, found: bytes, wanted: bytes) -> str:
    ours, theirs = wanted.split(b"\n"), found.split(b"\n")
    number = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    where = f"{path}, line {number + 1}"
    try:
        right, wrong = (msgspec.json.decode(rows[number], type=dict) for rows in (ours, theirs))
    except (msgspec.DecodeError, IndexError):
        return f"{where} is not as the tool writes it"
    fields = [name for name in right if right.get(name) != wrong.get(name)]
    fields += [name for name in wrong if name not in right]
    if not fields:
        return f"{where} has another order or spacing"
    return f"{where} (vector {right.get('id')}): {', '.join(fields)} differ"


def promote(
    folder: Path, case: Case, chosen: Profile, *, why: str | None, family: str
) -> tuple[Vector, Path]:
    """Add a case to a family as a reported vector; return it and its file.

    Raises UsageError when the vector is already there, or Harmony refuses the case.
    """
    if not family or any(not (letter.isalnum() or letter in "-_") for letter in family):
        raise UsageError(
            f"A family is a file name of letters, digits, - and _, not {family!r}; see --family."
        )
    families = {known.name: known for known in files.read_folder(folder)}
    vector = derive(case, chosen, why=why or told(case), origin="reported")
    _refuse_known(vector, families.values())
    old = families.get(family, Family(family, ()))
    path = files.write_family(folder, Family(family, (*old.vectors, vector)))
    return vector, path


def _refuse_known(vector: Vector, families: Iterable[Family]) -> None:
    for family in families:
        for known in family.vectors:
            if known.id == vector.id:
                raise UsageError(
                    f"This case is already the vector {known.id} in {family.name}{files.SUFFIX}: {known.why}"
                )


def told(case: Case) -> str:
    """Return a sentence about a case for which nobody gave a reason."""
    plain = {"effort-none", "mode-generation", "tools-none", "turns-one", "ends-user", "instructions-absent"}
    names = sorted(features(case) - plain)
    return f"Reported. {reason(names[:3])}" if names else "Reported; the smallest conversation there is."


def grow(folder: Path, count: int, *, seed: int) -> list[Vector]:
    """Add generated cases that bring together features which no vector has together yet; return them.

    Cases on which the profiles differ take turns among them. Raises UsageError for a broken folder.
    """
    families = {known.name: known for known in files.read_folder(folder)}
    known = {vector.id for family in families.values() for vector in family.vectors}
    names = list(profiles())
    old = families.get(GENERATED, Family(GENERATED, ()))
    added: list[Vector] = []
    contested = 0
    cases = [vector.case for family in families.values() for vector in family.vectors]
    for chosen in choose(count, cases, seed=seed):
        why = reason(chosen.telling)
        vector = derive(chosen.case, profile("harmony"), why=why, origin="generated")
        if "contested" in vector.flags:
            contested += 1
            other = profile(names[contested % len(names)])
            vector = derive(chosen.case, other, why=why, origin="generated")
        if vector.id not in known:
            known.add(vector.id)
            added.append(vector)
    files.write_family(folder, Family(GENERATED, (*old.vectors, *added)))
    return added
