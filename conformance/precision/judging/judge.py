"""A tensor against the reference: counts, metrics, and a verdict derived from the error model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from conformance.errors import UnjudgedError
from conformance.precision.formats.floats import FLOAT16, ulp
from conformance.precision.model.reference import Pairs
from conformance.precision.verdicts import Verdict

ALARM = 1e-6  # false-alarm probability of one tensor
MODEL_SLACK = (
    1.25  # how far the root mean square may exceed the model: independence and first order are idealised
)
INDEPENDENT_SHARE = (
    0.25  # of the elements counted as independent; rounding errors upstream are shared by rows
)
PERCENTILE_SAMPLE = 1 << 13

Causes = Callable[[], dict[str, torch.Tensor]]


def floor(dtype: torch.dtype) -> float:
    """Return the least variance that counts in a dtype: squares of smaller errors cannot be expressed in it."""
    return 1e-280 if dtype == torch.float64 else 1e-40


@dataclass
class Judgement:
    """A verdict with its reason (empty when good) and the metrics it rests on."""

    verdict: Verdict
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


def rms_limit(count: int) -> float:
    """Return the limit on the root mean square z of `count` elements.

    The Wilson-Hilferty quantile of a chi-square at probability 1e-6, times the model's slack; it tends to 1.25.
    """
    free = max(1.0, count * INDEPENDENT_SHARE)
    quantile = (1 - 2 / (9 * free) + 4.7534 * math.sqrt(2 / (9 * free))) ** 3
    return MODEL_SLACK * math.sqrt(quantile)


def max_limit(count: int) -> float:
    """Return the limit on the largest |z| of `count` elements at false-alarm probability 1e-6."""
    return math.sqrt(2 * math.log(2 * count / ALARM))


def judge(
    actual: torch.Tensor,
    truth: torch.Tensor,
    variance: torch.Tensor,
    stored: str,
    *,
    pairs: Pairs | None = None,
    causes: Causes | None = None,
) -> Judgement:
    """Return the verdict on `actual` against `truth` (same shape, rows x channels).

    `variance` is what the declared rounding explains; `stored` the format whose spacing counts as one ULP; `pairs`
    names the experts of the rows; `causes` gives extra variances of known roundings nobody declared, asked only when
    the declared ones do not explain the error. Raises UnjudgedError when there is nothing to compare.
    """
    if actual.shape != truth.shape:
        got, wanted = tuple(actual.shape), tuple(truth.shape)
        return Judgement(Verdict.FAIL, f"the result has shape {got} where the reference has {wanted}")
    if not truth.numel():
        raise UnjudgedError("nothing was compared: the stage has no elements")
    numbers, z = _measure(actual, truth, variance, stored, pairs)
    count = int(numbers["compared"])
    if numbers["nonfinite"]:
        return Judgement(Verdict.OVERFLOW, f"{int(numbers['nonfinite'])} non-finite numbers", numbers)
    if numbers["saturated"]:
        n = int(numbers["saturated"])
        return Judgement(
            Verdict.SATURATED, f"{n} numbers stopped at 65,504, where the truth is larger", numbers
        )
    if not count:
        raise UnjudgedError("nothing was compared: the reference has no finite element")
    if numbers["finite_by_mistake"]:
        n = int(numbers["finite_by_mistake"])
        return Judgement(
            Verdict.FAIL, f"{n} numbers are finite where the weights are NaN or beyond float32", numbers
        )
    numbers["z_rms_limit"], numbers["z_max_limit"] = rms_limit(count), max_limit(count)
    if numbers["abs_max"] == 0:
        return Judgement(Verdict.EXACT, "", numbers)
    if numbers["z_rms"] <= numbers["z_rms_limit"] and numbers["z_max"] <= numbers["z_max_limit"]:
        return Judgement(Verdict.PASS, "", numbers)
    cause = _likely_cause(z, variance, truth, causes, count) if causes else None
    if cause:
        return Judgement(Verdict.DEGRADED, cause, numbers)
    reason = (
        f"error beyond the declared rounding: z rms {numbers['z_rms']:.3g} (limit {numbers['z_rms_limit']:.3g}), "
        f"max {numbers['z_max']:.3g} (limit {numbers['z_max_limit']:.3g})"
    )
    return Judgement(Verdict.FAIL, reason, numbers)


def _measure(
    actual: torch.Tensor, truth: torch.Tensor, variance: torch.Tensor, stored: str, pairs: Pairs | None
) -> tuple[dict[str, float], torch.Tensor]:
    wide = torch.float64 if variance.dtype == torch.float64 or truth.dtype == torch.float64 else torch.float32
    given = actual.to(wide)
    want = truth.to(wide)
    known = torch.isfinite(want)
    finite = torch.isfinite(given)
    usable = known & finite
    zero = torch.zeros((), dtype=wide, device=want.device)
    error = torch.where(usable, given - want, zero)
    size = error.abs()
    z = torch.where(usable, error / variance.to(wide).clamp_min(floor(wide)).sqrt(), zero)
    magnitude = torch.where(known, want.abs(), zero)
    n = usable.sum().clamp_min(1)
    relative = torch.where(magnitude > 0, size / magnitude.clamp_min(1e-38), zero)
    at_limit = given.abs() == FLOAT16.largest
    channels = want.shape[-1]
    # Where only one of the two is finite nothing is compared, and nothing is worse.
    worst = torch.where(known == finite, z.abs(), torch.inf).flatten().argmax()
    in_ulp = torch.where(usable, size / ulp(want, stored).to(wide), zero).flatten()
    largest_ulp = in_ulp.amax()
    if in_ulp.numel() > PERCENTILE_SAMPLE:
        in_ulp = in_ulp[:: in_ulp.numel() // PERCENTILE_SAMPLE + 1]
    ordered = torch.sort(in_ulp).values
    last = ordered.numel() - 1
    # Norms in float64: squares leave float32's range, and one kernel reads what three would.
    z_norm, signal, noise = (torch.linalg.vector_norm(t, dtype=torch.float64) for t in (z, magnitude, size))
    parts = {
        "compared": usable.sum(),
        "nonfinite": (known & ~finite).sum(),
        "reference_nonfinite": (~known).sum(),
        "finite_by_mistake": (~known & finite).sum(),
        "at_65504": at_limit.sum(),
        "saturated": (at_limit & (magnitude >= FLOAT16.overflows_from)).sum(),
        "z_rms": z_norm / n.double().sqrt(),
        "z_max": z.abs().amax(),
        "abs_max": size.amax(),
        "abs_mean": size.sum() / n,
        "rel_max": relative.amax(),
        "rel_mean": relative.sum() / n,
        "normwise": noise / signal.clamp_min(1e-150),
        "ulp_p50": ordered[last // 2],
        "ulp_p99": ordered[int(last * 0.99)],
        "ulp_max": largest_ulp,
        "magnitude_max": magnitude.amax(),
        "worst_row": worst // channels,
        "worst_channel": worst % channels,
    }
    keys = list(parts)
    numbers = dict(zip(keys, torch.stack([parts[k].double() for k in keys]).tolist(), strict=True))
    row = int(numbers.pop("worst_row"))
    numbers["worst_token"] = float(row if pairs is None else int(pairs.token[row]))
    if pairs is not None:
        numbers["worst_expert"] = float(int(pairs.expert[row]))
    if numbers["normwise"] > 0:
        numbers["sqnr_db"] = -20 * math.log10(numbers["normwise"])
    if numbers["magnitude_max"] > 0:
        numbers["headroom_fp16"] = FLOAT16.largest / numbers["magnitude_max"]
    return numbers, z


HISTOGRAM_EDGES = [0.0] + [2.0**e for e in range(-6, 13)]


def ulp_histogram(actual: torch.Tensor, truth: torch.Tensor, stored: str) -> list[int]:
    """Return how many elements have an error within each pair of neighbouring edges, in ULP of the stored format."""
    error = ((actual.float() - truth).abs() / ulp(truth, stored)).flatten()
    edges = torch.tensor(HISTOGRAM_EDGES[1:], device=error.device)
    places = torch.bucketize(error.nan_to_num(float("inf")), edges).clamp_max(len(HISTOGRAM_EDGES) - 2)
    return [int(n) for n in torch.bincount(places, minlength=len(HISTOGRAM_EDGES) - 1).tolist()]


def _likely_cause(
    z: torch.Tensor, variance: torch.Tensor, truth: torch.Tensor, causes: Causes, count: int
) -> str | None:
    """Return the undeclared roundings under which the error looks like rounding again, the two likeliest at most."""
    base = variance.to(z.dtype).clamp_min(floor(z.dtype))
    fitting: list[tuple[float, str]] = []
    for name, extra in causes().items():
        total = base + extra.to(z.dtype)
        scaled = (z * (base / total).sqrt()).double()
        level = torch.where(torch.isfinite(truth), truth, 0).to(z.dtype).div(total.sqrt()).double()
        square = scaled.square().mean()
        shared = scaled.sum(0).square().mean() / scaled.shape[0]  # of a column: rounding errors average out
        along = (scaled * level).mean() / (square * level.square().mean()).sqrt().clamp_min(1e-300)
        figures = torch.stack((square.sqrt(), scaled.abs().amax(), (shared / square).sqrt(), along.abs()))
        rms, peak, in_columns, with_value = figures.tolist()
        # Too small is no explanation either: a coarse enough rounding would excuse anything. Nor is an error that
        # repeats along a column (a wrong bias) or follows the value (a wrong scale): rounding does neither.
        # Only block formats follow it a little: their largest elements saturate.
        allowed = 0.2 if "MXFP" in name else max(0.02, 6 / math.sqrt(count * INDEPENDENT_SHARE))
        random = in_columns <= 1.5 and with_value <= allowed
        if 0.6 <= rms <= rms_limit(count) and peak <= max_limit(count) and random:
            fitting.append((abs(math.log(rms)), name))
    names = [name for _, name in sorted(fitting)[:2]]
    return f"looks like {' or '.join(names)}" if names else None
