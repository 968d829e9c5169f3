"""One path on one workload: every stage computed by the path and judged against the reference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import torch

from conformance.precision.formats.floats import torch_dtype
from conformance.precision.judging import variance
from conformance.precision.judging.causes import linear_causes, storage_causes
from conformance.precision.judging.expect import Expectation, expectation
from conformance.precision.judging.judge import Causes, Judgement, judge, ulp_histogram
from conformance.precision.judging.router import judge_router
from conformance.precision.model import reference
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.poison import poisoned, synchronise
from conformance.precision.model.reference import Pairs, Trace
from conformance.precision.model.regimes import Workload
from conformance.precision.model.rounding import Rounding
from conformance.precision.paths.base import PathRunner, PrecisionPath
from conformance.precision.report import Row
from conformance.precision.verdicts import Verdict

KEPT_VARIANCES = 6  # each holds as much as a trace


@dataclass
class Workbench:
    """The reference's work on one workload, shared by all paths: traces by routing, variances by declaration."""

    workload: Workload
    trace: Trace
    followed: list[Trace] = field(default_factory=list)
    variances: dict[tuple[int, Rounding], dict[str, torch.Tensor]] = field(default_factory=dict)
    excerpts: dict[int, Workbench] = field(default_factory=dict)

    @staticmethod
    def of(workload: Workload) -> Workbench:
        """Return the bench of a workload with the reference computed."""
        with exact_float32():
            return Workbench(workload, reference.trace(workload.layer, workload.tokens, workload.residual))

    def excerpt(self, count: int | None) -> Workbench:
        """Return the bench of that many tokens, those whose down result is largest, or this one where it has no more.

        The reference's numbers are the same ones, so that what was certified of them holds.
        """
        work, trace = self.workload, self.trace
        if count is None or count >= work.tokens.shape[0]:
            return self
        if count not in self.excerpts:
            largest = torch.zeros(work.tokens.shape[0], dtype=trace.down.dtype, device=work.tokens.device)
            size = trace.down.abs().nan_to_num(torch.inf).amax(1)
            largest.scatter_reduce_(0, trace.pairs.token, size, "amax")
            tokens = torch.topk(largest, count).indices.sort().values
            rows = torch.isin(trace.pairs.token, tokens)  # pairs keep their order: by expert, then by token
            parts = (trace.routing.logits, trace.routing.indices, trace.routing.weights)
            routing = reference.Routing(*(part[tokens] for part in parts))
            pairs = Pairs.of(routing.indices, work.layer.shape.experts)
            gate_up, hidden, down = (t[rows] for t in (trace.gate_up, trace.hidden, trace.down))
            combined, output = trace.combined[tokens], trace.output[tokens]
            cut = Trace(routing, pairs, gate_up, hidden, down, combined, output)
            part = replace(work, tokens=work.tokens[tokens], residual=work.residual[tokens])
            self.excerpts[count] = Workbench(part, cut)
        return self.excerpts[count]

    def follow(self, routing: reference.Routing) -> Trace:
        """Return the reference that follows a path's own routing, so that the other stages can be judged given it."""
        weights = routing.weights.float()
        pairs = Pairs.of(routing.indices, self.workload.layer.shape.experts)
        followed = reference.Routing(routing.logits, routing.indices, weights)
        for known in (self.trace, *self.followed):
            same = torch.equal(known.pairs.token, pairs.token) and torch.equal(
                known.pairs.expert, pairs.expert
            )
            if same:
                combined = reference.combine(known.down, weights, pairs)
                output = self.workload.residual + combined
                return Trace(followed, pairs, known.gate_up, known.hidden, known.down, combined, output)
        found = reference.trace(self.workload.layer, self.workload.tokens, self.workload.residual, followed)
        self.followed.append(found)
        return found

    def spread(self, followed: Trace, rounding: Rounding) -> dict[str, torch.Tensor]:
        """Return the variances of the chained stages, those up to down kept for paths with the same declaration."""
        key = (followed.gate_up.data_ptr(), rounding)
        if key not in self.variances:
            layer, pairs = self.workload.layer, followed.pairs
            rows = self.workload.tokens[pairs.token]
            lost = variance.activation_loss(layer, rows, rounding)
            gate_up = variance.linear(layer, "gate_up", rows, lost, followed.gate_up, pairs, rounding)
            hidden = variance.swiglu(followed.gate_up, gate_up, layer.shape, rounding)
            down = variance.linear(layer, "down", followed.hidden, hidden, followed.down, pairs, rounding)
            if len(self.variances) >= KEPT_VARIANCES:
                self.variances.pop(next(iter(self.variances)))
            self.variances[key] = {"gate_up": gate_up, "swiglu": hidden, "down": down}
        kept = self.variances[key]
        weights = followed.routing.weights  # a path's own, so that what follows is its own too
        combined = variance.combine(followed.down, kept["down"], weights, followed.pairs, rounding)
        combined = combined + variance.collective(self.workload.layer, followed, rounding)
        whole = variance.residual(followed.combined, followed.output, combined, rounding)
        return {**kept, "combine": combined, "residual": whole}


class Examination:
    """The rows of one path on one workload, in the order of the stages.

    A path is given copies: one that works in place must not change what it, or the next one, is judged against.
    """

    def __init__(self, path: PrecisionPath, runner: PathRunner, bench: Workbench) -> None:
        self.path, self.runner, self.bench = path, runner, bench
        self.rounding = path.rounding
        self.rows: list[Row] = []
        self.broken: Row | None = None  # the first chained stage that was not good
        self.histogram: list[int] | None = None  # of the chained result's error in ULP
        self.trace, self.routing = bench.trace, bench.trace.routing  # those that the path was judged against
        self.combined: torch.Tensor | None = None

    def run(self) -> list[Row]:
        """Return the rows from the router to the residual."""
        work = self.bench.workload
        with poisoned():
            own = self.runner.route(work.tokens.clone())
            synchronise(work.tokens.device)
        routing = own or self.bench.trace.routing
        with exact_float32():
            found = judge_router(self.bench, own, self.rounding) if own else None
            if found and not bool(torch.isfinite(routing.weights.float()).all()):
                self._add("router", "isolated", found, Expectation())
                return self.rows
            trace = self.bench.follow(routing) if own else self.bench.trace
            self.expected = expectation(self.path, work, trace)
        if found:
            self._add("router", "isolated", found, self.expected)
        inputs = self._inputs(trace)
        with poisoned():
            results = self._isolated(trace, routing, inputs)
            chained = self._chained(trace, routing, results["gate_up"])
            synchronise(work.tokens.device)  # before anything is believed: kernels report their faults late
        self.trace, self.routing, self.combined = trace, routing, chained["combine"]
        with exact_float32():
            self._judge(trace, inputs, results, chained)
            combined = chained["combine"]
            if combined is not None and combined.shape == trace.combined.shape:
                self.histogram = ulp_histogram(combined, trace.combined, self.rounding.output)
        return self.rows

    def _inputs(self, trace: Trace) -> dict[str, torch.Tensor]:
        r = self.rounding
        return {
            "swiglu": trace.gate_up.to(torch_dtype(r.gate_up)),
            "down": trace.hidden.to(torch_dtype(r.hidden)),
            "combine": trace.down.to(torch_dtype(r.down)),
            "residual": trace.combined.to(torch_dtype(r.output)),
        }

    def _isolated(
        self, trace: Trace, routing: reference.Routing, inputs: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor | None]:
        runner, work = self.runner, self.bench.workload
        given = {stage: tensor.clone() for stage, tensor in inputs.items()}
        return {
            "gate_up": runner.gate_up(work.tokens.clone(), trace.pairs),
            "swiglu": runner.swiglu(given["swiglu"]),
            "down": runner.down(given["down"], trace.pairs),
            "combine": runner.combine(given["combine"], trace.pairs, routing),
            "residual": runner.residual(work.residual.clone(), given["residual"]),
        }

    def _chained(
        self, trace: Trace, routing: reference.Routing, gate_up: torch.Tensor | None
    ) -> dict[str, torch.Tensor | None]:
        runner, work = self.runner, self.bench.workload
        if gate_up is not None and type(runner).hidden is PathRunner.hidden:
            hidden = runner.swiglu(gate_up.clone())  # what `hidden` does in a path that does not fuse the two
        else:
            hidden = runner.hidden(work.tokens.clone(), trace.pairs)
        combined = runner.experts(work.tokens.clone(), routing)
        usable = combined is not None and combined.shape == trace.combined.shape
        return {
            "swiglu": hidden,
            "down": runner.chained_down(work.tokens.clone(), trace.pairs, hidden),
            "combine": combined,
            "residual": runner.residual(work.residual.clone(), combined.clone()) if usable else None,
        }

    def _judge(
        self,
        trace: Trace,
        inputs: dict[str, torch.Tensor],
        isolated: dict[str, torch.Tensor | None],
        chained: dict[str, torch.Tensor | None],
    ) -> None:
        layer, pairs, r = self.bench.workload.layer, trace.pairs, self.rounding
        residual = self.bench.workload.residual
        spread = self.bench.spread(trace, r)
        truths = {
            "gate_up": trace.gate_up,
            "swiglu": trace.hidden,
            "down": trace.down,
            "combine": trace.combined,
            "residual": trace.output,
        }
        stored = {
            "gate_up": r.gate_up,
            "swiglu": r.hidden,
            "down": r.down,
            "combine": r.output,
            "residual": r.residual,
        }
        rows = self.bench.workload.tokens[pairs.token]
        causes: Causes = partial(linear_causes, layer, "gate_up", rows, trace.gate_up, pairs)
        self._stage(
            "gate_up",
            "isolated",
            isolated["gate_up"],
            trace.gate_up,
            spread["gate_up"],
            r.gate_up,
            pairs,
            causes,
        )
        before = {"swiglu": "gate_up", "down": "swiglu", "combine": "down", "residual": "combine"}
        sources = {
            "swiglu": trace.gate_up,
            "down": trace.hidden,
            "combine": trace.down,
            "residual": trace.combined,
        }
        for stage in ("swiglu", "down", "combine", "residual"):
            rows_of = pairs if stage in ("swiglu", "down") else None
            given = inputs[stage]
            if isolated[stage] is not None:
                lost = int((torch.isfinite(sources[stage]) & ~torch.isfinite(given)).sum())
                if not lost:
                    truth, spread_here, causes = self._alone(stage, given.float(), trace, residual)
                    self._stage(
                        stage, "isolated", isolated[stage], truth, spread_here, stored[stage], rows_of, causes
                    )
                else:
                    self._unheld(stage, before[stage], lost)
            self._stage(
                stage, "chained", chained[stage], truths[stage], spread[stage], stored[stage], rows_of,
                partial(storage_causes, truths[stage]),
            )  # fmt: skip

    def _alone(
        self, stage: str, given: torch.Tensor, trace: Trace, residual: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, Causes]:
        layer, pairs, r = self.bench.workload.layer, trace.pairs, self.rounding
        wide = given.to(variance.work_dtype(layer))
        if stage == "swiglu":
            truth = reference.swiglu(given, layer.shape)
            return truth, variance.swiglu(wide, None, layer.shape, r), lambda: storage_causes(truth)
        if stage == "down":
            truth = reference.linear(layer, "down", given, pairs)
            spread = variance.linear(layer, "down", given, None, truth, pairs, r)
            return truth, spread, lambda: linear_causes(layer, "down", given, truth, pairs)
        if stage == "combine":
            truth = reference.combine(given, trace.routing.weights, pairs)
            spread = variance.combine(wide, None, trace.routing.weights, pairs, r)
            return truth, spread, lambda: storage_causes(truth)
        truth = residual + given
        spread = variance.residual(wide, truth.to(wide.dtype), None, r)
        return truth, spread, lambda: storage_causes(truth)

    def _stage(
        self,
        stage: str,
        mode: str,
        actual: torch.Tensor | None,
        truth: torch.Tensor,
        spread: torch.Tensor,
        stored: str,
        pairs: Pairs | None,
        causes: Causes,
    ) -> None:
        if actual is None:
            return
        found = judge(actual, truth, spread, stored, pairs=pairs, causes=causes)
        if stage == "gate_up":
            limit = self.bench.workload.layer.shape.limit
            found.metrics["clamped_gate"] = float((truth[..., ::2] > limit).float().mean())
            found.metrics["clamped_up"] = float((truth[..., 1::2].abs() > limit).float().mean())
        self._add(stage, mode, found, self.expected)

    def _unheld(self, stage: str, source: str, count: int) -> None:
        reason = f"{count} numbers of its input do not fit the dtype that {source} is stored in"
        self._row(stage, "isolated", f"{Verdict.OVERFLOW}@{source}", True, reason, {"nonfinite": count})

    def _add(self, stage: str, mode: str, found: Judgement, expected: Expectation) -> None:
        verdict, reason = str(found.verdict), found.reason
        if found.verdict is Verdict.OVERFLOW:
            verdict = f"{Verdict.OVERFLOW}@{stage}"
        as_expected = found.verdict.good or expected.excuses(stage, found.verdict)
        if not found.verdict.good and mode == "chained" and self.broken and self._alone_was_good(stage):
            # Fed from the reference this stage is right: name the stage that broke the chain.
            verdict = self.broken.verdict
            reason = f"follows from {self.broken.stage}" + (f": {reason}" if reason else "")
            as_expected = self.broken.expected
        row = self._row(stage, mode, verdict, as_expected, reason, found.metrics)
        if not row.good and self.broken is None and (mode == "chained" or stage == "gate_up"):
            self.broken = row

    def _alone_was_good(self, stage: str) -> bool:
        alone = [r for r in self.rows if r.stage == stage and r.mode == "isolated"]
        source_unheld = (
            alone and alone[0].verdict.startswith("OVERFLOW@") and not alone[0].verdict.endswith(stage)
        )
        return not alone or alone[0].good or bool(source_unheld)

    def _row(
        self, stage: str, mode: str, verdict: str, expected: bool, reason: str, metrics: dict[str, float]
    ) -> Row:
        row = Row(
            self.path.name, self.path.dtype, stage, self.bench.workload.regime, mode, verdict, expected, reason,
            dict(metrics),
        )  # fmt: skip
        self.rows.append(row)
        return row
