"""Severities in order, and findings by them."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.report.model import Divergence

SEVERITIES = ("error", "warning", "note")


def worst_first(divergences: Iterable[Divergence]) -> list[Divergence]:
    """Return divergences by severity, then by how much they weigh, then by code."""
    return sorted(divergences, key=lambda d: (SEVERITIES.index(d.severity), *weight(d), d.code, d.rule))


def weight(divergence: Divergence) -> tuple[float, float]:
    """Return what sorts the heaviest first: the share of real use that shows it where it is known, then of the rest."""
    return -(divergence.workload_share or 0.0), -divergence.share
