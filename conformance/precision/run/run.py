"""A run: the layers of a preset or a checkpoint, each judged, and what is asked of a whole stack; the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.precision.checkpoints.activations import Activations
from conformance.precision.checkpoints.checkpoint import open_checkpoint
from conformance.precision.checkpoints.stored import held, known
from conformance.precision.config import Config, Progress, command, silent
from conformance.precision.judging import boundary, depth, overflow_certificate
from conformance.precision.judging.policies import policy_table
from conformance.precision.model import regimes
from conformance.precision.model.flags import environment
from conformance.precision.model.rounding import describe
from conformance.precision.model.shape import LayerShape, preset
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.adapters import named_kernel
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.paths.registry import select
from conformance.precision.report import PrecisionReport
from conformance.precision.run import selftest, timing
from conformance.precision.run.ahead import compiling
from conformance.precision.run.isolate import grouped, run_isolated
from conformance.precision.run.layer import LayerRun, usual_tokens
from conformance.precision.run.ledger import Ledger, Tell
from conformance.precision.run.machine import Machine, out_of_memory

DEPTH_TOKENS = 64


def run(config: Config, progress: Progress = silent) -> PrecisionReport:
    """Judge every chosen path on every chosen regime and return the report.

    Raises UsageError for a choice that does not exist or a checkpoint that cannot be read, UnjudgedError when the
    reference is not exact or memory does not suffice.
    """
    if config.isolation != "none" and not config.selftest:
        chosen = select(list(config.paths)) if config.paths or not config.kernels else []
        with compiling(config, chosen):
            groups = _groups(config, chosen)
            return run_isolated(config, groups, progress, lambda: Run(config, progress).described())
    return Run(config, progress).whole()


def _groups(config: Config, chosen: list[PrecisionPath]) -> list[list[str]]:
    """Return the names of paths and kernels by the process they share."""
    names = [(path.name, path.trusted) for path in chosen] + [(kernel, False) for kernel in config.kernels]
    return grouped(names, config.isolation)


class Run:
    """One run in this process: what it judges, on which machine, and the report so far."""

    def __init__(self, config: Config, progress: Progress, tell: Tell | None = None) -> None:
        self.config, self.progress = config, progress
        self.machine = Machine.of(config)
        if config.timing and not self.machine.on_gpu:
            raise UnjudgedError("--timing needs a GPU, and there is none here: leave it out")
        self.reference_s = 0.0
        self.report = PrecisionReport(environment(self.machine.device), {}, command=command(config))
        self.ledger = Ledger(self.report, self.machine, config.seed, tell)

    def whole(self) -> PrecisionReport:
        """Return the report of the run, memory that runs out being one sentence.

        Raises UnjudgedError for that, and what `run` raises.
        """
        small = (self.config.preset or "tiny") == "tiny" and not self.config.checkpoint
        try:
            with self.machine.threads(small) as threads:
                if threads:
                    self.report.environment["device"]["threads"] = threads
                return self.run()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UnjudgedError(
                f"too little memory on {self.machine.device}, and smaller chunks do not help: free some or choose a "
                "smaller --preset"
            ) from None

    def described(self) -> PrecisionReport:
        """Return the report with what the run was asked, and no results yet."""
        config, shape = self.config, self._shape()
        self.report.run |= {
            "preset": shape.name,
            "weights": str(config.checkpoint) if config.checkpoint else "synthetic",
            "seed": config.seed,
            "seeds": config.seeds,
            "tokens": config.tokens or usual_tokens(shape, self.machine),
            "short": config.short,
            **({"stored": known(config.stored)} if config.stored else {}),
            "kernels": list(config.kernels),
        }
        return self.report

    def run(self) -> PrecisionReport:
        """Do everything that was asked, and mark the report complete at the end."""
        started = time.perf_counter()
        chosen = self._chosen()
        wanted = regimes.select(list(self.config.regimes) or None)
        with torch.inference_mode():
            shape = self._shape()
            self.report.declarations = {p.name: {"says": describe(p.rounding)} for p in chosen}
            for path in chosen:
                if path.few_tokens:
                    self.report.declarations[path.name]["tokens_at_most"] = path.few_tokens
            self.described()
            if self.config.selftest:
                self._selftest(shape)
            else:
                self._judge(chosen, wanted, shape)
        elapsed = time.perf_counter() - started
        self.report.run["elapsed_s"] = elapsed
        if self.machine.on_gpu:
            self.report.run["peak_memory_bytes"] = torch.cuda.max_memory_allocated(self.machine.device)
        if self.reference_s:  # the self-test has references of its own
            self.report.reference |= {
                "seconds": self.reference_s,
                "share_of_run": self.reference_s / elapsed,
            }
        self.report.complete = True
        return self.report

    def _chosen(self) -> list[PrecisionPath]:
        named = [name for name in self.config.paths if name]
        chosen = select(named or None) if named or not (self.config.kernels or self.config.paths) else []
        declared = dict(d.partition("=")[::2] for d in self.config.declare)
        return chosen + [named_kernel(kernel, declared) for kernel in self.config.kernels]

    def _selftest(self, shape: LayerShape) -> None:
        config = self.config
        tokens = config.tokens or (64 if self.machine.on_gpu else 32)
        if tokens < selftest.LEAST_TOKENS:
            raise UsageError(
                f"--tokens {tokens}: --selftest needs at least {selftest.LEAST_TOKENS}, so that every expert has some"
            )
        self.report.selftest = selftest.selftest(
            shape, tokens, config.seed, self.machine.device, self.progress, exposures=config.exposures
        )

    def _judge(self, chosen: list[PrecisionPath], wanted: list[regimes.Regime], shape: LayerShape) -> None:
        config = self.config
        recorded = Activations(config.activations, shape) if config.activations else None
        if recorded:
            self.report.run["activations"] = recorded.said()
        for index, layer in self._layers(shape):
            if config.certify_layers:
                with self.ledger.part("overflow certificates"):
                    self.report.certificates.append(overflow_certificate.certificate(layer, index))
            if config.checkpoint and index not in config.layers:
                continue
            self.ledger.layer = index if config.checkpoint else None
            for seed in range(config.seed, config.seed + config.seeds):
                current = layer
                if seed != config.seed and not config.checkpoint:
                    current = self._synthetic(shape, seed)
                job = LayerRun(config, self.machine, self.ledger, self.progress, current, seed)
                kinds = wanted
                if recorded:  # it has no seed
                    at = index if config.checkpoint else None
                    kinds = [recorded.regime(current, at)] * (seed == config.seed) + wanted
                job.run(chosen, kinds, f"layer {index}, seed {seed}")
                self.reference_s += job.reference_s
        if config.boundary:
            with self.ledger.part("scale boundary"):
                self.report.boundary = boundary.boundaries(self.machine.device)
        self.report.policies = policy_table(self.report.rows, chosen)
        usual = shape.layers if self.machine.on_gpu else min(4, shape.layers)
        if layers := usual if config.depth is None else config.depth:
            with self.ledger.part("stack of layers"):
                self._depth(chosen, shape, layers)
        if config.timing:
            self.progress("timing", 0, 1)
            self.report.timing = timing.measure(shape, config.seed, self.machine.device)

    def _depth(self, chosen: list[PrecisionPath], shape: LayerShape, layers: int) -> None:
        device, seed = self.machine.device, self.config.seed
        layer = synthetic_layer(shape.with_experts(shape.top_k), seed, device)
        stacked = [p for p in chosen if p.stacked and not p.unsupported(device, layer)]
        # Paths with one declaration have one growth: the first of them stands for it.
        stacked = list({p.rounding: p for p in reversed(stacked)}.values())[::-1]
        tokens = min(self.config.tokens or DEPTH_TOKENS, DEPTH_TOKENS)
        self.progress("stack of layers", 0, 1)
        self.report.depth = depth.grow(stacked, shape, layers, tokens, seed, device, self.machine.cache_bytes)

    def _shape(self) -> LayerShape:
        if self.config.checkpoint:
            return open_checkpoint(self.config.checkpoint).shape
        return preset(self.config.preset or ("gpt-oss-20b" if self.machine.on_gpu else "tiny"))

    def _synthetic(self, shape: LayerShape, seed: int) -> LayerWeights:
        try:
            layer = synthetic_layer(shape, seed, self.machine.device)
            return self._cached(held(layer, self.config.stored) if self.config.stored else layer)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            need = shape.parameters * 17 / 32 / 2**30
            raise UnjudgedError(
                f"too little memory on {self.machine.device} for a layer of {shape.name}: its weights take {need:.2g} "
                "GiB; free some or choose a smaller --preset"
            ) from None

    def _cached(self, layer: LayerWeights) -> LayerWeights:
        return replace(layer, cache_bytes=self.machine.cache_bytes)

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
                yield index, self._cached(checkpoint.layer(index, self.machine.device))
