"""The suite tested on planted faults, and the other projects' tolerances by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from conformance.precision.config import silent  # noqa: E402
from conformance.precision.faults.catalogue import all_faults  # noqa: E402
from conformance.precision.faults.precision import tf32  # noqa: E402
from conformance.precision.formats.quantised import mx_round  # noqa: E402
from conformance.precision.judging.tolerances import MODELS, cosine, llama_cpp, triton_kernels, vllm  # noqa: E402
from conformance.precision.model.shape import PRESETS  # noqa: E402
from conformance.precision.run.selftest import ASKED, selftest  # noqa: E402

# Every row of the published comparison, plus at least 25 more.
COMPARED = {
    "plain-silu", "limit-6", "clamp-missing", "down-bias-missing", "down-bias-unweighted", "wrong-second-expert",
    "float16-accumulator", "bfloat16-partial-sums-of-128", "one-gate-row-zero", "one-block-scale-off-by-one",
    "mxfp8-activations", "k-tail-dropped", "nibbles-swapped", "not-interleaved", "alpha-1.7",
}  # fmt: skip


@pytest.fixture(scope="module")
def found():
    torch.set_num_threads(1)
    with torch.inference_mode():
        return selftest(PRESETS["tiny"], 24, 0, torch.device("cpu"), silent, exposures=False)


def test_every_fault_is_caught_or_named(found):
    assert found["failed"] == []
    assert found["exposures"] == {}
    assert found["planted"] == len(found["faults"]) - found["harmless"]
    assert (
        found["caught"]["error model"] + sum(not e["caught"] for e in found["faults"] if not e["harmless"])
        == found["planted"]
    )


def test_the_comparison_is_covered(found):
    names = {e["name"] for e in found["faults"]}
    assert names >= COMPARED
    assert len([e for e in found["faults"] if not e["harmless"]]) >= len(COMPARED) + 25
    assert names == {name for name, f in all_faults().items() if f.family not in ASKED}


def test_the_error_model_sees_more_than_any_other(found):
    best_other = max(found["caught"][m] for m in MODELS)
    assert found["caught"]["error model"] > best_other
    assert found["false_alarms"]["error model"] == 0


def test_a_subtle_constant_shows_only_in_float32(found):
    entry = next(e for e in found["faults"] if e["name"] == "alpha-1.7")
    assert entry["by_dtype"]["bfloat16"]["caught"] is False
    assert entry["by_dtype"]["float32"]["z_rms"] > 100


def test_causes_are_named(found):
    reasons = {e["name"]: [d["reason"] for d in e["by_dtype"].values()] for e in found["faults"]}
    assert any("MXFP8" in r for r in reasons["mxfp8-activations"])
    assert any("bfloat16" in r for r in reasons["float32-result-through-bfloat16"])
    # A wrong bias is no rounding, however large a rounding would have to be.
    assert all("looks like" not in r for r in reasons["down-bias-missing"])


def test_a_blind_model_fails_the_selftest(monkeypatch):
    from conformance.precision.judging import judge

    monkeypatch.setattr(judge, "rms_limit", lambda count: float("inf"))
    monkeypatch.setattr(judge, "max_limit", lambda count: float("inf"))
    blind = selftest(PRESETS["tiny"], 8, 0, torch.device("cpu"), silent, exposures=False)
    assert "plain-silu" in blind["failed"]


def test_other_tolerances_by_hand():
    truth = torch.linspace(1, 2, 1000)
    assert not any(objects(truth.clone(), truth) for objects in MODELS.values())
    assert not vllm(truth * 1.29, truth)
    assert vllm(truth * 1.31, truth)
    assert triton_kernels(truth * 1.005, truth)
    assert not triton_kernels(truth * 1.003, truth)
    assert llama_cpp(truth * 1.03, truth)
    assert not llama_cpp(truth * 1.02, truth)
    assert not cosine(truth * 5, truth)
    for objects in (triton_kernels, llama_cpp, cosine):
        assert objects(torch.full_like(truth, float("nan")), truth)


def test_rounding_helpers():
    assert float(tf32(torch.tensor([1 + 2.0**-12]))) == 1.0
    assert float(tf32(torch.tensor([1 + 2.0**-10]))) == 1 + 2.0**-10
    block = torch.full((1, 32), 6.0)
    assert torch.equal(mx_round(block, 1, 2, 0), block)
    assert torch.equal(mx_round(block, 3, 8, -6), block)
