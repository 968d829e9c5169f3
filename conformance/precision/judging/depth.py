"""A stack of layers: how a path's error grows over depth, against a twin whose rounding is simulated.

Routing makes the stack chaotic: one flip changes a token for good, in any precision. So the yardstick is no bound
but a twin: the float32 reference with random errors of the declared variances added to each layer's output. A path
passes when its median token error is at most twice the twin's at the last layer that both reach.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from conformance.precision.formats.floats import FLOAT16, torch_dtype
from conformance.precision.judging import variance
from conformance.precision.model import reference
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.regimes import bf16
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import generator, synthetic_layer
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.verdicts import Verdict

TWIN_FACTOR = 2.0
# Published activations of the 120b grow from 35 in layer 0 to 45,344 in layer 34; one channel carries them.
FIRST_PEAK, LAST_PEAK = 35.0, 9.0e4


def grow(
    paths: list[PrecisionPath],
    shape: LayerShape,
    layers: int,
    tokens: int,
    seed: int,
    device: torch.device,
    cache_bytes: int = 0,
) -> list[dict[str, Any]]:
    """Return one entry per path: the median relative error after each layer, flips, the twin's error, a verdict.

    Synthetic layers are made one at a time and dropped. One channel of the residual is driven by the last layers'
    down bias from 35 to 9e4, so that a float16 residual overflows where published activations do.
    """
    draw = generator(seed + 77, device)
    start = bf16(torch.randn(tokens, shape.hidden, generator=draw, device=device) * 8)
    start[:, 0] = FIRST_PEAK
    exact = start.clone()
    states = {p.name: start.to(torch_dtype(p.rounding.residual), copy=True) for p in paths}
    twins = {p.name: start.clone() for p in paths}
    curves: dict[str, dict[str, Any]] = {
        p.name: {
            "path": p.name,
            "dtype": p.dtype,
            "error": [],
            "twin": [],
            "flipped": [],
            "peak": [],
            "lost": None,
        }
        for p in paths
    }
    for index in range(layers):
        # Kept dequantised while the layer lasts: every path and twin multiplies with the same float32 experts.
        layer = replace(synthetic_layer(shape, seed + 1000 + index, device), cache_bytes=cache_bytes)
        target = FIRST_PEAK * (LAST_PEAK / FIRST_PEAK) ** ((index + 1) / layers)
        bias = layer.down_bias.clone()
        bias[:, 0] = bf16((target - exact[:, 0].mean()).reshape(1))  # every expert agrees on that channel
        # Trained norms undo a massive channel: its gamma is small and the others' large, so that the layer sees
        # inputs of spread 1. Without that every token would look alike.
        rest = float(exact[:, 1:].square().mean().sqrt())
        whole = float(exact.square().mean().sqrt())
        norm = bf16(layer.norm * (whole / rest))
        norm[0] = bf16(whole / exact[:, 0].abs().mean())
        layer = layer.changed(down_bias=bias, norm=norm)
        with exact_float32():
            normed = reference.rms_norm(exact, layer.norm)
            truth = reference.trace(layer, normed, exact)
        for path in paths:
            _advance(path, layer, states, twins, curves[path.name], truth, draw)
        exact = truth.output
    return [_verdict(curve) for curve in curves.values()]


def _advance(
    path: PrecisionPath,
    layer: Any,
    states: dict[str, torch.Tensor],
    twins: dict[str, torch.Tensor],
    curve: dict[str, Any],
    truth: reference.Trace,
    draw: torch.Generator,
) -> None:
    runner, r = path.prepare(layer), path.rounding
    before = states[path.name]
    # The norm runs in float32 on the stored residual and its result is stored in the activation's dtype: both
    # current practice (RMSNorm squared in float16 overflows beyond 256).
    normed = reference.rms_norm(before.float(), layer.norm)
    held = normed.to(torch_dtype(r.activation)).float()
    routing = runner.route(held.clone()) or reference.route(layer, held)
    combined = runner.experts(held.clone(), routing)
    added = runner.residual(before, combined)
    after = before + combined.to(before.dtype) if added is None else added
    states[path.name] = after
    twin = twins[path.name]
    with exact_float32():
        given = reference.rms_norm(twin, layer.norm)
        own = reference.route(layer, given)
        noise = variance.logits(layer, given, own.logits, r).sqrt()
        logits = own.logits + noise * torch.randn(noise.shape, generator=draw, device=noise.device)
        values, indices = torch.topk(logits, layer.shape.top_k, dim=-1)
        chosen = reference.Routing(logits, indices, torch.softmax(values, -1))
        ran = reference.trace(layer, given, twin, chosen)
        rows = given[ran.pairs.token]
        lost = variance.activation_loss(layer, rows, r)
        spread = variance.linear(layer, "gate_up", rows, lost, ran.gate_up, ran.pairs, r)
        spread = variance.swiglu(ran.gate_up, spread, layer.shape, r)
        spread = variance.linear(layer, "down", ran.hidden, spread, ran.down, ran.pairs, r)
        spread = variance.combine(ran.down, spread, chosen.weights, ran.pairs, r)
        spread = variance.residual(ran.combined, ran.output, spread, r)
        twins[path.name] = ran.output + spread.sqrt() * torch.randn(
            spread.shape, generator=draw, device=spread.device
        )
    curve["error"].append(_median_error(after.float(), truth.output))
    curve["twin"].append(_median_error(twins[path.name], truth.output))
    agree = (routing.indices.sort(1).values == truth.routing.indices.sort(1).values).all(1)
    curve["flipped"].append(float(1 - agree.float().mean()))
    curve["peak"].append(float(truth.output.abs().amax()))
    if curve["lost"] is None and not bool(torch.isfinite(after).all()):
        curve["lost"] = len(curve["error"]) - 1
        curve["lost_expected"] = (
            r.residual == "float16" and float(truth.output.abs().amax()) >= 0.99 * FLOAT16.overflows_from
        )


def _median_error(given: torch.Tensor, truth: torch.Tensor) -> float:
    # The driven channel would drown the rest: its size is known, so it is left out of the norm.
    error = (given - truth)[:, 1:].norm(dim=1) / truth[:, 1:].norm(dim=1)
    return float(error.nan_to_num(float("inf")).median())


def _verdict(curve: dict[str, Any]) -> dict[str, Any]:
    reached = curve["lost"] if curve["lost"] is not None else len(curve["error"])
    ratio = curve["error"][reached - 1] / max(curve["twin"][reached - 1], 1e-30) if reached else float("inf")
    verdict = Verdict.PASS if ratio <= TWIN_FACTOR else Verdict.DEGRADED
    curve["ratio_to_twin"] = ratio
    curve["verdict"] = str(verdict)
    curve["expected"] = verdict is Verdict.PASS
    if curve["lost"] is not None:
        curve["verdict"] = f"{Verdict.OVERFLOW}@residual, layer {curve['lost']}"
        curve["expected"] = curve.pop("lost_expected")
    return curve
