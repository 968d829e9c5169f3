"""The policy table: which mixed-precision policy keeps its promise on published magnitudes."""

from __future__ import annotations

from typing import Any

from conformance.precision.paths.base import PrecisionPath
from conformance.precision.report import Row

REGIME = "outlier-rows"
COUNTED = ("down", "combine", "residual")


def policy_table(rows: list[Row], paths: list[PrecisionPath]) -> list[dict[str, Any]]:
    """Return one entry per policy: its claim, non-finite numbers at each chained stage, and whether it holds."""
    found = []
    for path in paths:
        if not path.claim:
            continue
        here = [r for r in rows if r.path == path.name and r.regime == REGIME and r.mode == "chained"]
        chained = {stage: [r for r in here if r.stage == stage] for stage in COUNTED}
        if not all(chained.values()):
            continue
        # A checkpoint has one row for each layer that is judged.
        counts = {stage: sum(int(r.metrics.get("nonfinite", 0)) for r in chained[stage]) for stage in COUNTED}
        found.append(
            {
                "policy": path.name.removeprefix("policy-"),
                "claim": path.claim,
                "nonfinite": counts,
                "holds": not any(counts.values()),
                "as_expected": all(r.expected for stage in COUNTED for r in chained[stage]),
                "normwise": max(float(r.metrics.get("normwise", float("nan"))) for r in chained["residual"]),
            }
        )
    return found
