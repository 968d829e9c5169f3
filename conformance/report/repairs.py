"""What `fix` makes of the catalogue's templates, as `reports/fixes.json` records it: shares before and after.

A repair takes minutes, so that the scoreboard tells what the record says, with its own conversations and seeds, and
nothing where the record is of other text.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from conformance.decode import decode_json
from conformance.report.files import read_file
from conformance.resources import resource

SCHEMA = "conformance-fixes/1"
FILE_NAME = "fixes.json"
RENEW = "python -m tools.fixes_record"


class Side(msgspec.Struct, frozen=True):
    """A template before or after its repair, on the cases of one seed."""

    right_under: dict[str, float]


class SeedRun(msgspec.Struct, frozen=True):
    """The two sides on as many conversations of one seed."""

    seed: int
    cases: int
    before: Side
    after: Side


class Repaired(msgspec.Struct, frozen=True):
    """One template, repaired: the rules it broke and breaks, the fixes that were applied."""

    name: str
    sha256: str
    rules_before: list[str]
    rules_after: list[str]
    applied: list[str]
    runs: list[SeedRun]

    @property
    def cases(self) -> int:
        """Conversations of all seeds together."""
        return sum(run.cases for run in self.runs)

    def right(self, profile: str) -> tuple[float, float]:
        """Return the shares of all conversations that are right under a profile, before and after."""
        sides = [(run.cases, run.before.right_under, run.after.right_under) for run in self.runs]
        total = max(self.cases, 1)
        before = sum(cases * shares.get(profile, 0.0) for cases, shares, _ in sides)
        after = sum(cases * shares.get(profile, 0.0) for cases, _, shares in sides)
        return before / total, after / total


class _Run(msgspec.Struct, frozen=True):
    profile: str


class Repairs(msgspec.Struct, frozen=True):
    """The record; `reference` is the hash of the template that fixes take their parts from."""

    run: _Run
    templates: list[Repaired]
    schema: str = SCHEMA
    reference: str = ""

    @property
    def profile(self) -> str:
        """The profile that the repairs were proven under."""
        return self.run.profile

    def of(self, sha256: str) -> Repaired | None:
        """Return the repair of the template with this hash."""
        return next((found for found in self.templates if found.sha256 == sha256), None)


def reference_template() -> Path:
    """Return where this project's own template is."""
    return resource("templates", "gpt-oss.jinja")


def read_repairs(path: Path | None = None) -> Repairs | str:
    """Return the record of repairs, or one sentence on why it says nothing here: missing, or of an older reference.

    Raises UsageError where the file is broken.
    """
    path = path or resource("reports", FILE_NAME)
    if not path.is_file():
        return f"no record of repairs ({RENEW})"
    record = decode_json(read_file(path), Repairs, f"{path} is no record of repairs")
    if record.schema != SCHEMA:
        return f"the record of repairs has the schema {record.schema}, not {SCHEMA} ({RENEW})"
    if record.reference != hashlib.sha256(reference_template().read_bytes()).hexdigest():
        return f"the record of repairs is of another reference template than this one ({RENEW})"
    return record
