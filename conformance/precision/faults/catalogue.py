"""All planted faults: importing this module registers every family."""

from __future__ import annotations

from conformance.precision.faults import activation, kernels, precision, routing, weights
from conformance.precision.faults.base import FAULTS, Fault

FAMILIES = (activation, weights, routing, precision, kernels)


def all_faults() -> dict[str, Fault]:
    """Return every planted fault by name."""
    return dict(FAULTS)
