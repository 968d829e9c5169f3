"""One layer under test: every path on every kind of input, then the constants and the sweep of token counts.

Work that runs out of memory starts again with half the tokens, and what was kept of it is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from conformance.errors import UnjudgedError
from conformance.precision.config import Config, Progress
from conformance.precision.judging import certify
from conformance.precision.judging.dequant import examine_dequant
from conformance.precision.judging.examine import Examination, Workbench
from conformance.precision.judging.judge import HISTOGRAM_EDGES
from conformance.precision.judging.meaning import check_meaning, small
from conformance.precision.judging.properties import SWEEP_LIMIT, Properties, integers_through, sweep_counts
from conformance.precision.judging.score import score_rows
from conformance.precision.model import regimes
from conformance.precision.model.flags import exact_float32
from conformance.precision.model.integers import integer_layer
from conformance.precision.model.poison import synchronise
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PathRunner, PrecisionPath
from conformance.precision.report import Row
from conformance.precision.run.ledger import Ledger, unsupported
from conformance.precision.run.machine import Machine, out_of_memory
from conformance.precision.verdicts import Verdict

SAMPLED_EXPERTS = 2  # of the dequant stage where checking all would take longer than the rest
SCORED = "gaussian"
SCORED_TOKENS = 1024  # of a tiny layer, which has too few numbers for a small shift otherwise
NARROW = 1024  # hidden sizes below are a tiny layer's


def usual_tokens(shape: LayerShape, machine: Machine) -> int:
    """Return the tokens of a regime that sets no number, where nobody asked for one."""
    return 32 if shape.hidden < NARROW else 256 if machine.on_gpu else 8


class LayerRun:
    """The judging of one layer under one seed; paths are prepared once for it where memory allows."""

    def __init__(
        self,
        config: Config,
        machine: Machine,
        ledger: Ledger,
        progress: Progress,
        layer: LayerWeights,
        seed: int,
    ) -> None:
        self.config, self.machine, self.ledger, self.progress = config, machine, ledger, progress
        self.layer, self.seed = layer, seed
        self.first = seed == config.seed
        self.weights = True  # whether the dequant stage still needs its rows
        self.base: dict[str, PathRunner] = {}
        self.reference_s = 0.0

    def run(self, chosen: list[PrecisionPath], wanted: list[regimes.Regime], name: str) -> None:
        """Judge the chosen paths on the wanted regimes; `name` is the layer's in the line of progress."""
        layer = self.layer
        part = self.ledger.part
        with part("imports of paths"):
            usable = self._usable(chosen)
        if self.first and not self.config.checkpoint:
            with part("integers"):
                for path in usable:
                    self._integers(path)
        tokens = self.config.tokens or usual_tokens(layer.shape, self.machine)
        for number, regime in enumerate(wanted):
            if regime.needs_mxfp4 and not hasattr(layer.gate_up, "blocks"):
                self.ledger.report.rows.append(
                    Row("all", "", "all", regime.name, "isolated", str(Verdict.UNSUPPORTED), True,
                        "the regime plants MXFP4 blocks, and these weights are dense")
                )  # fmt: skip
                continue
            self.progress(f"{name}: {regime.name}", number, len(wanted))
            given = self.config.tokens or regime.recorded or tokens
            with part("kinds of input"):
                self._fitting(given, partial(self._regime, usable, regime))
        if self.first:
            narrow = layer.shape.hidden < NARROW
            with part("constants"):
                self._fitting(SCORED_TOKENS if narrow else tokens, partial(self._constants, usable))
            if self.config.sweep:
                limit = SWEEP_LIMIT if self.machine.on_gpu or narrow else 32
                with part("token counts"):
                    self._fitting(limit, partial(self._sweep, usable))

    def _usable(self, chosen: list[PrecisionPath]) -> list[PrecisionPath]:
        usable = []
        for path in chosen:
            why = path.unsupported(self.machine.device, self.layer)
            if why is None:
                usable.append(path)
            elif self.first:
                self.ledger.report.rows.append(unsupported(path, "all", why))
        return usable

    def _fitting(self, tokens: int, work: Callable[[int], None]) -> None:
        """Do work with a number of tokens, with half of them when memory runs out."""
        while True:
            mark, weights = self.ledger.mark(), self.weights
            try:
                return work(tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self.ledger.back(mark)
                self.weights = weights
                self.base.clear()
                self.machine.empty()
                tokens = self._fewer(tokens)

    def _fewer(self, tokens: int) -> int:
        shape = self.layer.shape
        if tokens <= 1:
            one = 4 * 3 * shape.hidden * shape.intermediate / 2**30
            raise UnjudgedError(
                f"too little memory on {self.machine.device} for one token of {shape.name}: one expert in float32 "
                f"takes {one:.2g} GiB and the layer's weights {shape.parameters * 17 / 32 / 2**30:.2g} GiB; free some "
                "or choose a smaller --preset"
            )
        self.ledger.report.run["tokens_reduced_to"] = tokens // 2
        return tokens // 2

    def _runner(self, path: PrecisionPath) -> PathRunner:
        runner = self.base.get(path.name)
        if runner is None:
            runner = path.prepare(self.layer)
            if self.machine.roomy():
                self.base[path.name] = runner
        return runner

    def _integers(self, path: PrecisionPath) -> None:
        shape, device = small(self.layer.shape), self.machine.device
        if path.unsupported(device, integer_layer(shape, self.seed, device)):
            return  # it reads weights of another format, and these are MXFP4

        def through() -> list[Row]:
            try:
                row = integers_through(path, shape, self.seed, device)
            except (RuntimeError, MemoryError) as error:
                if not (out_of_memory(error) and path.trusted):
                    raise
                row = replace(
                    unsupported(path, "integers-through", "too little memory"),
                    stage="combine",
                    mode="property",
                )
            return [row] if row else []

        self.ledger.judged(path, "integers", lambda: check_meaning(path, shape, self.seed, device), self.seed)
        self.ledger.judged(path, "integers-through", through, self.seed)

    def _regime(self, usable: list[PrecisionPath], regime: regimes.Regime, tokens: int) -> None:
        started = time.perf_counter()
        work = regimes.build(regime, self.layer, tokens, self.seed)
        bench = Workbench.of(work)
        with exact_float32():
            proof = certify.certify(work.layer, work.tokens, work.residual, bench.trace)
        synchronise(self.machine.device)
        self.reference_s += time.perf_counter() - started
        certified = self.ledger.report.reference.setdefault("certified", {})
        index = self.ledger.layer
        place = regime.name if index is None else f"layer {index}: {regime.name}"
        certified[place] = proof.said()
        own_weights = work.layer.gate_up is not self.layer.gate_up or work.layer.down is not self.layer.down
        dequant = (own_weights or self.weights) and self.first
        self.weights = False
        for path in usable:
            if path.max_tokens is not None and work.tokens.shape[0] > path.max_tokens:
                why = f"it declares at most {path.max_tokens} tokens, and this regime has {work.tokens.shape[0]}"
                self.ledger.keep([unsupported(path, regime.name, why)] if self.first else [], self.seed)
                continue
            experts = self._sample(everything=not own_weights) if dequant else []
            judged = partial(self._on_regime, path, regime, bench.excerpt(path.few_tokens), experts)
            self.ledger.judged(path, regime.name, judged, self.seed)

    def _on_regime(
        self, path: PrecisionPath, regime: regimes.Regime, bench: Workbench, experts: list[int]
    ) -> list[Row]:
        work = bench.workload
        # Paths are prepared once for the layer; a regime with weights of its own needs its own.
        runner = path.prepare(work.layer) if work.layer is not self.layer else self._runner(path)
        rows = []
        if experts:
            row = examine_dequant(path, runner, work, experts)
            rows = [row] if row else []
        examination = Examination(path, runner, bench)
        rows += examination.run()
        if regime.unreal:
            for row in rows:
                row.expected = True
        if regime.name == SCORED and self.first:
            properties = Properties(path, runner, bench)
            rows += properties.rows()
            if path.packed or not path.trusted or self.layer.shape.parameters < 10**7:
                rows.append(properties.weights_as_views())
            # A policy's results are in several dtypes, whose units would not be comparable.
            if not path.claim and examination.histogram:
                histograms = self.ledger.report.histograms
                histograms["edges"] = HISTOGRAM_EDGES
                histograms.setdefault("paths", {})[path.name] = examination.histogram
        return rows

    def _constants(self, usable: list[PrecisionPath], tokens: int) -> None:
        bench = Workbench.of(regimes.build(regimes.REGIMES[SCORED], self.layer, tokens, self.seed))
        for number, path in enumerate(usable):
            self.progress(f"constants: {path.name}", number, len(usable))
            if path.max_tokens is None or path.max_tokens >= tokens:
                self.ledger.judged(path, "constants", partial(self._scored, path, bench), self.seed)

    def _scored(self, path: PrecisionPath, bench: Workbench) -> list[Row]:
        found = score_rows(path, self.base.get(path.name) or path.prepare(self.layer), bench)
        report = self.ledger.report
        if found.resolution:
            report.declarations.setdefault(path.name, {})["lets_through"] = found.resolution
        if found.estimates:
            report.scores.append({"path": path.name, "regime": SCORED, "estimates": found.estimates})
        return found.rows

    def _sweep(self, usable: list[PrecisionPath], limit: int) -> None:
        bench = Workbench.of(regimes.build(regimes.REGIMES[SCORED], self.layer, limit + 1, self.seed))
        for number, path in enumerate(usable):
            self.progress(f"sweep of token counts: {path.name}", number, len(usable))
            most = min(path.max_tokens or limit + 1, path.few_tokens or limit + 1)
            counts = [n for n in sweep_counts(limit + 1) if n <= most]
            self.ledger.judged(path, "token-sweep", partial(self._swept, path, bench, counts), self.seed)

    def _swept(self, path: PrecisionPath, bench: Workbench, counts: list[int]) -> list[Row]:
        runner = self.base.get(path.name) or path.prepare(self.layer)
        settled = partial(self.ledger.at, path, "token-sweep")  # the limit on time is for each count
        return [Properties(path, runner, bench).sweep(counts, settled)]

    def _sample(self, everything: bool) -> list[int]:
        shape = self.layer.shape
        if (self.machine.on_gpu and everything) or shape.parameters < 10**7:
            return list(range(shape.experts))
        return sorted({0, shape.experts - 1})[:SAMPLED_EXPERTS]
