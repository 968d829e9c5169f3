"""Faults as people meet them: a sample of each kind is caught in both exposures, and right variants are not accused."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from conformance.precision.faults.catalogue import all_faults  # noqa: E402
from conformance.precision.faults.right import right_paths  # noqa: E402
from conformance.precision.model.shape import PRESETS  # noqa: E402
from conformance.precision.model.synthetic import synthetic_layer  # noqa: E402
from conformance.precision.run.exposures import Bench, accused, planted_path  # noqa: E402

# fault, exposure, and what catches it
CAUGHT = [
    ("wrong-at-3-and-4-tokens", "fused", "token-sweep"),
    ("capacity-of-192", "fused", "token-sweep"),
    ("nan-swallowed", "fused", "nan-in-a-token"),
    ("nan-of-one-token-spreads", "fused", "nan-in-a-token"),
    ("writes-into-its-input", "fused", "inputs-unchanged"),
    ("unwritten-tail", "fused", "gaussian"),
    ("stale-workspace", "fused", "repeats"),
    ("strides-ignored", "fused", "tokens-as-views"),
    ("alpha-in-bfloat16", "fused", "constants"),
    ("routing-weights-times-0.999", "fused", "constants"),
    ("result-truncated", "fused", ""),
    ("result-truncated", "staged", "constants"),
    ("activation-truncated", "staged", "constants"),
    ("gate-clamped-on-both-sides", "fused", "low-gates"),
    ("approximate-tanh", "fused", "low-gates"),
    ("subnormals-flushed", "fused", "subnormals"),
    ("float16-accumulator", "fused", "cancelling-sums"),
]


@pytest.fixture(scope="module")
def bench():
    torch.set_num_threads(1)
    with torch.inference_mode():
        layer = synthetic_layer(PRESETS["tiny"], 0, torch.device("cpu"))
        layer.cache_bytes = 1 << 28
        yield Bench(layer, 32, 1024, 513, 0)


@pytest.mark.parametrize(("name", "exposure", "by"), CAUGHT)
def test_a_fault_that_hides_in_a_fused_kernel_is_caught(bench, name, exposure, by):
    fault = all_faults()[name]
    row = accused(planted_path(fault, exposure), bench, by if by in bench_regimes() else fault.regime)
    assert row is not None
    assert row.regime == by or not by


def bench_regimes():
    from conformance.precision.model.regimes import REGIMES

    return REGIMES


@pytest.mark.parametrize("path", right_paths(), ids=lambda p: p.name)
def test_a_right_variant_is_not_accused(bench, path):
    from conformance.precision.judging.examine import Examination
    from conformance.precision.judging.score import score_rows

    for regime in ("gaussian", "outlier-channels", "cancelling-sums"):
        work = bench.of(regime)
        rows = Examination(path, path.prepare(work.workload.layer), work).run()
        assert [r for r in rows if not r.good and not r.expected] == []
    (row,) = score_rows(path, path.prepare(bench.layer), bench.of("gaussian", 1024)).rows
    assert row.good, row.reason
