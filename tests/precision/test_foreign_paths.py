"""Paths of other packages: what they do to their inputs, and whatever they raise, stays their own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from conformance.precision.config import Config  # noqa: E402
from conformance.precision.judging.judge import judge  # noqa: E402
from conformance.precision.model.rounding import uniform  # noqa: E402
from conformance.precision.paths.base import PATHS, PrecisionPath, always  # noqa: E402
from conformance.precision.paths.registry import all_paths  # noqa: E402
from conformance.precision.paths.torch_loop import LoopRunner  # noqa: E402
from conformance.precision.run import run as running  # noqa: E402


class _InPlace(LoopRunner):
    """Right arithmetic that overwrites everything it is given."""

    def route(self, tokens):
        found = super().route(tokens)
        tokens.zero_()
        return found

    def gate_up(self, tokens, pairs):
        found = super().gate_up(tokens, pairs)
        tokens.zero_()
        return found

    def swiglu(self, gate_up):
        found = super().swiglu(gate_up)
        gate_up.zero_()
        return found

    def down(self, hidden, pairs):
        found = super().down(hidden, pairs)
        hidden.zero_()
        return found

    def combine(self, down, pairs, routing):
        found = super().combine(down, pairs, routing)
        down.zero_()
        return found

    def residual(self, residual, combined):
        found = super().residual(residual, combined)
        residual.zero_()
        combined.zero_()
        return found

    def experts(self, tokens, routing):
        found = super().experts(tokens.clone(), routing)
        tokens.zero_()
        return found


class _Raises(LoopRunner):
    error: Exception

    def gate_up(self, tokens, pairs):
        raise self.error


def _run(monkeypatch, runner, dtype, **options):
    rounding = uniform(dtype)
    strange = PrecisionPath(
        "strange", dtype, rounding, lambda layer: runner(layer, rounding), always, in_place=True, trusted=True
    )
    known = all_paths()[f"torch-{dtype}"]
    monkeypatch.setattr(running, "select", lambda names: [strange, known])
    return running.run(Config(**{
        "preset": "tiny", "regimes": ("gaussian", "outlier-channels"), "depth": 2, "device": "cpu",
        "boundary": False, "certify_layers": False, **options,
    }))  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_path_that_works_in_place_is_judged_like_any_other(monkeypatch, dtype):
    report = _run(monkeypatch, _InPlace, dtype)
    assert [(r.path, r.stage, r.mode, r.verdict) for r in report.rows if not r.good] == []
    verdicts = {
        name: [r.verdict for r in report.rows if r.path == name] for name in ("strange", f"torch-{dtype}")
    }
    assert verdicts["strange"] == verdicts[f"torch-{dtype}"]
    assert report.exit_code() == 0


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("bad"),
        KeyError("x"),
        IndexError("i"),
        AttributeError("no"),
        ValueError("size [/red] of [bold]x"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_whatever_a_path_raises_is_its_own_failure(monkeypatch, error):
    report = _run(monkeypatch, type("Raises", (_Raises,), {"error": error}), "float32", depth=0)
    wrong = [r for r in report.rows if not r.good]
    assert {r.path for r in wrong} == {"strange"}
    assert {r.verdict for r in wrong} == {"FAIL"}
    assert all(type(error).__name__ in r.reason for r in wrong)
    assert sum(r.path == "torch-float32" for r in report.rows) > 10
    assert report.exit_code() == 1


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_the_worst_place_of_an_overflow_is_where_it_is(bad):
    truth = torch.linspace(1, 2, 20 * 30).reshape(20, 30)
    given = truth * (1 + 1e-6)
    given[5, 7] = bad
    metrics = judge(given, truth, torch.full_like(truth, 1e-12), "float32").metrics
    assert (metrics["worst_token"], metrics["worst_channel"]) == (5, 7)
    truth[3, 4] = float("nan")  # finite by mistake
    metrics = judge(truth.nan_to_num(1.0), truth, torch.full_like(truth, 1e-12), "float32").metrics
    assert (metrics["worst_token"], metrics["worst_channel"]) == (3, 4)


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: ["a name"], "it offers str, which is no PrecisionPath"),
        (lambda: [all_paths()["torch-float32"]], "a path 'torch-float32', and there is one: rename it"),
    ],
)
def test_a_broken_plug_in_is_a_path_that_cannot_run(monkeypatch, offer, said):
    monkeypatch.setitem(PATHS._known, "stranger", offer)
    path = all_paths()["plug-in stranger"]
    assert said in path.unsupported(torch.device("cpu"), None)
    assert not path.trusted
