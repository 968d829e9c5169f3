"""The error model: calibrated on right code, sharp on wrong code, honest about what it cannot compare."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from conformance.errors import UnjudgedError  # noqa: E402
from conformance.precision.faults.precision import tf32  # noqa: E402
from conformance.precision.formats.floats import FORMATS, rounding_variance, ulp  # noqa: E402
from conformance.precision.judging import certify  # noqa: E402
from conformance.precision.judging.examine import Examination, Workbench  # noqa: E402
from conformance.precision.judging.judge import judge, max_limit, rms_limit  # noqa: E402
from conformance.precision.model import reference, regimes  # noqa: E402
from conformance.precision.model.shape import PRESETS  # noqa: E402
from conformance.precision.model.synthetic import synthetic_layer  # noqa: E402
from conformance.precision.paths.registry import all_paths  # noqa: E402
from conformance.precision.verdicts import Verdict, worst  # noqa: E402

TINY = PRESETS["tiny"]


def _layer(seed, cpu):
    layer = synthetic_layer(TINY, seed, cpu)
    layer.cache_bytes = 1 << 28
    return layer


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_one_rounding_has_the_declared_spread(name):
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(1)) * 3
    error = values.to(FORMATS[name].dtype).float() - values
    z = error / rounding_variance(values, name).sqrt()
    assert 0.98 < float(z.square().mean().sqrt()) < 1.02
    assert float(z.abs().max()) <= 3**0.5 + 1e-3


def test_subnormals_have_a_constant_spacing():
    assert float(ulp(torch.tensor(1e-7), "float16")) == 2.0**-24
    assert float(rounding_variance(torch.tensor(0.0), "float16").sqrt()) == pytest.approx(2.0**-25 / 3**0.5)


def test_limits_tighten_with_more_elements():
    assert rms_limit(10) > rms_limit(1000) > rms_limit(10**7) > 1.25
    assert rms_limit(10**9) == pytest.approx(1.25, abs=1e-3)
    assert max_limit(10**6) == pytest.approx(7.5, abs=0.1)


@pytest.mark.parametrize(
    "name", ["torch-bfloat16", "torch-float16", "torch-float16-autocast", "dequant-matmul-bfloat16"]
)
def test_the_model_predicts_what_is_measured(name, cpu):
    work = regimes.build(regimes.REGIMES["gaussian"], _layer(2, cpu), 32, 3)
    path = all_paths()[name]
    rows = Examination(path, path.prepare(work.layer), Workbench.of(work)).run()
    chained = [r for r in rows if r.mode == "chained"]
    assert {r.stage for r in chained} == {"swiglu", "down", "combine", "residual"}
    assert all(r.good for r in rows)
    for row in chained:
        assert 0.85 < row.metrics["z_rms"] < 1.15, row.stage


def test_verdicts_of_single_tensors():
    truth = torch.linspace(1, 2, 256).reshape(16, 16)
    spread = rounding_variance(truth, "bfloat16")
    assert judge(truth, truth, spread, "bfloat16").verdict is Verdict.EXACT
    assert judge(truth.bfloat16(), truth, spread, "bfloat16").verdict is Verdict.PASS
    assert judge(truth * 1.1, truth, spread, "bfloat16").verdict is Verdict.FAIL
    assert judge(truth[:1], truth, spread, "bfloat16").verdict is Verdict.FAIL
    broken = truth.clone()
    broken[3, 4] = float("nan")
    found = judge(broken, truth, spread, "bfloat16")
    assert (found.verdict, found.metrics["nonfinite"]) == (Verdict.OVERFLOW, 1)
    large = torch.full((4, 4), 1e5)
    assert judge(large.clamp(max=65504.0), large, large, "float16").verdict is Verdict.SATURATED
    # A number that float16 rounds to 65,504 by itself is no saturation.
    edge = torch.full((4, 4), 65510.0)
    assert judge(edge.half(), edge, rounding_variance(edge, "float16"), "float16").verdict is Verdict.PASS


def test_nothing_compared_is_never_a_pass():
    with pytest.raises(UnjudgedError, match="nothing was compared"):
        judge(torch.empty(0, 4), torch.empty(0, 4), torch.empty(0, 4), "float32")
    nowhere = torch.full((2, 2), float("inf"))
    with pytest.raises(UnjudgedError, match="no finite element"):
        judge(torch.ones(2, 2), nowhere, torch.ones(2, 2), "float32")


def test_a_number_where_there_is_none_is_wrong():
    truth = torch.ones(4, 4)
    truth[1, 2] = float("nan")
    found = judge(torch.ones(4, 4), truth, rounding_variance(truth, "float32"), "float32")
    assert (found.verdict, found.metrics["finite_by_mistake"]) == (Verdict.FAIL, 1)
    assert judge(truth, truth, rounding_variance(truth, "float32"), "float32").verdict is Verdict.EXACT


def test_the_largest_error_in_ulp_is_of_all_elements():
    truth = torch.ones(300, 300)
    wrong = truth.clone()
    wrong[123, 45] += 8 * 2.0**-7  # not in the sample that gives the percentiles
    found = judge(wrong, truth, torch.ones(300, 300), "bfloat16")
    assert (found.metrics["ulp_max"], found.metrics["ulp_p99"]) == (8, 0)


def test_worst_element_is_named():
    truth = torch.ones(8, 8)
    wrong = truth.clone()
    wrong[5, 6] = 2.0
    found = judge(wrong, truth, rounding_variance(truth, "bfloat16"), "bfloat16")
    assert (found.metrics["worst_token"], found.metrics["worst_channel"]) == (5, 6)


def test_worst_verdict_wins():
    assert worst([Verdict.PASS, Verdict.OVERFLOW, Verdict.EXACT]) is Verdict.OVERFLOW


def test_a_reference_with_tf32_left_on_aborts_the_run(cpu, monkeypatch):
    layer = _layer(4, cpu)
    work = regimes.build(regimes.REGIMES["gaussian"], layer, 16, 5)
    honest = Workbench.of(work)
    certificate = certify.certify(layer, work.tokens, work.residual, honest.trace)
    assert (certificate.tokens, certificate.of_tokens) == (8, 16)  # sampled on a CPU
    assert set(certificate.stages) == {"router", "gate_up", "swiglu", "down", "combine", "residual"}

    def coarse(a, b):
        return tf32(a) @ tf32(b) if a.dtype == torch.float32 else a @ b

    monkeypatch.setattr(reference, "matmul", coarse)
    with pytest.raises(UnjudgedError, match=r"not as exact as float32.*NVIDIA_TF32_OVERRIDE"):
        certify.certify(layer, work.tokens, work.residual, Workbench.of(work).trace)


def test_flags_are_set_for_the_reference_and_restored():
    from conformance.precision.model.flags import exact_float32, read_flags

    before = read_flags()
    with exact_float32():
        inside = read_flags()
        assert inside["allow_bf16_reduced_precision_reduction"] is False
        assert inside.get("matmul_fp32_precision", "ieee") == "ieee"
        assert inside.get("matmul_allow_tf32", False) is False
    assert read_flags() == before


@pytest.mark.gpu
def test_tf32_switched_on_is_seen_on_the_card(gpu):
    layer = synthetic_layer(TINY.with_experts(8), 0, gpu)
    work = regimes.build(regimes.REGIMES["gaussian"], layer, 32, 1)
    path = all_paths()["torch-float32"]
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        rows = Examination(path, path.prepare(layer), Workbench.of(work)).run()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert any("TF32" in r.reason for r in rows)


@pytest.mark.parametrize("seed", [172, 173])
def test_the_step_of_a_quantised_row_follows_the_peak_that_it_may_have(seed):
    # In these two an activation's large channel is so unsure that the row's scale is another one in a right path.
    from conformance.precision.faults.right import right_paths
    from conformance.precision.judging.examine import Examination, Workbench
    from conformance.precision.model.regimes import REGIMES, build

    layer = synthetic_layer(PRESETS["tiny"].with_experts(8), seed, torch.device("cpu"))
    with torch.inference_mode():
        bench = Workbench.of(build(REGIMES["scale-top"], layer, 32, seed))
        (path,) = [p for p in right_paths() if p.name == "int8-activations"]
        rows = Examination(path, path.prepare(bench.workload.layer), bench).run()
    assert [r for r in rows if not r.good and not r.expected] == []


def test_a_scale_for_a_whole_tensor_has_its_step_from_the_largest_row():
    from conformance.precision.formats.quantised import quantisation_variance, quantise

    rows = torch.tensor(
        [[448.0] * 32, [2.0**-9] * 32]
    )  # the small row lies below the least step of the large one
    error = quantise(rows, "fp8_e4m3_tensor") - rows
    assert float(error[1].abs().amax()) == 0.0
    assert float(quantisation_variance(rows, "fp8_e4m3_tensor")[1, 0]) > (2.0**-10) ** 2 / 12
