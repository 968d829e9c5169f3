"""The reference certified in every run: float32 against float64, by the same error model as any path."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch

from conformance.errors import UnjudgedError
from conformance.precision.judging import variance
from conformance.precision.judging.causes import linear_causes, storage_causes
from conformance.precision.judging.judge import Judgement, judge
from conformance.precision.model import reference
from conformance.precision.model.flags import fast_float64
from conformance.precision.model.reference import Pairs, Routing, Trace
from conformance.precision.model.rounding import uniform
from conformance.precision.model.weights import LayerWeights
from conformance.precision.verdicts import Verdict

SAMPLED_TOKENS = 8  # where float64 is slow


@dataclass
class Certificate:
    """How far the float32 reference is from float64, stage by stage, and how many tokens were certified."""

    tokens: int
    of_tokens: int
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def keep(self, stage: str, found: Judgement) -> None:
        """Note how far a stage was from float64."""
        self.stages[stage] = {k: found.metrics[k] for k in ("z_rms", "z_max", "normwise", "abs_max")}

    def said(self) -> dict[str, object]:
        """Return it as plain data, as reports keep it."""
        return {"tokens": self.tokens, "of": self.of_tokens, "stages": self.stages}


def certify(layer: LayerWeights, tokens: torch.Tensor, residual: torch.Tensor, trace32: Trace) -> Certificate:
    """Return the certificate of a float32 trace.

    All tokens where float64 is fast, else the first 8. Raises UnjudgedError, with the likely cause, when a stage is
    not as exact as float32 is.
    """
    count = tokens.shape[0] if fast_float64(tokens.device) else min(SAMPLED_TOKENS, tokens.shape[0])
    part = slice(0, count)
    with torch.no_grad():
        routing = Routing(
            trace32.routing.logits[part],
            trace32.routing.indices[part],
            trace32.routing.weights[part].double(),
        )
        exact = reference.trace(layer, tokens[part].double(), residual[part], routing)
        logits = reference.route(layer, tokens[part].double()).logits
    keep = trace32.pairs.token < count
    pairs = exact.pairs
    certificate = Certificate(count, tokens.shape[0])
    declared = uniform("float32")
    # Pairs of a prefix of the tokens keep their order, so the kept rows line up with the float64 run's.
    rows = tokens[part][pairs.token]
    gate_up_variance = variance.linear(layer, "gate_up", rows, None, exact.gate_up, pairs, declared)
    hidden_variance = variance.swiglu(
        exact.gate_up.to(gate_up_variance.dtype), gate_up_variance, layer.shape, declared
    )
    down_variance = variance.linear(layer, "down", exact.hidden, hidden_variance, exact.down, pairs, declared)
    combined_variance = variance.combine(exact.down, down_variance, routing.weights, pairs, declared)
    output_variance = variance.residual(exact.combined, exact.output, combined_variance, declared)
    logit_variance = variance.logits(layer, tokens[part], logits, declared)
    checks: list[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, Pairs | None]] = [
        ("router", trace32.routing.logits[part], logits, logit_variance, None),
        ("gate_up", trace32.gate_up[keep], exact.gate_up, gate_up_variance, pairs),
        ("swiglu", trace32.hidden[keep], exact.hidden, hidden_variance, pairs),
        ("down", trace32.down[keep], exact.down, down_variance, pairs),
        ("combine", trace32.combined[part], exact.combined, combined_variance, None),
        ("residual", trace32.output[part], exact.output, output_variance, None),
    ]
    for stage, given, want, spread, rows_of in checks:
        if stage in ("gate_up", "down"):
            causes = partial(
                linear_causes, layer, stage, rows if stage == "gate_up" else exact.hidden, want, pairs
            )
        else:
            causes = partial(storage_causes, want)
        found = judge(given, want, spread, "float32", pairs=rows_of, causes=causes)
        demand(stage, found)
        certificate.keep(stage, found)
    return certificate


def demand(stage: str, found: Judgement) -> None:
    """Raise UnjudgedError where a stage of the float32 reference is not as exact as float32 is."""
    if found.verdict not in (Verdict.EXACT, Verdict.PASS):
        raise UnjudgedError(
            f"the float32 reference is not as exact as float32 at stage {stage} ({found.reason}; normwise error "
            f"{found.metrics.get('normwise', float('nan')):.2g} against float64), so nothing can be judged: unset "
            "NVIDIA_TF32_OVERRIDE and whatever else switches TF32 on"
        )
