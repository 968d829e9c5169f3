"""What every worker needs, imported once in the process that they are forked from; no card is touched."""

from __future__ import annotations

from conformance.precision.model.poison import poisoned
from conformance.precision.run import run

__all__ = ["run"]

with poisoned():  # the first use imports much of torch
    pass
