"""What is compiled ahead, and what a path with few tokens is judged on."""

from __future__ import annotations

import pytest
import torch

from conformance.precision.config import Config
from conformance.precision.judging.examine import Workbench
from conformance.precision.model import regimes
from conformance.precision.model.reference import Pairs
from conformance.precision.model.shape import preset
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.paths import triton_mx
from conformance.precision.paths.registry import select
from conformance.precision.paths.triton_ahead import Kernels, compile_kernels
from conformance.precision.run.run import Run


class Compiler:
    """Kernels that note what they are asked to compile."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        outer = self

        class Kernel:
            def warmup(self, *args, grid, **options):
                outer.asked.append((name, *sorted((k, v) for k, v in options.items())))

        return Kernel()


def test_every_kernel_is_compiled_by_one_of_the_processes():
    whole, shared = Compiler(), Compiler()
    compile_kernels(Kernels(whole, 0, 1))
    for number in range(3):
        compile_kernels(Kernels(shared, number, 3))
    assert sorted(map(str, shared.asked)) == sorted(map(str, whole.asked))
    names = {name for name, *_ in whole.asked}
    assert names == {"gate_up_kernel", "down_kernel", "combine_kernel"}
    tiles = {
        (dict(options)["BM"], dict(options)["BN"]) for name, *options in whole.asked if name == "down_kernel"
    }
    assert tiles == {(t.bm, t.bn) for t in (triton_mx.FEW, triton_mx.SOME, triton_mx.MANY)}


@pytest.mark.parametrize("regime", ["outlier-rows", "scale-beyond", "gaussian"])
def test_an_excerpt_has_the_references_own_numbers(regime, cpu):
    layer = synthetic_layer(preset("tiny"), 3, cpu)
    bench = Workbench.of(regimes.build(regimes.REGIMES[regime], layer, 24, 3))
    part = bench.excerpt(8)
    assert all(a is b for a, b in zip(map(bench.excerpt, (None, 24, 8)), (bench, bench, part), strict=True))
    work, trace = part.workload, part.trace
    assert work.tokens.shape[0] == trace.pairs.tokens == 8
    at = [int((bench.workload.tokens == row).all(1).nonzero()[0]) for row in work.tokens]
    assert at == sorted(at)
    assert torch.equal(trace.combined.nan_to_num(), bench.trace.combined[at].nan_to_num())
    pairs = Pairs.of(trace.routing.indices, layer.shape.experts)
    for number in range(len(pairs.token)):
        token, expert = at[int(trace.pairs.token[number])], trace.pairs.expert[number]
        whole = bench.trace.pairs
        place = ((whole.token == token) & (whole.expert == expert)).nonzero()[0]
        assert torch.equal(trace.down[number].nan_to_num(), bench.trace.down[place][0].nan_to_num())
    if regime == "outlier-rows":  # the planted rows are the largest
        assert float(trace.down.abs().amax()) == float(bench.trace.down.abs().amax()) > 65504


def test_a_path_with_few_tokens_is_judged_on_them_and_says_so():
    pytest.importorskip("transformers")
    names = ("transformers-batched_mm-float16", "transformers-eager-float16")
    assert [p.few_tokens for p in select(list(names))] == [32, None]
    config = Config(preset="tiny", device="cpu", paths=names, regimes=("outlier-rows",), tokens=40, depth=0)
    report = Run(config, lambda *what: None).whole()
    numbers = {
        (r.path, r.stage, r.mode): r
        for r in report.rows
        if r.regime == "outlier-rows" and r.stage == "residual"
    }
    hidden = preset("tiny").hidden
    few, all_ = (numbers[name, "residual", "chained"] for name in names)
    assert few.metrics["compared"] + few.metrics["nonfinite"] == 32 * hidden
    assert all_.metrics["compared"] + all_.metrics["nonfinite"] == 40 * hidden
    assert few.verdict == all_.verdict
    assert report.declarations[names[0]]["tokens_at_most"] == 32
    assert set(report.run["seconds"]["paths"]) == set(names)
