"""Paths: no false alarm on right code, overflow named where it happens, policies and routers judged."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from conformance.errors import UsageError  # noqa: E402
from conformance.precision.config import Config  # noqa: E402
from conformance.precision.judging import overflow_certificate  # noqa: E402
from conformance.precision.judging.examine import Examination, Workbench  # noqa: E402
from conformance.precision.judging.expect import Expectation  # noqa: E402
from conformance.precision.judging.meaning import check_meaning  # noqa: E402
from conformance.precision.model import reference, regimes  # noqa: E402
from conformance.precision.model.shape import PRESETS, LayerShape  # noqa: E402
from conformance.precision.model.synthetic import synthetic_layer  # noqa: E402
from conformance.precision.paths.registry import all_paths, select  # noqa: E402
from conformance.precision.run.run import run  # noqa: E402
from conformance.precision.verdicts import Verdict  # noqa: E402

TINY = PRESETS["tiny"]


def _runnable(cpu):
    layer = synthetic_layer(TINY, 0, cpu)
    return [p for p in all_paths().values() if p.unsupported(cpu, layer) is None]


@pytest.mark.parametrize("regime", list(regimes.REGIMES))
def test_no_false_alarm(regime, cpu):
    # 200 seeds were run on a larger machine (reports/); here every path meets every regime once.
    layer = synthetic_layer(TINY, 11, cpu)
    layer.cache_bytes = 1 << 28
    work = regimes.build(regimes.REGIMES[regime], layer, 12, 11)
    bench = Workbench.of(work)
    judged = 0
    for path in _runnable(cpu):
        rows = Examination(path, path.prepare(work.layer), bench).run()
        judged += len(rows)
        alarms = [(r.path, r.stage, r.mode, r.verdict, r.reason) for r in rows if not r.expected]
        assert not alarms
    assert judged > 50


def test_every_stage_is_judged_isolated_and_chained(cpu):
    report = run(
        Config(preset="tiny", paths=("torch-bfloat16",), regimes=("gaussian",), depth=0, device="cpu")
    )
    seen = {(r.stage, r.mode) for r in report.rows if r.regime == "gaussian"}
    alone = {
        (s, "isolated") for s in ("dequant", "router", "gate_up", "swiglu", "down", "combine", "residual")
    }
    assert seen == alone | {(s, "chained") for s in ("swiglu", "down", "combine", "residual")}
    assert report.exit_code() == 0
    assert {r.stage for r in report.rows if r.regime == "integers"} == {"gate_up", "down"}


@pytest.mark.parametrize(
    "name", ["torch-bfloat16", "torch-float16", "dequant-matmul-float16", "torch-float32"]
)
def test_integers_come_out_exact_in_every_dtype(name, cpu):
    rows = check_meaning(all_paths()[name], TINY, 7, cpu)
    assert [r.verdict for r in rows] == ["EXACT", "EXACT"]


def test_policy_table_is_the_published_one(cpu):
    report = run(Config(preset="tiny", paths=("policy-*",), regimes=("outlier-rows",), depth=0, device="cpu"))
    counts = {p["policy"]: tuple(p["nonfinite"].values()) for p in report.policies}
    assert counts == {
        "all-float16": (2, 2, 6),
        "float32-router": (2, 2, 6),
        "float32-down-stored-float16": (2, 2, 6),
        "float32-down": (0, 2, 6),
        "float32-down-combine": (0, 0, 4),
        "float32-residual": (0, 0, 0),
        "bfloat16-experts-float16-residual": (0, 0, 4),
        "bfloat16-experts": (0, 0, 0),
        "bfloat16-experts-float32": (0, 0, 0),
        "all-float32": (0, 0, 0),
    }
    assert {p["policy"] for p in report.policies if p["holds"]} == {
        n for n, c in counts.items() if not any(c)
    }
    half = [r for r in report.rows if r.path == "policy-all-float16" and r.mode == "chained"]
    assert {r.verdict for r in half if r.stage == "down"} == {"OVERFLOW@down"}
    # What the formats imply is reported, and fails the run only when asked to.
    assert (report.exit_code(), report.exit_code(strict=True)) == (0, 1)


def test_outlier_rows_have_the_published_magnitudes(cpu):
    work = regimes.build(regimes.REGIMES["outlier-rows"], synthetic_layer(TINY, 1, cpu), 32, 1)
    found = Workbench.of(work).trace
    assert 7.5e4 < float(found.down.abs().max()) < 8.1e4
    assert 5.0e4 < float(found.combined.abs().max()) < 6.55e4
    assert 8.0e4 < float(found.output.abs().max()) < 9.3e4


def test_edge_scales_overflow_float16_where_they_must(cpu):
    report = run(
        Config(preset="tiny", paths=("torch-float16",), regimes=("scale-edges",), depth=0, device="cpu")
    )
    dequant = next(r for r in report.rows if r.stage == "dequant")
    assert dequant.verdict == "OVERFLOW@dequant"
    assert dequant.metrics["to_zero"] > 0
    assert "scale bytes 0 to 141" in dequant.reason
    assert any(r.verdict == "OVERFLOW@gate_up" for r in report.rows)
    assert not report.findings()
    assert report.findings(strict=True)


def test_scales_beyond_float32_must_not_give_numbers(cpu, monkeypatch):
    from conformance.precision.model.weights import MxTensor
    from conformance.precision.paths.torch_loop import LoopRunner

    config = Config(
        preset="tiny",
        paths=("torch-bfloat16", "torch-float16"),
        regimes=("scale-beyond",),
        depth=0,
        boundary=False,
        device="cpu",
    )
    right = run(config)
    assert not right.findings()
    down = next(r for r in right.rows if (r.path, r.stage, r.mode) == ("torch-bfloat16", "down", "chained"))
    assert down.verdict == "PASS"
    assert down.metrics["reference_nonfinite"] > 0
    given = LoopRunner.__init__

    def lenient(self, layer, rounding):
        """Read the NaN scale as 1, as a dequantiser without the standard's rule does."""
        matrix = layer.down
        scales = torch.where(matrix.scales == 255, 127, matrix.scales)
        given(self, layer.changed(down=MxTensor(matrix.blocks, scales)), rounding)

    monkeypatch.setattr(LoopRunner, "__init__", lenient)
    assert not run(config).findings()  # no checkpoint has such bytes: it is told, and fails nobody
    found = run(config).findings(strict=True)
    assert {"dequant", "down", "combine", "residual"} <= {r.stage for r in found if r.verdict == "FAIL"}
    assert {r.path for r in found if r.verdict == "FAIL"} == {"torch-bfloat16", "torch-float16"}


def test_what_the_formats_imply_excuses_an_overflow_and_no_error():
    implied = Expectation(weights="gate_up has scale bytes 0 to 141, and the path holds 104 to 140")
    assert implied.excuses("down", Verdict.OVERFLOW)
    assert not implied.excuses("down", Verdict.FAIL)
    assert not implied.excuses("router", Verdict.OVERFLOW)


def test_a_crashing_path_is_a_finding_and_not_a_gap(cpu, monkeypatch):
    from conformance.precision.paths import torch_loop

    def crash(*_):
        raise RuntimeError("a kernel went wrong")

    monkeypatch.setattr(torch_loop.LoopRunner, "experts", crash)
    report = run(
        Config(preset="tiny", paths=("torch-float32",), regimes=("gaussian",), depth=0, device="cpu")
    )
    assert {r.reason for r in report.findings()} == {"the path raised RuntimeError: a kernel went wrong"}
    assert report.exit_code() == 1


def test_what_a_path_lacks_is_believed_only_where_it_declares_it(cpu, monkeypatch):
    from conformance.precision.paths import torch_loop

    def lacking(*_):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(torch_loop.LoopRunner, "gate_up", lacking)
    report = run(
        Config(
            preset="tiny",
            paths=("torch-float16",),
            regimes=("gaussian",),
            depth=0,
            boundary=False,
            device="cpu",
        )
    )
    assert {r.verdict for r in report.rows if r.mode != "property"} == {"FAIL"}
    assert report.exit_code() == 1


def test_memory_runs_out_in_smaller_steps_then_in_a_sentence(cpu, monkeypatch):
    from conformance.errors import UnjudgedError
    from conformance.precision.run import run as run_module

    calls = []

    def hungry(regime, layer, tokens, seed):
        calls.append(tokens)
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(run_module.regimes, "build", hungry)
    with pytest.raises(UnjudgedError, match="too little memory"):
        run(Config(preset="tiny", paths=("torch-float32",), regimes=("gaussian",), depth=0, device="cpu"))
    assert calls == [32, 16, 8, 4, 2, 1]


def test_a_regime_that_ran_out_of_memory_is_not_counted_twice(cpu, monkeypatch):
    from conformance.precision.paths.torch_loop import LoopRunner

    config = Config(
        preset="tiny",
        paths=("dequant-matmul-bfloat16", "torch-bfloat16"),
        regimes=("gaussian",),
        depth=0,
        device="cpu",
    )
    before = run(config)
    experts = LoopRunner.experts

    def hungry(self, tokens, routing):
        if type(self) is LoopRunner and tokens.shape[0] > 8:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return experts(self, tokens, routing)

    monkeypatch.setattr(LoopRunner, "experts", hungry)
    report = run(config)
    assert report.run["tokens_reduced_to"] == 8
    assert [(r.path, r.stage, r.mode, r.regime) for r in report.rows] == [
        (r.path, r.stage, r.mode, r.regime) for r in before.rows
    ]
    # 64 tokens of integers through the layer are the one thing that fewer tokens cannot do.
    assert report.run["rows_judged"] == before.run["rows_judged"] - 1


@pytest.mark.parametrize("place", ["boundary.boundaries", "overflow_certificate.certificate"])
def test_memory_that_runs_out_elsewhere_is_a_sentence_too(cpu, monkeypatch, place):
    from conformance.errors import UnjudgedError
    from conformance.precision.run import run as run_module

    def hungry(*_):
        raise torch.OutOfMemoryError("out of memory")

    module, name = place.split(".")
    monkeypatch.setattr(getattr(run_module, module), name, hungry)
    with pytest.raises(UnjudgedError, match="too little memory"):
        run(Config(preset="tiny", paths=("torch-float32",), regimes=("1-token",), depth=0, device="cpu"))


def test_unknown_names_are_refused(cpu):
    with pytest.raises(UsageError, match="--path 'nope'"):
        select(["nope"])
    with pytest.raises(UsageError, match="--regime 'nope'"):
        regimes.select(["nope"])
    assert {p.dtype for p in select(["torch-*"])} == {"float32", "bfloat16", "float16"}


def test_the_certificate_bounds_are_attained_and_proved(cpu):
    layer = synthetic_layer(TINY, 3, cpu)
    found = {(b.expert, b.stage): b for b in overflow_certificate.bounds(layer)}
    low, high = overflow_certificate.hidden_range(1.702, 7.0)
    assert (round(low, 3), round(high, 3)) == (-42.0, 56.0)
    bound = found[0, "gate_up"]
    weight = layer.matrix("gate_up", 0).double()[bound.row] * layer.norm.double()
    worst = weight / weight.norm() * TINY.hidden**0.5  # a normalised input that points along the row
    bias = float(layer.gate_up_bias[0, bound.row])
    assert float(worst @ weight) + abs(bias) == pytest.approx(bound.bound, rel=1e-9)
    # No input of norm sqrt(H) exceeds a bound.
    tokens = torch.nn.functional.normalize(
        torch.randn(64, TINY.hidden, generator=torch.Generator().manual_seed(1)), dim=1
    )
    tokens = tokens * TINY.hidden**0.5 * layer.norm
    seen = reference.trace(layer, tokens, torch.zeros_like(tokens))
    for expert, start, stop in seen.pairs.ranges:
        assert float(seen.gate_up[start:stop].abs().max()) <= found[expert, "gate_up"].bound
        assert float(seen.down[start:stop].abs().max()) <= found[expert, "down"].bound
    assert all(b.safe for b in found.values())
    planted = regimes.build(regimes.REGIMES["outlier-rows"], layer, 32, 1).layer
    certificate = overflow_certificate.certificate(planted, 5)
    assert certificate["statement"] == "may overflow in float16"
    assert all(m["stage"] == "down" for m in certificate["may"])


def test_depth_growth_follows_the_twin(cpu):
    report = run(
        Config(
            preset="tiny",
            paths=("torch-bfloat16", "torch-float16"),
            regimes=("1-token",),
            depth=4,
            device="cpu",
        )
    )
    by_name = {d["path"]: d for d in report.depth}
    assert by_name["torch-bfloat16"]["verdict"] == "PASS"
    assert 0.5 < by_name["torch-bfloat16"]["ratio_to_twin"] < 2
    assert by_name["torch-float16"]["verdict"].startswith("OVERFLOW@residual")
    assert by_name["torch-float16"]["expected"]


def test_pairs_and_slots_keep_their_order():
    indices = torch.tensor([[2, 0], [1, 2]])
    pairs = reference.Pairs.of(indices, 3)
    assert pairs.ranges == ((0, 0, 1), (1, 1, 2), (2, 2, 4))
    rows = pairs.expert.float().unsqueeze(1)
    assert reference.to_slots(rows, pairs, 2).squeeze(2).tolist() == [[0.0, 2.0], [1.0, 2.0]]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["triton-mxfp4-bfloat16", "triton-mxfp4-float16"])
def test_triton_on_the_card(name, gpu):
    shape = LayerShape("odd", 192, 320, 6, 3, 1)
    layer = synthetic_layer(shape, 0, gpu)
    path = all_paths()[name]
    if why := path.unsupported(gpu, layer):
        pytest.skip(why)
    assert all(r.good for r in check_meaning(path, shape, 1, gpu))
    for regime in ("gaussian", "1-token", "17-tokens", "empty-experts"):
        work = regimes.build(regimes.REGIMES[regime], layer, 200, 2)
        assert all(r.good for r in Examination(path, path.prepare(work.layer), Workbench.of(work)).run())


def test_triton_and_native_paths_say_why_not_on_a_cpu(cpu):
    layer = synthetic_layer(TINY, 0, cpu)
    found = all_paths()
    assert "needs a GPU" in found["triton-mxfp4-bfloat16"].unsupported(cpu, layer)
    assert "10.0" in found["native-mxfp4"].unsupported(cpu, layer)
