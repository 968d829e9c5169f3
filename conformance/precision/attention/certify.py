"""The attention reference certified in every run: in float32 it must be as exact as float32 is, against float64.

Paths are judged against float64 itself. What is certified is that this machine's float32, with the flags it has, can
tell right from wrong: a reference that TF32 or a reduced sum makes coarse ends the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from conformance.precision.attention.reference import Attention
from conformance.precision.attention.variance import AttentionRounding
from conformance.precision.judging.certify import Certificate, demand
from conformance.precision.judging.judge import judge

if TYPE_CHECKING:
    from conformance.precision.attention.run import Input

DECLARED = AttentionRounding("float32", "float32", 4)  # scores are multiplied, scaled, masked and shifted


def certify(given: Input) -> Certificate:
    """Return the certificate of the float32 reference on all rows of one kind of input.

    Raises UnjudgedError, with the likely cause, when a stage is not as exact as float32 is.
    """
    found = Attention(given.weights, torch.float32).stages(given.x.float(), given.positions)
    spread = given.spreads(DECLARED)
    count = given.x.shape[0]
    certificate = Certificate(count, count)
    for stage, truth in given.truth.items():
        judged = judge(found[stage].flatten(1), truth.flatten(1), spread[stage].flatten(1), "float32")
        demand(stage, judged)
        certificate.keep(stage, judged)
    return certificate
