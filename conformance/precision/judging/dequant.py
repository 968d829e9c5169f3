"""The dequant stage: are the weights a path multiplies with the published numbers?"""

from __future__ import annotations

import torch

from conformance.precision.formats.floats import ulp
from conformance.precision.judging.expect import unheld_weights
from conformance.precision.model.reference import Pairs
from conformance.precision.model.regimes import Workload
from conformance.precision.model.weights import LayerWeights, MxTensor
from conformance.precision.paths.base import PathRunner, PrecisionPath
from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

MATRICES = ("gate_up", "down")


def examine_dequant(
    path: PrecisionPath, runner: PathRunner, work: Workload, experts: list[int]
) -> Row | None:
    """Return the row of the dequant stage over some experts, or None when the path shows no weights.

    A kernel that never writes its weights down is asked for them: identity activations and no bias give them back,
    one product at a time.
    """
    counts = dict.fromkeys(
        ("weights", "inexact", "to_zero", "nonfinite", "finite_by_mistake", "wrong", "abs_max"), 0.0
    )
    for expert in experts:
        held = runner.expert_weights(expert)
        if held is None:
            held = _probed(path, work.layer, expert)
        if held is None:
            return None
        for name in MATRICES:
            truth = work.layer.fresh(name, expert, torch.float32)
            _count(counts, held[name], truth)
            if not isinstance(
                getattr(work.layer, name), MxTensor
            ):  # whose range a path may declare not to hold
                off = (held[name].to(torch.float32) - truth).abs() > ulp(truth, path.rounding.weight)
                counts["wrong"] += float(off.sum())
    counts["experts"] = float(len(experts))
    if not counts["weights"]:
        return None
    reason = ""
    if counts["finite_by_mistake"]:
        verdict = str(Verdict.FAIL)
        reason = f"{int(counts['finite_by_mistake'])} weights are finite that are NaN or beyond float32"
    elif counts["nonfinite"]:
        verdict = f"{Verdict.OVERFLOW}@dequant"
        reason = f"{int(counts['nonfinite'])} weights become infinite"
    elif counts["wrong"]:
        verdict = str(Verdict.FAIL)
        reason = f"{int(counts['wrong'])} weights are other numbers, further off than {path.rounding.weight} rounds"
    elif counts["inexact"]:
        verdict = str(Verdict.DEGRADED)
        reason = f"{int(counts['inexact'])} weights are rounded, {int(counts['to_zero'])} of them to zero"
    else:
        verdict = str(Verdict.EXACT)
    why = unheld_weights(path, work)
    expected = verdict == Verdict.EXACT or (bool(why) and verdict != Verdict.FAIL)
    return Row(
        path.name, path.dtype, "dequant", work.regime, "isolated", verdict, expected,
        f"{reason}: {why}" if reason and why else reason, dict(counts),
    )  # fmt: skip


def _count(counts: dict[str, float], held: torch.Tensor, truth: torch.Tensor) -> None:
    given = held.to(torch.float32)
    finite = torch.isfinite(truth)
    lost = finite & ~torch.isfinite(given)
    wrong = finite & (given != truth)
    zeroed = wrong & (given == 0)
    error = torch.where(wrong & ~lost, (given - truth).abs(), 0)
    found = torch.stack(
        [
            n.double()
            for n in (
                wrong.sum(),
                zeroed.sum(),
                lost.sum(),
                (~finite & torch.isfinite(given)).sum(),
                error.amax(),
            )
        ]
    )
    inexact, to_zero, nonfinite, by_mistake, largest = found.tolist()
    counts["finite_by_mistake"] += by_mistake
    counts["weights"] += truth.numel()
    counts["inexact"] += inexact
    counts["to_zero"] += to_zero
    counts["nonfinite"] += nonfinite
    counts["abs_max"] = max(counts["abs_max"], largest)


def _probed(path: PrecisionPath, layer: LayerWeights, expert: int) -> dict[str, torch.Tensor] | None:
    bare = layer.changed(
        gate_up_bias=torch.zeros_like(layer.gate_up_bias), down_bias=torch.zeros_like(layer.down_bias)
    )
    runner = path.prepare(bare)
    found = {}
    for name, width in (("gate_up", layer.shape.hidden), ("down", layer.shape.intermediate)):
        indices = torch.full((width, 1), expert, device=layer.device)
        pairs = Pairs.of(indices, layer.shape.experts)
        unit = torch.eye(width, device=layer.device)
        rows = runner.gate_up(unit, pairs) if name == "gate_up" else runner.down(unit, pairs)
        if rows is None:
            return None
        found[name] = rows.T
    return found
