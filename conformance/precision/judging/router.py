"""The router judged apart: its logits, its choice, and its weights given both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from conformance.precision.judging import variance
from conformance.precision.judging.causes import storage_causes
from conformance.precision.judging.judge import Judgement, judge, max_limit
from conformance.precision.model import reference
from conformance.precision.model.reference import Routing
from conformance.precision.model.rounding import Rounding
from conformance.precision.verdicts import SEVERITY, Verdict

if TYPE_CHECKING:
    from conformance.precision.judging.examine import Workbench


def judge_router(bench: Workbench, routing: Routing, rounding: Rounding) -> Judgement:
    """Return the verdict on a path's routing.

    The logits are judged by the error model. The choice must be a top-k of the path's own logits, and where it
    differs from the reference's, every exchanged pair must lie within the logits' uncertainty (excused flip). The
    weights are judged given the path's logits and choice, so that no first-order softmax enters.
    """
    layer, truth = bench.workload.layer, bench.trace.routing
    spread = variance.logits(layer, bench.workload.tokens, truth.logits, rounding)
    found = judge(
        routing.logits, truth.logits, spread, rounding.router, causes=lambda: storage_causes(truth.logits)
    )
    if found.verdict in (Verdict.OVERFLOW, Verdict.SATURATED):
        return found
    shape = layer.shape
    if routing.indices.shape != truth.indices.shape:
        got, wanted = tuple(routing.indices.shape), tuple(truth.indices.shape)
        return Judgement(
            Verdict.FAIL, f"the router chose {got} experts where the reference has {wanted}", found.metrics
        )
    flipped, excused = _flips(routing, truth, spread)
    tokens = routing.indices.shape[0]
    found.metrics.update(
        set_agreement=1 - flipped / tokens,
        flips_excused=float(excused),
        flips_unexcused=float(flipped - excused),
    )
    own = routing.logits.float()
    chosen = own.gather(1, routing.indices)
    mask = torch.zeros_like(own, dtype=torch.bool).scatter_(1, routing.indices, True)
    if bool((mask.sum(1) != shape.top_k).any()):
        return Judgement(Verdict.FAIL, "the router chose an expert twice for one token", found.metrics)
    rest = torch.where(mask, -torch.inf, own).amax(1)
    if shape.top_k < shape.experts and bool((chosen.amin(1) < rest).any()):
        return Judgement(
            Verdict.FAIL, "the router did not choose the largest of its own logits", found.metrics
        )
    if flipped > excused:
        n = flipped - excused
        return Judgement(
            Verdict.UNEXCUSED_FLIP, f"{n} tokens go to experts that rounding does not explain", found.metrics
        )
    weights_truth = reference.rerouted(routing.logits, routing.indices, torch.float32)
    weights_spread = variance.routing_weights(weights_truth, chosen, rounding)
    weights = judge(
        routing.weights, weights_truth, weights_spread, rounding.routing_weight,
        causes=lambda: storage_causes(weights_truth),
    )  # fmt: skip
    for key in ("z_rms", "z_max", "normwise"):
        found.metrics[f"weights_{key}"] = weights.metrics.get(key, float("nan"))
    if SEVERITY[weights.verdict] > SEVERITY[found.verdict]:
        return Judgement(
            weights.verdict, f"routing weights: {weights.reason}" if weights.reason else "", found.metrics
        )
    return found


def _flips(routing: Routing, truth: Routing, spread: torch.Tensor) -> tuple[int, int]:
    """Return (tokens whose set of experts differs, of those the excused ones)."""
    mine = torch.zeros_like(truth.logits, dtype=torch.bool).scatter_(1, routing.indices, True)
    theirs = torch.zeros_like(mine).scatter_(1, truth.indices, True)
    different = (mine != theirs).any(1)
    flipped = int(different.sum())
    if not flipped:
        return 0, 0
    logits, sd = truth.logits[different], spread[different].sqrt()
    gained, lost = (mine & ~theirs)[different], (theirs & ~mine)[different]
    # The dearest exchange: the best expert lost against the worst gained must be within their joint uncertainty.
    best = torch.where(lost, logits, -torch.inf)
    least = torch.where(gained, logits, torch.inf)
    gap = best.amax(1) - least.amin(1)
    width = (
        sd.gather(1, best.argmax(1, keepdim=True)).square()
        + sd.gather(1, least.argmin(1, keepdim=True)).square()
    )
    allowed = max_limit(spread.numel()) * width.squeeze(1).sqrt()
    return flipped, int((gap <= allowed).sum())
