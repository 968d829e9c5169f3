"""The baseline: divergences that are known and accepted, each with a reason and perhaps a last day."""

from __future__ import annotations

import datetime
import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from conformance.decode import decode_toml
from conformance.errors import UsageError
from conformance.gate.selectors import rules_named
from conformance.report.files import read_file
from conformance.report.model import Divergence, Finding, Report, Target

FILE_NAME = "conformance-baseline.toml"
_NEW_REASON = "known when this baseline was written; say here why it is accepted"


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accepted divergence: of a target, a rule, and where it matters only in some shapes, engines or causes."""

    target: str
    rule: str
    reason: str
    shape: str | None = None
    engine: str | None = None
    cause: str | None = None
    expires: datetime.date | None = None

    def matches(self, target: str, found: Divergence | Finding) -> bool:
        """Return whether this entry is about a divergence or finding of a target, in some shape or engine at least."""
        if self.target != target or found.rule not in rules_named(self.rule):
            return False
        if isinstance(found, Finding):
            return self.shape is None and self.engine is None and self.cause in (None, found.where)
        return (
            self.shape in (None, *found.shapes)
            and self.engine in (None, *found.engines)
            and self.cause in (None, found.cause)
        )

    def __str__(self) -> str:
        parts = [self.target, self.rule, self.shape, self.engine, self.cause]
        return " ".join(part for part in parts if part)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accepted: list[Entry] = []


class Baseline:
    """The entries of a baseline file, and which of them were of use."""

    def __init__(self, path: Path, entries: Sequence[Entry], today: datetime.date) -> None:
        self.path = path
        self.entries = list(entries)
        self._today = today
        self._used: set[int] = set()

    @staticmethod
    def read(path: Path, today: datetime.date) -> Baseline:
        """Read a baseline; raises UsageError for a broken file, an unknown key, an empty reason or a double entry."""
        content = decode_toml(read_file(path), str(path))
        try:
            entries = msgspec.convert(content, _File).accepted
        except msgspec.ValidationError as error:
            raise UsageError(f"{path}: {error}{_nearest(content)}.") from None
        seen: set[str] = set()
        for number, entry in enumerate(entries, 1):
            where = f"entry {number} of {path} ({entry})"
            try:
                rules_named(entry.rule)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None
            if not entry.reason.strip():
                raise UsageError(f"{where} has no reason; say why it is accepted.")
            if str(entry) in seen:
                raise UsageError(f"{where} is there twice; keep one.")
            seen.add(str(entry))
        return Baseline(path, entries, today)

    def accepts(self, target: str, found: Divergence | Finding) -> str:
        """Return the reason for which a divergence is accepted in all its shapes and engines; "" where it is not."""
        fitting = [
            (number, entry) for number, entry in enumerate(self.entries) if entry.matches(target, found)
        ]
        self._used |= {number for number, _ in fitting}
        valid = [entry for _, entry in fitting if not self._expired(entry)]
        if not valid:
            return ""
        if isinstance(found, Divergence):
            everywhere = all(
                any(entry.shape in (None, shape) and entry.engine in (None, engine) for entry in valid)
                for shape in found.shapes or [""]
                for engine in found.engines or [""]
            )
            if not everywhere:
                return ""
        return valid[0].reason

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the baseline after a run: entries that were of no use, and expired ones."""
        for number, entry in enumerate(self.entries):
            if number not in self._used:
                yield f"{self.path}: {entry} is not found any more, or never was; remove the entry"
            elif self._expired(entry):
                yield f"{self.path}: {entry} expired on {entry.expires}; mend it, or decide anew"

    def _expired(self, entry: Entry) -> bool:
        return entry.expires is not None and entry.expires < self._today


def _nearest(content: dict[str, object]) -> str:
    """Return a hint for the first key that no entry has."""
    known = {"accepted", *Entry.__struct_fields__}
    entries = content.get("accepted")
    keys = [*content, *(key for entry in (entries if isinstance(entries, list) else []) for key in entry)]
    for key in keys:
        if key not in known and (near := difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)):
            return f"; did you mean {near[0]}?"
    return ""


def renewed(report: Report, old: Sequence[Entry], today: datetime.date) -> bytes:
    """Return a baseline that accepts all that a report holds; reasons and days that stand are kept."""
    entries: list[Entry] = []
    for target in report.targets:
        for found in _worth(target):
            kept = [
                entry
                for entry in old
                if entry.matches(target.name, found) and (entry.expires is None or entry.expires >= today)
            ]
            cause = (found.cause if isinstance(found, Divergence) else found.where) or None
            new = Entry(target=target.name, rule=found.code, reason=_NEW_REASON, cause=cause)
            entries += [entry for entry in kept or [new] if entry not in entries]
    return _toml(entries)


def _worth(target: Target) -> Iterator[Divergence | Finding]:
    yield from (found for found in target.divergences if found.severity != "note")
    yield from (found for found in target.findings if found.severity != "note")


def _toml(entries: Sequence[Entry]) -> bytes:
    lines = [
        "# Divergences that are known and accepted; `conformance check --write-baseline` renews this file."
    ]
    for entry in entries:
        lines += ["", "[[accepted]]"]
        for name in ("target", "rule", "shape", "engine", "cause", "reason"):
            if (value := getattr(entry, name)) is not None:
                # JSON's strings are TOML's, but for one control character.
                lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f"))
        if entry.expires is not None:
            lines.append(f"expires = {entry.expires.isoformat()}")
    return ("\n".join(lines) + "\n").encode()
