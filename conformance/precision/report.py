"""What a run found: rows, an environment, and the exit code they imply; plain data, to and from JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conformance import __version__
from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, EXIT_UNJUDGED, UsageError

SCHEMA = "conformance-precision/1"
GOOD = ("EXACT", "PASS")


@dataclass
class Row:
    """One stage of one path on one regime.

    `verdict` is a word of `verdicts.Verdict`, an overflow with its stage (`OVERFLOW@down`). `expected` says that the
    declared formats themselves imply it: float16 cannot hold what the reference computed. `mode` is `isolated` (fed
    from the reference) or `chained` (fed from the path's own stage before).
    """

    path: str
    dtype: str
    stage: str
    regime: str
    mode: str
    verdict: str
    expected: bool = True
    reason: str = ""
    metrics: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the stage computed what its declaration allows."""
        return self.verdict in GOOD


@dataclass
class PrecisionReport:
    """The `precision` part of the shared report; `complete` is false when a run stopped early."""

    environment: dict[str, Any]
    run: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    depth: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    reference: dict[str, Any] = field(default_factory=dict)
    selftest: dict[str, Any] = field(default_factory=dict)
    boundary: list[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, Any] = field(default_factory=dict)
    histograms: dict[str, Any] = field(default_factory=dict)
    declarations: dict[str, Any] = field(default_factory=dict)  # by path: what its verdicts are relative to
    scores: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False
    command: str = ""

    @property
    def judged(self) -> int:
        """Number of rows that were judged, UNSUPPORTED ones not counted."""
        return sum(row.verdict != "UNSUPPORTED" for row in self.rows)

    def findings(self, strict: bool = False) -> list[Row]:
        """Return rows that are neither good nor UNSUPPORTED; without `strict` only those nobody could expect."""
        return [
            r for r in self.rows if not r.good and r.verdict != "UNSUPPORTED" and (strict or not r.expected)
        ]

    def exit_code(self, strict: bool = False) -> int:
        """Return 0, 1 (see `problems`) or 3 (nothing was judged, or the run is cut)."""
        if not self.complete or not (self.judged or self.selftest):
            return EXIT_UNJUDGED
        return EXIT_DIVERGES if self.problems(strict) else EXIT_CONFORMS

    def false_alarms(self) -> list[str]:
        """Return what the self-test caught although it is right: harmless variants, and the controls."""
        harmless = {f["name"] for f in self.selftest.get("faults", []) if f["harmless"]}
        return [
            name
            for name in self.selftest.get("failed", [])
            if name in harmless or name.startswith("control-")
        ]

    def problems(self, strict: bool = False) -> list[str]:
        """Return what makes the run fail, in a phrase for each kind."""
        # Of later seeds only unexpected rows are kept; all are counted.
        counted = int(self.run.get("rows_not_good" if strict else "rows_unexpected", 0))
        findings = max(counted, len(self.findings(strict)))
        failed = self.selftest.get("failed", [])
        alarms = len(self.false_alarms())
        counts = {
            "not within the declared rounding" if strict else "unexpected": findings,
            "unexpected over depth": sum(not d["expected"] for d in self.depth),
            "formats not exact where known": sum(not b["as_known"] for b in self.boundary),
            "missed": len(failed) - alarms,
            "false alarms": alarms,
        }
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: numbers with 5 significant digits, non-finite ones as strings (JSON has none)."""
        plain = asdict(self)
        return {"schema": SCHEMA, **{k: tidy(v) for k, v in plain.items() if v or k in ("rows", "complete")}}

    def to_common(self) -> dict[str, Any]:
        """Return this report inside the common one, `conformance-report/1`, which has no targets then."""
        own = self.to_dict()
        environment = own.get("environment", {})
        return {
            "schema": "conformance-report/1",
            "tool": {"name": "conformance", "version": __version__},
            "environment": {
                "python": str(environment.get("python", "")),
                "platform": str(environment.get("platform", "")),
                "packages": {name: str(v) for name, v in (environment.get("packages") or {}).items()},
            },
            "run": {
                "seed": int(own["run"].get("seed", 0)),
                "profile": "none",
                "elapsed_s": float(own["run"].get("elapsed_s", 0.0)),
                "cases": 0,
                "complete": bool(own["complete"]),
            },
            "targets": [],
            "precision": own,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> PrecisionReport:
        """Return the report of plain data.

        Raises UsageError when the data is no precision report of this schema.
        """
        if data.get("schema") != SCHEMA:
            raise UsageError(f"this is no {SCHEMA} report: its schema is {data.get('schema')!r}")
        parts = {k: v for k, v in data.items() if k not in ("schema", "rows")}
        return PrecisionReport(rows=[Row(**row) for row in data["rows"]], **parts)

    def write(self, path: Path) -> None:
        """Write the report as JSON, one row a line, so that differences read well."""
        data = self.to_dict()
        rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in data.pop("rows"))
        head = json.dumps(data, indent=1, ensure_ascii=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head[:-2] + ',\n "rows": [\n' + rows + "\n ]\n}\n", encoding="utf-8")


def tidy(value: Any) -> Any:
    """Return plain data as `to_dict` promises it."""
    if isinstance(value, dict):
        return {str(k): tidy(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(v) for v in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.5g}")
    return value
