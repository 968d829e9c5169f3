"""Score tests: which constant of the layer is off, by how much, seen from the result alone.

If a path holds a constant c + d where the layer says c, its error is d times the derivative of the truth with respect
to c, plus rounding. Weighted least squares over all elements, with the variances of the error model, estimates d:

    d = sum(e g / v) / sum(g^2 / v),   t = d / se(d)

A hundred thousand elements see what none of them shows: alpha held in bfloat16 moves a result by a twentieth of its
rounding. What has no derivative, such as truncation or a second clamp, is a direction: the other computation minus
the truth, whose coefficient is 0 for a right path and 1 for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from conformance.precision.formats.floats import FORMATS, binade, torch_dtype
from conformance.precision.formats.quantised import quantise
from conformance.precision.judging.examine import Workbench
from conformance.precision.judging.judge import floor
from conformance.precision.judging.variance import residual as residual_variance
from conformance.precision.judging.variance import squared_product
from conformance.precision.model import reference
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.poison import poisoned, synchronise
from conformance.precision.model.reference import Trace, to_slots
from conformance.precision.model.regimes import Workload
from conformance.precision.model.rounding import Rounding
from conformance.precision.paths.base import PathRunner, PrecisionPath
from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

# Under a right path t is normal with spread 1 or less: 6.5 is passed once in 10^10 estimates. The largest seen on right
# paths is in reports/precision-score.json.
THRESHOLD = 6.5
ROUNDS = 3  # constants that are named one after the other, each on what the ones before left


@dataclass(frozen=True)
class Suspect:
    """A constant, or another computation, that a path may hold instead of the layer's.

    `gradient` returns d(result)/d(constant) (T, H); `right` is the layer's value, None for a direction, whose
    coefficient is a share of the way to the other computation.
    """

    name: str
    right: Callable[[Workload], float] | None
    gradient: Callable[[Workload, Trace, Rounding], torch.Tensor | None]


@dataclass(frozen=True)
class Estimate:
    """What a path holds of a constant: value and standard error, the right value, and how many errors off."""

    name: str
    value: float
    error: float
    right: float
    t: float

    @property
    def sentence(self) -> str:
        """One phrase that names the constant, its estimate and what it should be."""
        digits = max(0, min(9, 1 - _exponent(self.error)))
        value, error = f"{self.value:.{digits}f}", f"{self.error:.1g}"
        return f"{self.name} is {value} ± {error}, should be {self.right:g} (t = {self.t:.3g})"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2]) if value > 0 else 0


def _through_down(work: Workload, trace: Trace, hidden: torch.Tensor) -> torch.Tensor:
    """Return what a change (P, I) of the activation does to the weighted sum (T, H), to first order."""
    out = torch.empty(hidden.shape[0], work.layer.shape.hidden, dtype=hidden.dtype, device=hidden.device)
    for expert, start, stop in trace.pairs.ranges:
        out[start:stop] = hidden[start:stop] @ work.layer.matrix("down", expert, hidden.dtype).T
    return reference.combine(out, trace.routing.weights, trace.pairs)


def _parts(work: Workload, trace: Trace) -> tuple[torch.Tensor, ...]:
    s = work.layer.shape
    gate, up = trace.gate_up[..., ::2], trace.gate_up[..., 1::2]
    low, held = gate.clamp(max=s.limit), up.clamp(-s.limit, s.limit)
    sigmoid = torch.sigmoid(s.alpha * low)
    return gate, up, low, held, sigmoid


def _alpha(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    _, _, low, held, sigmoid = _parts(work, trace)
    return _through_down(work, trace, (held + 1) * low.square() * sigmoid * (1 - sigmoid))


def _gate_limit(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    gate, _, low, held, sigmoid = _parts(work, trace)
    slope = sigmoid * (1 + work.layer.shape.alpha * low * (1 - sigmoid))
    return _through_down(work, trace, torch.where(gate > work.layer.shape.limit, (held + 1) * slope, 0))


def _up_limit(sign: int) -> Callable[[Workload, Trace, Rounding], torch.Tensor]:
    def gradient(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
        _, up, low, _, sigmoid = _parts(work, trace)
        beyond = sign * up > work.layer.shape.limit
        return _through_down(work, trace, torch.where(beyond, sign * low * sigmoid, 0))

    return gradient


def _gate_lower(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    """The gate clamped below too, at minus the limit."""
    gate, _, _, held, _ = _parts(work, trace)
    s = work.layer.shape
    clamped = gate.clamp(-s.limit, s.limit)
    other = (held + 1) * clamped * torch.sigmoid(s.alpha * clamped)
    return _through_down(work, trace, other - trace.hidden)


def _plus_one(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    _, _, low, _, sigmoid = _parts(work, trace)
    return _through_down(work, trace, low * sigmoid)


def _down_bias(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    bias = work.layer.down_bias[trace.pairs.expert].to(trace.down.dtype)
    return reference.combine(bias, trace.routing.weights, trace.pairs)


def _through_swiglu(work: Workload, trace: Trace, gate_up: torch.Tensor) -> torch.Tensor:
    _, up, low, held, sigmoid = _parts(work, trace)
    s = work.layer.shape
    slope = sigmoid * (1 + s.alpha * low * (1 - sigmoid)) * (trace.gate_up[..., ::2] <= s.limit)
    change = (held + 1) * slope * gate_up[..., ::2]
    change = change + low * sigmoid * (up.abs() <= s.limit) * gate_up[..., 1::2]
    return _through_down(work, trace, change)


def _gate_up_bias(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    return _through_swiglu(work, trace, work.layer.gate_up_bias[trace.pairs.expert].to(trace.gate_up.dtype))


def _routing_scale(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor:
    return trace.combined


def _toward_zero(values: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return the mean effect of truncating values to a dtype instead of rounding: half a unit toward zero."""
    return -torch.sign(values) * binade(values) * FORMATS[dtype].unit


def _truncated_result(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    return _toward_zero(trace.combined, r.output) if r.output != "float32" else None


def _truncated_hidden(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    return _through_down(work, trace, _toward_zero(trace.hidden, r.hidden)) if r.hidden != "float32" else None


def _truncated_gate_up(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
    if r.gate_up == "float32":
        return None
    return _through_swiglu(work, trace, _toward_zero(trace.gate_up, r.gate_up))


def _weights_in(dtype: torch.dtype) -> Callable[[Workload, Trace, Rounding], torch.Tensor | None]:
    def gradient(work: Workload, trace: Trace, r: Rounding) -> torch.Tensor | None:
        if r.routing_weight != "float32" or r.weighted != "float32":
            return None
        weights = trace.routing.weights
        return reference.combine(trace.down, weights.to(dtype).to(weights.dtype) - weights, trace.pairs)

    return gradient


def _constant(value: float) -> Callable[[Workload], float]:
    return lambda work: value


SUSPECTS = (
    Suspect("alpha", lambda work: work.layer.shape.alpha, _alpha),
    Suspect("the gate's clamp limit", lambda work: work.layer.shape.limit, _gate_limit),
    Suspect("the up clamp's upper limit", lambda work: work.layer.shape.limit, _up_limit(1)),
    Suspect("the up clamp's lower limit, negated,", lambda work: work.layer.shape.limit, _up_limit(-1)),
    Suspect("the share of a second clamp of the gate, from below,", None, _gate_lower),
    Suspect("the 1 added to up", _constant(1.0), _plus_one),
    Suspect("the factor on the down bias", _constant(1.0), _down_bias),
    Suspect("the factor on the gate_up bias", _constant(1.0), _gate_up_bias),
    Suspect("the factor on the result (routing weights)", _constant(1.0), _routing_scale),
    Suspect("the share of truncation in the result", None, _truncated_result),
    Suspect("the share of truncation in the activation", None, _truncated_hidden),
    Suspect("the share of truncation in gate_up", None, _truncated_gate_up),
    Suspect("the share of bfloat16 in the routing weights", None, _weights_in(torch.bfloat16)),
    Suspect("the share of float16 in the routing weights", None, _weights_in(torch.float16)),
)


# A share below this is no other computation: roundings of numbers that lie on a grid are not quite unbiased.
LEAST = {suspect.name: 0.3 for suspect in SUSPECTS if suspect.right is None}


def gradients(work: Workload, trace: Trace, rounding: Rounding) -> dict[str, torch.Tensor]:
    """Return the gradient (T, H) of every suspect that the declaration leaves open."""
    found = {}
    for suspect in SUSPECTS:
        gradient = suspect.gradient(work, trace, rounding)
        if gradient is not None:
            found[suspect.name] = gradient
    return found


def quantisation(work: Workload, trace: Trace, rounding: Rounding) -> torch.Tensor | None:
    """Return what the declared quantised operands do to the result (T, H), None where none are declared.

    Saturation makes it no pure noise: it is taken out of the error before a constant is looked for.
    """
    if not (rounding.activation_as or rounding.hidden_as):
        return None
    layer, pairs = work.layer, trace.pairs
    rows = quantise(work.tokens, rounding.activation_as)[pairs.token]
    hidden = reference.swiglu(reference.linear(layer, "gate_up", rows, pairs), layer.shape)
    down = reference.linear(layer, "down", quantise(hidden, rounding.hidden_as), pairs)
    return reference.combine(down, trace.routing.weights, pairs) - trace.combined


class ScoreTest:
    """Estimates of every suspect from the errors of one path's result on one workload.

    `spread` is the error model's, by stage. Rounding errors of the activation reach all channels of a token at once,
    so that the elements of the result are not independent: the standard error counts each at its source.
    """

    def __init__(
        self, work: Workload, trace: Trace, rounding: Rounding, spread: dict[str, torch.Tensor]
    ) -> None:
        self.work, self.trace, self.rounding = work, trace, rounding
        self.spread = spread
        pairs, weights = trace.pairs, trace.routing.weights
        shared = squared_product(work.layer, "down", spread["swiglu"], pairs)
        squares = weights[pairs.token, pairs.slot, None].to(shared.dtype).square()
        total = spread["combine"].double()
        from_hidden = to_slots(shared * squares, pairs, weights.shape[1]).sum(1).double()
        self.local = (total - from_hidden).clamp_min(0)
        self.inverse = torch.where(torch.isfinite(total), 1 / total.clamp_min(floor(torch.float64)), 0)
        self.gradients = gradients(work, trace, rounding)
        self.weighed = {name: self._weighed(g.double()) for name, g in self.gradients.items()}

    def _weighed(self, g: torch.Tensor) -> tuple[torch.Tensor, float, float]:
        """Return a gradient's weights (T, H) on the error, its information, and the variance of its score."""
        g = torch.where(torch.isfinite(g), g, 0)
        u = g * self.inverse
        scale = u.abs().amax().clamp_min(1e-300)  # so that float32 holds the products
        back = self._back((u / scale).to(self.spread["swiglu"].dtype)).double() * scale
        noise = (back.square() * self.spread["swiglu"].double()).sum() + (u.square() * self.local).sum()
        information, variance = torch.stack(((g * u).sum(), noise)).tolist()
        return u, information, variance

    def _back(self, effect: torch.Tensor) -> torch.Tensor:
        """Return what a weighting (T, H) of the result weighs each element of the activation with: (P, I)."""
        pairs, layer = self.trace.pairs, self.work.layer
        rows = effect[pairs.token] * self.trace.routing.weights[pairs.token, pairs.slot, None].to(
            effect.dtype
        )
        out = torch.empty(rows.shape[0], layer.shape.intermediate, dtype=effect.dtype, device=effect.device)
        for expert, start, stop in pairs.ranges:
            out[start:stop] = rows[start:stop] @ layer.matrix("down", expert, effect.dtype)
        return out

    def _declared(self) -> Iterator[torch.Tensor]:
        """Yield what the declaration itself moves the result by (T, H): operands quantised, alpha rounded."""
        quantised = quantisation(self.work, self.trace, self.rounding)
        if quantised is not None:
            yield quantised
        alpha = self.work.layer.shape.alpha
        held = float(torch.tensor(alpha).to(torch_dtype(self.rounding.constants)))
        if self.rounding.constants != "float32" and held != alpha:
            yield self.gradients["alpha"]

    def _material(self, found: Estimate) -> bool:
        if found.name in LEAST:
            return abs(found.value) >= LEAST[found.name]
        r = self.rounding
        unit = max(FORMATS[r.swiglu].unit, FORMATS[r.combine].unit)
        # Where every operation rounds, operands lie on grids and errors are not quite unbiased.
        return unit <= FORMATS["float32"].unit or abs(found.value - found.right) >= unit / 4 * abs(
            found.right
        )

    def estimates(self, error: torch.Tensor) -> dict[str, Estimate]:
        """Return each suspect's estimate alone, from errors (T, H)."""
        e = torch.where(torch.isfinite(error), error, 0).double()
        found = {}
        for suspect in SUSPECTS:
            if suspect.name not in self.weighed:
                continue
            u, information, variance = self.weighed[suspect.name]
            if information <= 0 or variance <= 0:
                continue
            right = suspect.right(self.work) if suspect.right else 0.0
            shift, spread = float((e * u).sum()) / information, variance**0.5 / information
            found[suspect.name] = Estimate(suspect.name, right + shift, spread, right, shift / spread)
        return found

    def named(self, result: torch.Tensor) -> list[Estimate]:
        """Return the constants of a result (T, H) that are off beyond the threshold, the clearest first.

        Gradients resemble each other, so each next one is judged on what the ones before leave. What the declared
        quantisation does is taken out first, as far as it is there.
        """
        left = result.double() - self.trace.combined.double()
        for known in self._declared():
            k = known.double()
            e = torch.where(torch.isfinite(left), left, 0)
            left = left - (e * k * self.inverse).sum() / (k * k * self.inverse).sum().clamp_min(1e-300) * k
        found: list[Estimate] = []
        while len(found) < ROUNDS:
            open_ = [s for s in self.estimates(left).values() if s.name not in {f.name for f in found}]
            clear = [s for s in open_ if abs(s.t) > THRESHOLD and self._material(s)]
            best = max(clear, key=lambda s: abs(s.t), default=None)
            if best is None:
                break
            found.append(best)
            gradient = self.gradients[best.name].double()
            left = left - torch.where(torch.isfinite(gradient), gradient, 0) * (best.value - best.right)
        return found

    def explains(self, found: list[Estimate], result: torch.Tensor) -> bool:
        """Whether a result that is wrong (T, H) would be right without the constants that were found."""
        error = result.double() - self.trace.combined.double()
        left = error.clone()
        for e in found:
            left -= self.gradients[e.name].double() * (e.value - e.right)
        before, after = ((x.square() * self.inverse).mean() for x in (error, left))
        return bool(after < 4 + 0.02 * before)

    def resolution(self) -> dict[str, float]:
        """Return the least shift of each constant that would be named: what the declaration lets through."""
        nothing = torch.zeros_like(self.trace.combined)
        return {name: e.error * THRESHOLD for name, e in self.estimates(nothing).items()}


@dataclass(frozen=True)
class Scored:
    """What the score tests say of one path on one workload."""

    rows: list[Row]
    estimates: dict[str, list[float]]  # value, standard error, right value, t
    resolution: dict[str, float]


def score_rows(path: PrecisionPath, runner: PathRunner, bench: Workbench) -> Scored:
    """Return the row of the score tests of a path on a workload: FAIL names the constants that are off.

    No row where the result is not right anyway and no constant explains that: its regimes say so.
    """
    work, rounding = bench.workload, path.rounding
    with poisoned():
        own = runner.route(work.tokens.clone())
        routing = own or bench.trace.routing
        result = runner.experts(work.tokens.clone(), routing)
        added = runner.residual(work.residual.clone(), result.clone())
        synchronise(work.tokens.device)
    if result.shape != bench.trace.combined.shape or not bool(torch.isfinite(result).all()):
        return Scored([], {}, {})
    with exact_float32():
        trace = bench.follow(own) if own else bench.trace
        test = ScoreTest(work, trace, rounding, bench.spread(trace, rounding))
        found = test.named(result)
        alone = test.estimates(result.double() - trace.combined.double())
        if found and not test.explains(found, result):
            found = []
        if added is not None and added.shape == result.shape:
            residual = residual_estimate(work, result, added, rounding)
            found += [residual] if residual and abs(residual.t) > THRESHOLD else []
    verdict = Verdict.FAIL if found else Verdict.PASS
    metrics: dict[str, float | int | str] = {
        "t_max": max((abs(e.t) for e in alone.values()), default=0.0),
        "constants": len(alone),
    }
    reason = "; ".join(e.sentence for e in found)
    row = Row(
        path.name, path.dtype, "combine", "constants", "score", str(verdict), not found, reason, metrics
    )
    return Scored([row], {n: [e.value, e.error, e.right, e.t] for n, e in alone.items()}, test.resolution())


def residual_estimate(
    work: Workload, result: torch.Tensor, added: torch.Tensor, rounding: Rounding
) -> Estimate | None:
    """Return the estimate of the factor on the residual, from the sum (T, H) with the path's own result."""
    given = result.to(torch_dtype(rounding.output)).double()
    g = work.residual.double()
    truth = g + given
    spread = residual_variance(given, truth, None, rounding)
    usable = torch.isfinite(added) & torch.isfinite(truth)
    w = torch.where(usable, 1 / spread.clamp_min(floor(torch.float64)), 0)
    e = torch.where(usable, added.double() - truth, 0)
    information, score = torch.stack(((g * g * w).sum(), (g * e * w).sum())).tolist()
    if information <= 0:
        return None
    shift, error = score / information, information**-0.5
    return Estimate("the factor on the residual", 1 + shift, error, 1.0, shift / error)
