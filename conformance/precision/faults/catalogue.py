"""All planted faults: importing this module registers every family."""

from __future__ import annotations

from conformance.precision.faults import activation, precision, routing, weights
from conformance.precision.faults.base import FAULTS, Fault

FAMILIES = (activation, weights, routing, precision)


def all_faults() -> dict[str, Fault]:
    """Return every planted fault by name."""
    return dict(FAULTS)
