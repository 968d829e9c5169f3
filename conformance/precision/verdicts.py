"""The words of the precision track: kinds of input, stages, verdicts."""

from __future__ import annotations

from enum import StrEnum

REGIMES = (
    "gaussian",
    "outlier-channels",
    "spike",
    "subnormals",
    "low-gates",
    "cancelling-sums",
    "scale-edges",
    "scale-top",
    "scale-beyond",
    "router-ties",
    "one-expert",
    "empty-experts",
    "1-token",
    "2-tokens",
    "17-tokens",
    "outlier-rows",
)
"""The kinds of input by name, for those who read reports without torch; `model/regimes.py` makes them."""
STAGES = ("dequant", "router", "gate_up", "swiglu", "down", "combine", "residual")


class Verdict(StrEnum):
    """What one stage of one path gets on one regime; anything but EXACT and PASS needs a reader."""

    EXACT = "EXACT"
    PASS = "PASS"
    DEGRADED = "DEGRADED"
    FAIL = "FAIL"
    OVERFLOW = "OVERFLOW"
    SATURATED = "SATURATED"
    UNEXCUSED_FLIP = "UNEXCUSED-FLIP"
    UNSUPPORTED = "UNSUPPORTED"

    @property
    def good(self) -> bool:
        """Whether the stage computed what its declared formats allow."""
        return self in (Verdict.EXACT, Verdict.PASS)


SEVERITY = {
    Verdict.UNSUPPORTED: 0,
    Verdict.EXACT: 1,
    Verdict.PASS: 2,
    Verdict.DEGRADED: 3,
    Verdict.UNEXCUSED_FLIP: 4,
    Verdict.SATURATED: 5,
    Verdict.FAIL: 6,
    Verdict.OVERFLOW: 7,
}


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the most severe verdict of a non-empty list."""
    return max(verdicts, key=SEVERITY.__getitem__)
