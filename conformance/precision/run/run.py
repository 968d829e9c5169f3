"""A run: the workloads, the reference certified on each, every path judged, and the report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial

import torch

from conformance.errors import ConformanceError, UnjudgedError, UsageError
from conformance.precision.checkpoints.checkpoint import open_checkpoint
from conformance.precision.config import Config, Progress, command, silent
from conformance.precision.judging import boundary, certify, depth, overflow_certificate
from conformance.precision.judging.dequant import examine_dequant
from conformance.precision.judging.examine import Examination, Workbench
from conformance.precision.judging.judge import HISTOGRAM_EDGES
from conformance.precision.judging.meaning import check_meaning, small
from conformance.precision.judging.policies import policy_table
from conformance.precision.judging.properties import SWEEP_LIMIT, Properties, integers_through, sweep_counts
from conformance.precision.judging.score import score_rows
from conformance.precision.model import regimes
from conformance.precision.model.flags import environment, exact_float32, pick_device
from conformance.precision.model.poison import synchronise
from conformance.precision.model.rounding import describe
from conformance.precision.model.shape import LayerShape, preset
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.adapters import named_kernel
from conformance.precision.paths.base import MisbehaviourError, PathRunner, PrecisionPath
from conformance.precision.paths.registry import select
from conformance.precision.report import PrecisionReport, Row, tidy
from conformance.precision.run import selftest, timing
from conformance.precision.run.isolate import Tell, grouped, run_isolated
from conformance.precision.verdicts import Verdict

SAMPLED_EXPERTS = 2  # of the dequant stage where checking all would take longer than the rest
SCORED = "gaussian"
SCORED_TOKENS = 1024  # of a tiny layer, which has too few numbers for a small shift otherwise
MESSAGE = 4000  # characters of an exception that are kept
LOST = 70  # exit code of a worker whose card no longer answers
# On a card a whole 20b layer fits in float64, float32, float16 and bfloat16 together.
CPU_CACHE, GPU_CACHE_SHARE = 512 << 20, 0.16
KEPT_SHARE = 0.25  # of a card's memory, up to which prepared paths are kept from one regime to the next


def run(config: Config, progress: Progress = silent) -> PrecisionReport:
    """Judge every chosen path on every chosen regime and return the report.

    Raises UsageError for a choice that does not exist or a checkpoint that cannot be read, UnjudgedError when the
    reference is not exact or memory does not suffice.
    """
    if config.isolation != "none" and not config.selftest:
        return run_isolated(config, _groups(config), progress, lambda: Run(config, progress).described())
    return Run(config, progress).whole()


def _groups(config: Config) -> list[list[str]]:
    """Return the names of paths and kernels by the process they share."""
    chosen = select(list(config.paths)) if config.paths or not config.kernels else []
    names = [(path.name, path.trusted) for path in chosen] + [(kernel, False) for kernel in config.kernels]
    return grouped(names, config.isolation)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a card or on the CPU, where torch has no class for it."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


@contextmanager
def _few_threads(job: Run) -> Iterator[None]:
    """Use one thread for small layers on a CPU: there several wait for each other longer than they compute."""
    before = torch.get_num_threads()
    if not job.on_gpu and (job.config.preset or "tiny") == "tiny" and not job.config.checkpoint:
        torch.set_num_threads(1)
        job.report.environment["device"]["threads"] = 1
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Run:
    """One run's state: the device, the report so far, and the time the reference took."""

    def __init__(self, config: Config, progress: Progress, tell: Tell | None = None) -> None:
        self.config, self.progress, self.tell = config, progress, tell
        self.device = _device(config)
        self.on_gpu = self.device.type == "cuda"
        if config.timing and not self.on_gpu:
            raise UnjudgedError("--timing needs a GPU, and there is none here: leave it out")
        self.reference_s = 0.0
        self.weights_judged: set[int | None] = set()  # layers whose dequant stage has its rows
        self.layer: int | None = None  # of a checkpoint, the one being judged
        self.report = PrecisionReport(environment(self.device), {}, command=command(config))

    def whole(self) -> PrecisionReport:
        """Return the report of the run, memory that runs out being one sentence.

        Raises UnjudgedError for that, and what `run` raises.
        """
        try:
            with _few_threads(self):
                return self.run()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UnjudgedError(
                f"too little memory on {self.device}, and smaller chunks do not help: free some or choose a smaller "
                "--preset"
            ) from None

    def described(self) -> PrecisionReport:
        """Return the report with what the run was asked, and no results yet."""
        config, shape = self.config, self._shape()
        self.report.run = {
            "preset": shape.name,
            "weights": str(config.checkpoint) if config.checkpoint else "synthetic",
            "seed": config.seed,
            "seeds": config.seeds,
            "tokens": config.tokens or self._tokens(shape),
            "short": config.short,
            "kernels": list(config.kernels),
        }
        return self.report

    def _chosen(self) -> list[PrecisionPath]:
        named = [name for name in self.config.paths if name]
        chosen = select(named or None) if named or not (self.config.kernels or self.config.paths) else []
        declared = dict(d.partition("=")[::2] for d in self.config.declare)
        return chosen + [named_kernel(kernel, declared) for kernel in self.config.kernels]

    def run(self) -> PrecisionReport:
        """Do everything that was asked, and mark the report complete at the end."""
        started = time.perf_counter()
        config = self.config
        chosen = self._chosen()
        wanted = regimes.select(list(config.regimes) or None)
        with torch.inference_mode():
            shape = self._shape()
            self.report.declarations = {p.name: {"says": describe(p.rounding)} for p in chosen}
            self.described()
            if config.selftest:
                tokens = config.tokens or (64 if self.on_gpu else 32)
                if tokens < selftest.LEAST_TOKENS:
                    raise UsageError(
                        f"--tokens {tokens}: --selftest needs at least {selftest.LEAST_TOKENS}, so that every expert "
                        "has some"
                    )
                self.report.selftest = selftest.selftest(
                    shape, tokens, config.seed, self.device, self.progress, exposures=config.exposures
                )
            else:
                self._judge(chosen, wanted, shape)
        elapsed = time.perf_counter() - started
        self.report.run["elapsed_s"] = elapsed
        if self.on_gpu:
            self.report.run["peak_memory_bytes"] = torch.cuda.max_memory_allocated(self.device)
        if self.reference_s:  # the self-test has references of its own
            self.report.reference |= {
                "seconds": self.reference_s,
                "share_of_run": self.reference_s / elapsed,
            }
        self.report.complete = True
        return self.report

    def _judge(self, chosen: list[PrecisionPath], wanted: list[regimes.Regime], shape: LayerShape) -> None:
        config = self.config
        for index, layer in self._layers(shape):
            if config.certify_layers:
                self.report.certificates.append(overflow_certificate.certificate(layer, index))
            if config.checkpoint and index not in config.layers:
                continue
            self.layer = index if config.checkpoint else None
            for seed in range(config.seed, config.seed + config.seeds):
                current = layer
                if seed != config.seed and not config.checkpoint:
                    current = self._synthetic(shape, seed)
                self._judge_layer(chosen, wanted, current, seed, index)
        if config.boundary:
            self.report.boundary = boundary.boundaries(self.device)
        self.report.policies = policy_table(self.report.rows, chosen)
        layers = (
            config.depth
            if config.depth is not None
            else (shape.layers if self.on_gpu else min(4, shape.layers))
        )
        if layers:
            self._depth(chosen, shape, layers)
        if config.timing:
            self.progress("timing", 0, 1)
            self.report.timing = timing.measure(shape, config.seed, self.device)

    def _judge_layer(
        self,
        chosen: list[PrecisionPath],
        wanted: list[regimes.Regime],
        layer: LayerWeights,
        seed: int,
        index: int,
    ) -> None:
        first = seed == self.config.seed
        usable = []
        for path in chosen:
            why = path.unsupported(self.device, layer)
            if why is None:
                usable.append(path)
            elif first:
                self.report.rows.append(_unsupported(path, "all", why))
        if first and not self.config.checkpoint:
            for path in usable:
                check = partial(check_meaning, path, small(layer.shape), seed, self.device)
                self._guarded(path, "integers", check, seed)
                self._guarded(
                    path, "integers-through", partial(self._integers, path, layer.shape, seed), seed
                )
        base: dict[str, PathRunner] = {}
        for number, regime in enumerate(wanted):
            if regime.needs_mxfp4 and not hasattr(layer.gate_up, "blocks"):
                self.report.rows.append(
                    Row("all", "", "all", regime.name, "isolated", str(Verdict.UNSUPPORTED), True,
                        "the regime plants MXFP4 blocks, and these weights are dense")
                )  # fmt: skip
                continue
            self.progress(f"layer {index}, seed {seed}: {regime.name}", number, len(wanted))
            tokens = self.config.tokens or self._tokens(layer.shape)
            report = self.report
            while True:
                rows, counted, weights = len(report.rows), dict(report.run), set(self.weights_judged)
                try:
                    self._judge_regime(usable, regime, layer, seed, tokens, base)
                    break
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    # The regime starts again with fewer tokens: what was kept of it would count twice.
                    del report.rows[rows:]
                    report.run, self.weights_judged = counted, weights
                    base.clear()
                    tokens = self._fewer(tokens, layer.shape)
        if first:
            tokens = (
                SCORED_TOKENS
                if layer.shape.hidden < 1024
                else self.config.tokens or self._tokens(layer.shape)
            )
            self._smaller(tokens, lambda n: self._constants(usable, layer, seed, base, n), base, layer.shape)
        if self.config.sweep and first:
            limit = SWEEP_LIMIT if self.on_gpu or layer.shape.hidden < 1024 else 32
            self._smaller(limit, lambda n: self._sweep(usable, layer, seed, base, n), base, layer.shape)

    def _integers(self, path: PrecisionPath, shape: LayerShape, seed: int) -> list[Row]:
        try:
            row = integers_through(path, small(shape), seed, self.device)
        except (RuntimeError, MemoryError) as error:
            if not (out_of_memory(error) and path.trusted):
                raise
            row = replace(
                _unsupported(path, "integers-through", "too little memory"), stage="combine", mode="property"
            )
        return [row] if row else []

    def _smaller(
        self, tokens: int, work: Callable[[int], None], base: dict[str, PathRunner], shape: LayerShape
    ) -> None:
        """Do work with a number of tokens, with fewer when memory runs out; what was kept of it is dropped then."""
        while True:
            rows, counted = len(self.report.rows), dict(self.report.run)
            try:
                return work(tokens)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                del self.report.rows[rows:]
                self.report.run = counted
                base.clear()
                tokens = self._fewer(tokens, shape)

    def _constants(
        self,
        usable: list[PrecisionPath],
        layer: LayerWeights,
        seed: int,
        base: dict[str, PathRunner],
        tokens: int,
    ) -> None:
        bench = Workbench.of(regimes.build(regimes.REGIMES[SCORED], layer, tokens, seed))
        for number, path in enumerate(usable):
            self.progress(f"constants: {path.name}", number, len(usable))

            def judged(path: PrecisionPath = path) -> list[Row]:
                return self._score(path, base.get(path.name) or path.prepare(layer), bench)

            if path.max_tokens is None or path.max_tokens >= tokens:
                self._guarded(path, "constants", judged, seed)

    def _sweep(
        self,
        usable: list[PrecisionPath],
        layer: LayerWeights,
        seed: int,
        base: dict[str, PathRunner],
        limit: int,
    ) -> None:
        bench = Workbench.of(regimes.build(regimes.REGIMES["gaussian"], layer, limit + 1, seed))
        for number, path in enumerate(usable):
            self.progress(f"sweep of token counts: {path.name}", number, len(usable))

            def judged(path: PrecisionPath = path) -> list[Row]:
                runner = base.get(path.name) or path.prepare(layer)
                counts = [n for n in sweep_counts(limit + 1) if n <= (path.max_tokens or n)]
                return [Properties(path, runner, bench).sweep(counts, lambda: self._at(path, "token-sweep"))]

            self._guarded(path, "token-sweep", judged, seed)

    def _judge_regime(
        self,
        usable: list[PrecisionPath],
        regime: regimes.Regime,
        layer: LayerWeights,
        seed: int,
        tokens: int,
        base: dict[str, PathRunner],
    ) -> None:
        started = time.perf_counter()
        work = regimes.build(regime, layer, tokens, seed)
        bench = Workbench.of(work)
        with exact_float32():
            proof = certify.certify(work.layer, work.tokens, work.residual, bench.trace)
        if self.on_gpu:
            torch.cuda.synchronize()
        self.reference_s += time.perf_counter() - started
        certified = self.report.reference.setdefault("certified", {})
        place = regime.name if self.layer is None else f"layer {self.layer}: {regime.name}"
        certified[place] = {"tokens": proof.tokens, "of": proof.of_tokens, "stages": proof.stages}
        own_weights = work.layer.gate_up is not layer.gate_up or work.layer.down is not layer.down
        judge_weights = own_weights or self.layer not in self.weights_judged
        self.weights_judged.add(self.layer)
        for path in usable:
            if path.max_tokens is not None and work.tokens.shape[0] > path.max_tokens:
                why = f"it declares at most {path.max_tokens} tokens, and this regime has {work.tokens.shape[0]}"
                self._keep([_unsupported(path, regime.name, why)] if seed == self.config.seed else [], seed)
                continue

            def judged(path: PrecisionPath = path) -> list[Row]:
                # Paths are prepared once for the layer; a regime with weights of its own needs its own.
                runner = path.prepare(work.layer) if work.layer is not layer else base.get(path.name)
                if runner is None:
                    runner = path.prepare(layer)
                    if self._roomy():
                        base[path.name] = runner
                rows = []
                if judge_weights and seed == self.config.seed:
                    experts = self._sample(layer.shape, everything=not own_weights)
                    row = examine_dequant(path, runner, work, experts)
                    rows = [row] if row else []
                examination = Examination(path, runner, bench)
                rows += examination.run()
                if regime.unreal:
                    for row in rows:
                        row.expected = True
                if regime.name == "gaussian" and seed == self.config.seed:
                    properties = Properties(path, runner, bench)
                    rows += properties.rows()
                    if path.packed or not path.trusted or layer.shape.parameters < 10**7:
                        rows.append(properties.weights_as_views())
                # A policy's results are in several dtypes, whose units would not be comparable.
                wanted = regime.name == "gaussian" and seed == self.config.seed and not path.claim
                if wanted and examination.histogram:
                    plotted = self.report.histograms.setdefault("paths", {})
                    self.report.histograms["edges"] = HISTOGRAM_EDGES
                    plotted[path.name] = examination.histogram
                return rows

            self._guarded(path, regime.name, judged, seed)

    def _score(self, path: PrecisionPath, runner: PathRunner, bench: Workbench) -> list[Row]:
        found = score_rows(path, runner, bench)
        if found.resolution:
            self.report.declarations.setdefault(path.name, {})["lets_through"] = found.resolution
        if found.estimates:
            self.report.scores.append({"path": path.name, "regime": SCORED, "estimates": found.estimates})
        return found.rows

    def _at(self, path: PrecisionPath | None, regime: str = "") -> None:
        if self.tell:
            self.tell({"at": [path.name, path.dtype, regime] if path else None})

    def _guarded(self, path: PrecisionPath, regime: str, judged: Callable[[], list[Row]], seed: int) -> None:
        self._at(path, regime)
        try:
            try:
                rows = judged()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or path.trusted:
                    raise
                self._emptied()  # what we keep of others may have been in its way
                rows = judged()
            self._keep(rows, seed)
        except Exception as error:  # a path is other people's code: whatever it raises is its own verdict
            if isinstance(error, ConformanceError) or (out_of_memory(error) and path.trusted):
                raise
            text = (str(error).strip() or type(error).__name__)[:MESSAGE]
            reason = (
                text
                if isinstance(error, MisbehaviourError)
                else f"the path raised {type(error).__name__}: {text}"
            )
            row = Row(path.name, path.dtype, "all", regime, "isolated", str(Verdict.FAIL), False, reason)
            self._keep([row], seed)
            self._card_answers(path, reason)
        self._at(None)

    def _card_answers(self, path: PrecisionPath, reason: str) -> None:
        """End here when the card no longer answers: after an illegal access nothing in this process can be believed."""
        try:
            synchronise(self.device)
        except Exception as error:
            if self.tell:
                os._exit(LOST)  # the parent knows which path it was, and goes on with the others
            raise UnjudgedError(
                f"{path.name} took the card down ({reason.splitlines()[0]}), so that nothing after it can be judged: "
                "run it in a process of its own, without --isolation none"
            ) from error

    def _emptied(self) -> None:
        if self.on_gpu:
            torch.cuda.empty_cache()

    def _keep(self, rows: list[Row], seed: int) -> None:
        """Keep all rows of the first seed, and of the others those nobody could expect; count every one."""
        first = seed == self.config.seed
        surprising = [r for r in rows if not r.good and not r.expected]
        for row in surprising:
            row.metrics["seed"] = seed
        if self.layer is not None:
            for row in rows:
                row.metrics["layer"] = self.layer
        kept = rows if first else surprising
        self.report.rows.extend(kept)
        if self.tell and kept:
            self.tell({"rows": [tidy(asdict(row)) for row in kept]})
        run = self.report.run
        run["rows_judged"] = run.get("rows_judged", 0) + sum(r.verdict != Verdict.UNSUPPORTED for r in rows)
        run["rows_unexpected"] = run.get("rows_unexpected", 0) + len(surprising)
        flawed = sum(not r.good and r.verdict != Verdict.UNSUPPORTED for r in rows)
        run["rows_not_good"] = run.get("rows_not_good", 0) + flawed

    def _fewer(self, tokens: int, shape: LayerShape) -> int:
        if self.on_gpu:
            torch.cuda.empty_cache()
        if tokens <= 1:
            one = 4 * 3 * shape.hidden * shape.intermediate / 2**30
            raise UnjudgedError(
                f"too little memory on {self.device} for one token of {shape.name}: one expert in float32 takes "
                f"{one:.2g} GiB and the layer's weights {shape.parameters * 17 / 32 / 2**30:.2g} GiB; free some or "
                "choose a smaller --preset"
            )
        self.report.run["tokens_reduced_to"] = tokens // 2
        return tokens // 2

    def _depth(self, chosen: list[PrecisionPath], shape: LayerShape, layers: int) -> None:
        layer = synthetic_layer(shape.with_experts(shape.top_k), self.config.seed, self.device)
        stacked = [p for p in chosen if p.stacked and not p.unsupported(self.device, layer)]
        # Paths with one declaration have one growth: the first of them stands for it.
        stacked = list({p.rounding: p for p in reversed(stacked)}.values())[::-1]
        tokens = min(self.config.tokens or 64, 64)
        self.progress("stack of layers", 0, 1)
        self.report.depth = depth.grow(
            stacked, shape, layers, tokens, self.config.seed, self.device, self._cache_bytes()
        )

    def _shape(self) -> LayerShape:
        if self.config.checkpoint:
            return open_checkpoint(self.config.checkpoint).shape
        return preset(self.config.preset or ("gpt-oss-20b" if self.on_gpu else "tiny"))

    def _tokens(self, shape: LayerShape) -> int:
        return 32 if shape.hidden < 1024 else 256 if self.on_gpu else 8

    def _roomy(self) -> bool:
        """Whether prepared paths may stay in memory: each may hold the layer's weights in its own dtype."""
        if not self.on_gpu:
            return True
        total = torch.cuda.get_device_properties(self.device).total_memory
        return bool(torch.cuda.memory_allocated(self.device) < KEPT_SHARE * total)

    def _sample(self, shape: LayerShape, everything: bool) -> list[int]:
        if (self.on_gpu and everything) or shape.parameters < 10**7:
            return list(range(shape.experts))
        return sorted({0, shape.experts - 1})[:SAMPLED_EXPERTS]

    def _synthetic(self, shape: LayerShape, seed: int) -> LayerWeights:
        try:
            return self._cached(synthetic_layer(shape, seed, self.device))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            need = shape.parameters * 17 / 32 / 2**30
            raise UnjudgedError(
                f"too little memory on {self.device} for a layer of {shape.name}: its weights take {need:.2g} GiB; "
                "free some or choose a smaller --preset"
            ) from None

    def _cached(self, layer: LayerWeights) -> LayerWeights:
        return replace(layer, cache_bytes=self._cache_bytes())

    def _cache_bytes(self) -> int:
        if not self.on_gpu:
            return CPU_CACHE
        return int(torch.cuda.get_device_properties(self.device).total_memory * GPU_CACHE_SHARE)

    def _layers(self, shape: LayerShape) -> Iterator[tuple[int, LayerWeights]]:
        if not self.config.checkpoint:
            yield 0, self._synthetic(shape, self.config.seed)
            return
        checkpoint = open_checkpoint(self.config.checkpoint)
        beyond = [i for i in self.config.layers if i not in checkpoint.layers]
        if beyond:
            raise UsageError(
                f"--layer {beyond[0]}: {self.config.checkpoint} has layers {min(checkpoint.layers)} to "
                f"{max(checkpoint.layers)}"
            )
        for index in checkpoint.layers:
            if self.config.certify_layers or index in self.config.layers:
                self.progress(f"reading layer {index}", index, len(checkpoint.layers))
                yield index, self._cached(checkpoint.layer(index, self.device))


def _unsupported(path: PrecisionPath, regime: str, why: str) -> Row:
    return Row(path.name, path.dtype, "all", regime, "isolated", str(Verdict.UNSUPPORTED), True, why)


def _device(config: Config) -> torch.device:
    if not config.device:
        return pick_device()
    try:
        device = torch.device(config.device)
    except RuntimeError:
        raise UsageError(f"--device {config.device!r} is no device: write cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UnjudgedError(
            f"--device {config.device}: torch sees no GPU here; leave it out to run on the CPU"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {config.device}: only cpu and cuda are judged")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnjudgedError(f"--device {config.device}: torch sees {torch.cuda.device_count()} GPU here")
    return device
