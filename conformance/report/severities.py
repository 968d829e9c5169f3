"""Severities in order, and findings by them."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.report.model import Divergence

SEVERITIES = ("error", "warning", "note")


def worst_first(divergences: Iterable[Divergence]) -> list[Divergence]:
    """Return divergences by severity, then by the share of conversations that show them, then by code."""
    return sorted(divergences, key=lambda d: (SEVERITIES.index(d.severity), -d.share, d.code, d.rule))
