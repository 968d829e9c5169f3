"""The check of meaning at full exactness: small integers that every dtype holds must come out exact."""

from __future__ import annotations

from dataclasses import replace

import torch

from conformance.precision.judging import variance
from conformance.precision.judging.judge import judge
from conformance.precision.model import reference
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.integers import integer_layer, integer_rows, spread_routing
from conformance.precision.model.reference import Pairs
from conformance.precision.model.rounding import uniform
from conformance.precision.model.shape import LayerShape
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

REGIME = "integers"
TOKENS = 64


def check_meaning(path: PrecisionPath, shape: LayerShape, seed: int, device: torch.device) -> list[Row]:
    """Return rows for gate_up and down on integers, which must be EXACT, in whatever dtype the path computes.

    Every product, sum and bias is an integer below 256, so no format rounds: any difference is a wrong computation.
    The activation is not exact on integers; it is checked in float32 by the path's float32 twin, and for a kernel
    that has none by the activation it holds before rounding, where it shows that.
    """
    layer = integer_layer(shape, seed, device)
    runner = path.prepare(layer)
    routing = spread_routing(TOKENS, shape, device)
    pairs = Pairs.of(routing.indices, shape.experts)
    tokens = integer_rows(TOKENS, shape.hidden, seed + 1, device)
    hidden = integer_rows(pairs.token.shape[0], shape.intermediate, seed + 2, device)
    # A path that reads its rows in fewer bits is not exact on them.
    r = path.rounding
    given = {
        "gate_up": None if r.activation_as else runner.gate_up(tokens.clone(), pairs),
        "down": None if r.hidden_as else runner.down(hidden.clone(), pairs),
    }
    rows = []
    with exact_float32():
        truth = {
            "gate_up": reference.linear(layer, "gate_up", tokens[pairs.token], pairs),
            "down": reference.linear(layer, "down", hidden, pairs),
        }
        for stage, actual in given.items():
            if actual is None:
                continue
            wanted = truth[stage]
            found = judge(actual, wanted, torch.zeros_like(wanted), "float32", pairs=pairs)
            exact = found.verdict is Verdict.EXACT
            wrong = int((actual.float() != wanted).sum())
            rows.append(
                _row(path, stage, exact, f"{wrong} of {wanted.numel()} integers are wrong", found.metrics)
            )
    stored = runner.float32_hidden(tokens.clone(), pairs)
    if stored is not None:
        rows.append(_activation(path, stored, shape, pairs, truth["gate_up"]))
    return rows


def _activation(
    path: PrecisionPath,
    stored: torch.Tensor,
    shape: LayerShape,
    pairs: Pairs,
    gate_up: torch.Tensor,
) -> Row:
    with exact_float32():
        truth = reference.swiglu(gate_up, shape)
        spread = variance.swiglu(gate_up, None, shape, uniform("float32"))
        found = judge(stored, truth, spread, "float32", pairs=pairs)
    return _row(path, "swiglu", found.verdict.good, found.reason, found.metrics, str(found.verdict))


def _row(
    path: PrecisionPath,
    stage: str,
    right: bool,
    wrong: str,
    metrics: dict[str, float],
    verdict: str = "EXACT",
) -> Row:
    if right:
        return Row(path.name, path.dtype, stage, REGIME, "isolated", verdict, True, "", dict(metrics))
    return Row(
        path.name, path.dtype, stage, REGIME, "isolated", str(Verdict.FAIL), False, wrong, dict(metrics)
    )


def small(shape: LayerShape) -> LayerShape:
    """Return the shape with at most 8 experts: the meaning of the computation does not depend on their number."""
    return replace(shape.with_experts(8))
