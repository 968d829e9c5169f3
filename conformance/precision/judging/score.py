"""Score tests: which constant of the layer is off, by how much, seen from the result alone.

If a path holds a constant c + d where the layer says c, its error is d times the derivative of the truth with respect
to c, plus rounding. Weighted least squares over all elements, with the variances of the error model, estimates d:

    d = sum(e g / v) / sum(g^2 / v),   t = d / se(d)

A hundred thousand elements see what none of them shows: alpha held in bfloat16 moves a result by a twentieth of its
rounding. What has no derivative, such as truncation or a second clamp, is a direction: the other computation minus
the truth, whose coefficient is 0 for a right path and 1 for that one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from conformance.precision.formats.floats import FORMATS, torch_dtype
from conformance.precision.judging.constants import LEAST, SUSPECTS, gradients, held_weights, quantisation
from conformance.precision.judging.examine import Workbench
from conformance.precision.judging.judge import floor
from conformance.precision.judging.variance import residual as residual_variance
from conformance.precision.judging.variance import squared_product
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
        held = held_weights(self.work, self.trace, self.rounding)
        if held is not None:
            yield held
        alpha = self.work.layer.shape.alpha
        held = float(torch.tensor(alpha).to(torch_dtype(self.rounding.constants)))
        if self.rounding.constants != "float32" and held != alpha:
            yield self.gradients["alpha"] * (held - alpha)

    def _material(self, found: Estimate) -> bool:
        if found.name in LEAST:
            return abs(found.value) >= LEAST[found.name]
        r = self.rounding
        unit = max(FORMATS[r.swiglu].unit, FORMATS[r.combine].unit)
        # Where every operation rounds, operands lie on grids and errors are not quite unbiased.
        return unit <= FORMATS["float32"].unit or abs(found.value - found.right) >= unit / 4 * abs(
            found.right
        )

    def estimates(self, error: torch.Tensor, doubtful: torch.Tensor | None = None) -> dict[str, Estimate]:
        """Return each suspect's estimate alone, from errors (T, H).

        `doubtful` (T, H) is an effect of the declaration that may be there or not: the shift that it would look like
        widens the standard error.
        """
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
            if doubtful is not None:
                spread = math.hypot(spread, float((doubtful * u).sum()) / information)
            found[suspect.name] = Estimate(suspect.name, right + shift, spread, right, shift / spread)
        return found

    def named(self, result: torch.Tensor) -> list[Estimate]:
        """Return the constants of a result (T, H) that are off beyond the threshold, the clearest first.

        Gradients resemble each other, so each next one is judged on what the ones before leave. What the declared
        quantisation does is taken out first, as far as it is there. A kernel's numbers lie on other steps here and
        there, so that its share comes out below 1; saturation is then there whole, and the rest of it is doubtful.
        """
        left = result.double() - self.trace.combined.double()
        doubtful: torch.Tensor | None = None
        for known in self._declared():
            k = known.double()
            e = torch.where(torch.isfinite(left), left, 0)
            share = (e * k * self.inverse).sum() / (k * k * self.inverse).sum().clamp_min(1e-300)
            share = share.clamp(0, 1)  # beyond that something else is fitted, which would go too
            left = left - share * k
            rest = (1 - share) * k
            doubtful = rest if doubtful is None else doubtful + rest
        found: list[Estimate] = []
        while len(found) < ROUNDS:
            open_ = [
                s for s in self.estimates(left, doubtful).values() if s.name not in {f.name for f in found}
            ]
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
