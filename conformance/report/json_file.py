"""`report.json`: the report model, written and read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from conformance.decode import decode_json
from conformance.errors import UsageError
from conformance.report.base import Output, register
from conformance.report.files import read_file, to_json, write_file
from conformance.report.model import SCHEMA, Divergence, Report, Target

FILE_NAME = "report.json"


class _Head(msgspec.Struct):
    schema: str | None = None


def write(report: Report, folder: Path) -> Path:
    """Write `report.json` into a folder, which is made if need be, and return its path.

    Fields stand in the order of the model; keys inside cases keep theirs, because Harmony prints schemas in
    the order given. Raises UsageError if the folder cannot be written.
    """
    return write_file(folder / FILE_NAME, encode(report))


def encode(report: Report) -> bytes:
    """Return the report as indented JSON in UTF-8, with a newline at its end."""
    return msgspec.json.format(to_json(report), indent=2) + b"\n"


def read(path: Path) -> Report:
    """Read a report from its file, or from the `report.json` in a folder.

    Raises UsageError when the file is missing, broken, or written under another schema.
    """
    if path.is_dir():
        path = path / FILE_NAME
    data = read_file(path)
    head = decode_json(data, _Head, f"{path} is not a report")
    if head.schema is None:
        raise UsageError(f"{path} is not a report: it has no schema; a report says {SCHEMA}.")
    if head.schema != SCHEMA:
        raise UsageError(f"{path} has the schema {head.schema!r}; this version reads {SCHEMA} only.")
    return decode_json(data, Report, f"{path} is a broken report")


def find_example(
    report: Report,
    case_id: str,
    target: str | None = None,
    shape: str | None = None,
    engine: str | None = None,
) -> tuple[Target, Divergence]:
    """Return the reported divergence whose example has this id, or an id that begins so.

    Raises UsageError when there is none, when the beginning fits several cases, or when several shapes or engines show
    the case and none of them is named.
    """
    names = {t.name for t in report.targets}
    if target is not None and target not in names:
        raise UsageError(f"The report has no target {target!r}; it has {', '.join(sorted(names)) or 'none'}.")
    found = [
        (t, divergence)
        for t in report.targets
        if target is None or t.name == target
        for divergence in t.divergences
        if case_id
        and divergence.example.case_id.startswith(case_id)
        and shape in (None, divergence.example.shape)
        and engine in (None, divergence.example.engine)
    ]
    if not found:
        raise UsageError(f"The report has no case {case_id!r}; the failure cards show the ids.")
    ids = sorted({divergence.example.case_id for _, divergence in found})
    if len(ids) > 1:
        raise UsageError(f"{case_id!r} fits several cases: {', '.join(ids)}; write more of its digits.")
    for what, option in (("shape", "--shape"), ("engine", "--engine")):
        seen = sorted({getattr(divergence.example, what) for _, divergence in found})
        if len(seen) > 1:
            raise UsageError(
                f"The case {ids[0]} was seen with several {what}s: {', '.join(seen)}; add {option} NAME."
            )
    return found[0]


@register("json")
def write_json(report: Report, output: Output) -> bytes:
    """Return the report as `report.json` holds it."""
    return encode(report)
