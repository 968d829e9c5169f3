"""What a table of errors never asks: does NaN stay in its token, are inputs left alone, do views and repeats agree?

Each property is one row of a path, in mode `property`, about the layer's result as a user calls for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from conformance.precision.judging.examine import Workbench
from conformance.precision.judging.judge import Judgement, judge
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.integers import fused_integers
from conformance.precision.model.poison import poisoned, synchronise
from conformance.precision.model.reference import Routing
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import DenseTensor, LayerWeights, Matrix, MxTensor, StoredTensor
from conformance.precision.paths.base import PathRunner, PrecisionPath
from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

REPEATS = 3
SWEEP_LIMIT = 4096


def sweep_counts(limit: int) -> list[int]:
    """Return the token counts of a sweep: every one to 32, then powers of two, one less and one more."""
    counts = set(range(1, min(limit, 32) + 1))
    power = 32
    while power <= limit:
        counts |= {n for n in (power - 1, power, power + 1) if n <= limit}
        power *= 2
    return sorted(counts)


class Properties:
    """The properties of one path, on a workload whose reference and variances are already there."""

    def __init__(self, path: PrecisionPath, runner: PathRunner, bench: Workbench) -> None:
        self.path, self.runner, self.bench = path, runner, bench
        work = bench.workload
        own = runner.route(work.tokens.clone())
        with exact_float32():
            self.trace = bench.follow(own) if own else bench.trace
            self.spread = bench.spread(self.trace, path.rounding)["combine"]
        self.routing = own or bench.trace.routing

    def rows(self) -> Iterator[Row]:
        """Yield one row a property."""
        clean = self._call(self.bench.workload.tokens.clone(), self.routing)
        yield self._unchanged()
        for name, value in (("nan-in-a-token", float("nan")), ("infinity-in-a-token", float("inf"))):
            yield self._contained(name, value, clean)
        yield self._repeats(clean)
        yield self._alone(clean)
        yield self._strided_tokens()

    def _call(self, tokens: torch.Tensor, routing: Routing, runner: PathRunner | None = None) -> torch.Tensor:
        with poisoned():
            found = (runner or self.runner).experts(tokens, routing)
            synchronise(tokens.device)
        return found.clone()  # a runner may give out its workspace

    def _judge(self, actual: torch.Tensor, rows: torch.Tensor | slice) -> Judgement:
        with exact_float32():
            return judge(actual, self.trace.combined[rows], self.spread[rows], self.path.rounding.output)

    def _row(self, name: str, wrong: str, metrics: dict[str, float] | None = None, said: str = "") -> Row:
        verdict = Verdict.FAIL if wrong else Verdict.PASS
        return Row(
            self.path.name, self.path.dtype, "combine", name, "property", str(verdict), not wrong, wrong or said,
            dict(metrics or {}),
        )  # fmt: skip

    def _unchanged(self) -> Row:
        work = self.bench.workload
        given = {
            "the tokens": work.tokens.to(self._input_dtype(), copy=True),
            "the routing's indices": self.routing.indices.clone(),
            "the routing's weights": self.routing.weights.clone(),
        }
        before = {name: tensor.clone() for name, tensor in given.items()}
        weights = _fingerprint(work.layer)
        routing = Routing(self.routing.logits, *list(given.values())[1:])
        self._call(given["the tokens"], routing)
        written = [name for name in given if not torch.equal(given[name], before[name])]
        if _fingerprint(work.layer) != weights:
            written.append("the weights")
        wrong = f"the path writes into {', '.join(written)}, which it does not declare" if written else ""
        return self._row("inputs-unchanged", "" if self.path.in_place else wrong, said=wrong)

    def _input_dtype(self) -> torch.dtype:
        # The dtype that the path computes in, so that no conversion makes a copy for it.
        from conformance.precision.formats.floats import torch_dtype

        return torch_dtype(self.path.rounding.activation)

    def _contained(self, name: str, value: float, clean: torch.Tensor) -> Row:
        tokens = self.bench.workload.tokens.clone()
        victim = tokens.shape[0] // 2
        tokens[victim, tokens.shape[1] // 3] = value
        found = self._call(tokens, self.routing)
        others = torch.arange(found.shape[0], device=found.device) != victim
        metrics = {"token": float(victim), "finite_in_token": float(torch.isfinite(found[victim]).sum())}
        if bool(others.any()):
            apart = self._judge(found[others], others)
            if not apart.verdict.good and self._judge(clean[others], others).verdict.good:
                return self._row(
                    name, f"it spreads to other tokens: {apart.reason}", {**apart.metrics, **metrics}
                )
        swallowed = bool(torch.isfinite(found[victim]).all())
        wrong = (
            "it vanishes: the token's result is finite, as if its input had been sound" if swallowed else ""
        )
        return self._row(name, "" if self.path.nan_vanishes else wrong, metrics, wrong)

    def _repeats(self, clean: torch.Tensor) -> Row:
        different = 0
        for _ in range(REPEATS - 1):
            # The tokens in another order in between: a workspace that holds an older call's rows shows.
            flipped = Routing(
                *(t.flip(0) for t in (self.routing.logits, self.routing.indices, self.routing.weights))
            )
            turned = self._call(self.bench.workload.tokens.flip(0), flipped).flip(0)
            again = self._call(self.bench.workload.tokens.clone(), self.routing)
            for result, what in ((turned, "with the tokens in another order"), (again, "repeated")):
                found = self._judge(result, slice(None))
                if not found.verdict.good and self._judge(clean, slice(None)).verdict.good:
                    return self._row("repeats", f"a call {what} is wrong: {found.reason}", found.metrics)
            different = max(different, int((again != clean).sum()))
        said = f"{different} of {clean.numel()} numbers differ between repeats" if different else ""
        wrong = f"declared deterministic, but {said}" if different and self.path.deterministic else ""
        return self._row("repeats", wrong, {"different": float(different)}, said)

    def _alone(self, clean: torch.Tensor) -> Row:
        different, last = 0, self.bench.workload.tokens.shape[0] - 1
        for row in sorted({0, last // 2, last}):
            part = slice(row, row + 1)
            found = self._call(self.bench.workload.tokens[part].clone(), _part(self.routing, part))
            verdict = self._judge(found, part)
            if not verdict.verdict.good and self._judge(clean[part], part).verdict.good:
                return self._row(
                    "row-alone", f"token {row} alone is wrong: {verdict.reason}", verdict.metrics
                )
            different += int((found != clean[part]).sum())
        said = f"{different} numbers differ between a token alone and in its batch" if different else ""
        wrong = f"declared batch invariant, but {said}" if different and self.path.batch_invariant else ""
        return self._row("row-alone", wrong, {"different": float(different)}, said)

    def _strided_tokens(self) -> Row:
        tokens = self.bench.workload.tokens.to(self._input_dtype())
        wide = torch.full(
            (tokens.shape[0], tokens.shape[1] + 3), float("nan"), dtype=tokens.dtype, device=tokens.device
        )
        view = wide[:, 1 : 1 + tokens.shape[1]]
        view.copy_(tokens)
        found = self._judge(self._call(view, self.routing), slice(None))
        wrong = "" if found.verdict.good else f"tokens as a view (strided, odd offset): {found.reason}"
        if wrong and not self._judge(self._call(tokens.clone(), self.routing), slice(None)).verdict.good:
            wrong = ""  # it is wrong on any tokens, which other rows say
        return self._row("tokens-as-views", wrong, found.metrics)

    def weights_as_views(self) -> Row:
        """Return the row of weights and biases that are views: strided, and beginning at an odd address."""
        layer = strided(self.bench.workload.layer)
        found = self._judge(
            self._call(self.bench.workload.tokens.clone(), self.routing, self.path.prepare(layer)),
            slice(None),
        )
        wrong = "" if found.verdict.good else f"weights, scales and biases as views: {found.reason}"
        return self._row("weights-as-views", wrong, found.metrics)

    def sweep(self, counts: list[int], settled: Callable[[], None] = lambda: None) -> Row:
        """Return the row of the sweep over token counts: each call on other tokens, judged by itself."""
        bad: dict[int, Judgement] = {}
        worst: Judgement | None = None
        total = self.bench.workload.tokens.shape[0]
        for number, count in enumerate(counts):
            start = (number * 37) % (total - count + 1)
            part = slice(start, start + count)
            tokens, routing = self.bench.workload.tokens[part].clone(), _part(self.routing, part)
            found = self._judge(self._call(tokens, routing), part)
            settled()
            if not found.verdict.good:
                bad[count] = found
            if worst is None or found.metrics.get("z_max", 0.0) > worst.metrics.get("z_max", 0.0):
                worst = found
        metrics: dict[str, float | int | str] = dict(worst.metrics if worst else {})
        metrics |= {"counts": len(counts), "largest_count": counts[-1]}
        if not bad:
            return self._row("token-sweep", "", metrics)  # type: ignore[arg-type]  # metrics of one row mix types
        first = min(bad)
        named = ", ".join(map(str, sorted(bad)[:12])) + (" …" if len(bad) > 12 else "")
        metrics["wrong_counts"] = ",".join(map(str, sorted(bad)))
        reason = (
            f"wrong at {len(bad)} of {len(counts)} token counts ({named}); at {first}: {bad[first].reason}"
        )
        return self._row("token-sweep", reason, metrics)  # type: ignore[arg-type]  # as above


def _part(routing: Routing, rows: slice) -> Routing:
    return Routing(*(t[rows].clone() for t in (routing.logits, routing.indices, routing.weights)))


def _tensors(layer: LayerWeights) -> Iterator[torch.Tensor]:
    for matrix in (layer.gate_up, layer.down):
        yield from (matrix.blocks, matrix.scales) if isinstance(matrix, MxTensor) else (matrix.values,)
    yield from (layer.gate_up_bias, layer.down_bias, layer.router, layer.router_bias)


def _fingerprint(layer: LayerWeights) -> list[int]:
    return [int(t.contiguous().view(torch.uint8).long().sum()) for t in _tensors(layer)]


def _strided_tensor(values: torch.Tensor) -> torch.Tensor:
    wide = torch.empty((*values.shape[:-1], values.shape[-1] + 1), dtype=values.dtype, device=values.device)
    wide.fill_(127 if values.dtype == torch.uint8 else float("nan"))
    wide[..., 1:] = values
    return wide[..., 1:]


def strided(layer: LayerWeights) -> LayerWeights:
    """Return the same weights as views into wider tensors, one element in: strided and misaligned."""

    def matrix(source: Matrix) -> Matrix:
        if isinstance(source, MxTensor):
            return MxTensor(_strided_tensor(source.blocks), _strided_tensor(source.scales))
        if isinstance(source, StoredTensor):
            parts = {
                n: _strided_tensor(p) if isinstance(p, torch.Tensor) else p for n, p in source.parts.items()
            }
            return StoredTensor(_strided_tensor(source.values), source.format, parts)
        return DenseTensor(_strided_tensor(source.values))

    return replace(
        layer.changed(gate_up=matrix(layer.gate_up), down=matrix(layer.down)),
        gate_up_bias=_strided_tensor(layer.gate_up_bias),
        down_bias=_strided_tensor(layer.down_bias),
    )


def integers_through(path: PrecisionPath, shape: LayerShape, seed: int, device: torch.device) -> Row | None:
    """Return the row of an integer workload through the whole layer, which must come out exact in 8 bits or more.

    None for a path that keeps more than 16 bits of its activation: there gate * sigmoid(alpha * gate) is not yet 7.
    """
    r = path.rounding
    if r.hidden == "float32" or r.activation_as or r.hidden_as or r.split_k > 1:
        return None
    work = fused_integers(shape, seed, device)
    with poisoned():
        found = path.prepare(work.layer).experts(work.tokens.clone(), work.routing)
        synchronise(device)
    wrong = (
        int((found.float() != work.result).sum()) if found.shape == work.result.shape else work.result.numel()
    )
    reason = f"{wrong} of {work.result.numel()} integers are wrong" if wrong else ""
    verdict = Verdict.FAIL if wrong else Verdict.EXACT
    return Row(
        path.name, path.dtype, "combine", "integers-through", "property", str(verdict), not wrong, reason,
        {"wrong": float(wrong), "numbers": float(work.result.numel())},
    )  # fmt: skip
