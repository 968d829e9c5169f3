"""Attention: right implementations are not accused, planted faults are caught, the reference is transformers' own."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from conformance.precision import cli  # noqa: E402
from conformance.precision.attention.faults import attention_faults  # noqa: E402
from conformance.precision.attention.paths import attention_paths  # noqa: E402
from conformance.precision.attention.reference import PRESETS, Attention, synthetic_attention  # noqa: E402
from conformance.precision.attention.run import REGIMES, examine, inputs, plant  # noqa: E402


@pytest.fixture(scope="module")
def given():
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield inputs(PRESETS["tiny"], 40, 3, torch.device("cpu"))


@pytest.mark.parametrize("path", attention_paths(), ids=lambda p: p.name)
def test_a_right_implementation_is_not_accused(path, given):
    if path.unsupported(torch.device("cpu")):
        pytest.skip(path.unsupported(torch.device("cpu")))
    rows = [row for one in given for row in examine(path, one)]
    assert len(rows) >= 12
    assert [(r.regime, r.stage, r.reason) for r in rows if not r.good and not r.expected] == []


def test_the_reference_is_transformers_in_float32(given):
    pytest.importorskip("transformers")
    path = next(p for p in attention_paths() if p.name == "transformers-eager-float32")
    for one in given:
        out = path.prepare(one.weights)(one.x, one.positions)["out"].double()
        error = (out - one.truth["out"]).norm() / one.truth["out"].norm()
        assert float(error) < 2e-5, one.regime  # far positions: float32 angles


def test_every_planted_fault_is_caught(given):
    found = plant(given[:3] + given[4:], lambda *_: None)
    assert found["planted"] == len(attention_faults()) >= 20
    assert found["staged float16"]["survivors"] == []
    assert found["fused float16"]["survivors"] == []
    # In bfloat16 it only rounds the norm's factor once more, which a result does not show.
    assert set(found["fused bfloat16"]["survivors"]) <= {"SquaredInHalf"}
    assert found["staged bfloat16"]["survivors"] == []


def test_frequencies_are_those_of_the_original_code():
    """At both ends of the ramp YaRN is plain RoPE and RoPE at a 32nd of the frequency, with 0.1 ln 32 + 1."""
    weights = synthetic_attention(PRESETS["gpt-oss"], 0, torch.device("cpu"))
    inverse, factor = Attention(weights).frequencies(torch.device("cpu"))
    assert factor == pytest.approx(1.3465735902799727)
    assert float(inverse[0]) == 1.0
    assert float(inverse[-1]) == pytest.approx(150000 ** (-62 / 64) / 32)


def test_the_command_says_what_it_found():
    done = CliRunner().invoke(cli.app, ["attention", "--preset", "tiny", "--tokens", "24", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "results judged, none unexpected" in done.stdout
    wrong = CliRunner().invoke(cli.app, ["attention", "--preset", "huge"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")


def test_the_reference_is_certified_in_every_run_and_the_report_says_so(tmp_path):
    asked = ["attention", "--preset", "tiny", "--tokens", "20", "--device", "cpu", "--output", str(tmp_path)]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    assert "float32 reference certified against float64 on 120 of 120 rows of 6 kinds of input" in " ".join(
        done.stdout.split()
    )
    certified = json.loads((tmp_path / "precision.json").read_text())["reference"]["certified"]
    assert set(certified) == set(REGIMES)
    for proof in certified.values():
        assert set(proof["stages"]) == {"norm", "query", "key", "value", "context", "out"}
        assert all(0 < stage["normwise"] < 1e-4 for stage in proof["stages"].values())


@pytest.mark.parametrize("part", ["project", "attend", "norm"])
def test_a_reference_that_is_not_good_enough_is_refused(monkeypatch, part):
    """As with TF32: the float32 products lose the operands' last bits, the float64 ones do not."""
    whole = getattr(Attention, part)

    def coarse(self, *given):
        if self.dtype == torch.float32:
            given = [g.bfloat16().float() if isinstance(g, torch.Tensor) else g for g in given]
            if part == "norm":
                return whole(self, *given).bfloat16().float()
        return whole(self, *given)

    monkeypatch.setattr(Attention, part, coarse)
    asked = ["attention", "--preset", "tiny", "--tokens", "20", "--device", "cpu"]
    done = CliRunner().invoke(cli.app, asked)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "the float32 reference is not as exact as float32 at stage" in done.stderr
