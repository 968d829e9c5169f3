"""What the documentation says about runs on a GPU is read from the reports that are kept, and holds there."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from conformance.precision.faults.catalogue import all_faults  # noqa: E402
from conformance.precision.model.regimes import REGIMES  # noqa: E402
from conformance.precision.paths.registry import all_paths  # noqa: E402
from conformance.precision.report import PrecisionReport  # noqa: E402

REPORTS = Path(__file__).parents[2] / "reports"


def _read(name):
    return json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))


def _say_older(report, kind, kept, now):
    """Warn, and name them, when a report from a GPU lacks paths, regimes or faults: only a GPU can renew it."""
    missing = sorted(now - kept)
    if missing:
        words = f"reports/{report}.json is older than the code: it has no {kind} {', '.join(missing)}"
        # A category of our own could not travel from pytest's workers.
        warnings.warn(words, UserWarning, stacklevel=2)


def test_a_report_that_is_older_than_the_code_is_named():
    with pytest.warns(UserWarning, match="it has no paths new-path"):
        _say_older("precision", "paths", {"old-path"}, {"old-path", "new-path"})


@pytest.mark.parametrize(
    "name",
    [
        "precision",
        "precision-120b",
        "precision-seeds-20b",
        "precision-seeds-tiny",
        "precision-seeds-triton",
        "precision-selftest",
        "precision-timing",
    ],
)
def test_each_names_its_command_and_device(name):
    found = _read(name)
    assert "conformance precision" in found["command"]
    device = found["environment"]["device"]
    assert device["kind"] == "cpu" or {"name", "driver", "capability", "memory_bytes"} <= set(device)


def test_all_paths_at_20b_dimensions():
    report = PrecisionReport.from_dict(_read("precision"))
    assert report.complete
    assert report.exit_code() == 0
    assert report.run["elapsed_s"] < 90
    _say_older("precision", "paths", {r.path for r in report.rows}, set(all_paths()))
    _say_older("precision", "regimes", {r.regime for r in report.rows}, set(REGIMES))
    assert report.reference["share_of_run"] < 0.1
    # tl.dot_scaled with bfloat16 activations is exact for bytes 1 to 252, with float16 ones for 104 to 140.
    exact = {e["exact_bytes"] for e in report.boundary if not e["what"].startswith("dequantise")}
    assert exact == {"1-252", "104-140"}
    counts = {p["policy"]: tuple(p["nonfinite"].values()) for p in report.policies}
    assert counts["all-float16"] == (2, 2, 6)
    assert counts["float32-down"] == (0, 2, 6)
    assert counts["float32-down-combine"] == (0, 0, 4)
    assert {p for p, c in counts.items() if not any(c)} == {
        "float32-residual",
        "bfloat16-experts",
        "bfloat16-experts-float32",
        "all-float32",
    }
    native = [r for r in report.rows if r.path == "native-mxfp4"]
    assert [r.verdict for r in native] == ["UNSUPPORTED"]
    assert "9.0 has no MX matrix unit" in native[0].reason


def test_one_layer_at_120b_dimensions_fits_80_gb():
    report = PrecisionReport.from_dict(_read("precision-120b"))
    assert (report.complete, report.exit_code(), report.run["preset"]) == (True, 0, "gpt-oss-120b")
    assert report.run["peak_memory_bytes"] < 80e9


def test_no_false_alarm_over_seeds():
    for name in ("precision-seeds-tiny", "precision-seeds-triton"):
        tiny = _read(name)
        assert tiny["seeds"] == sum(r["seeds"] for r in tiny["runs"]) >= 200
        _say_older(name, "regimes", set(tiny["regimes"]), set(REGIMES))
        assert tiny["rows_unexpected"] == sum(r["rows_unexpected"] for r in tiny["runs"]) == 0
        assert tiny["rows_judged"] == sum(r["rows_judged"] for r in tiny["runs"])
    large = _read("precision-seeds-20b")
    assert (large["complete"], large["run"]["seeds"] + 1, large["run"]["rows_unexpected"]) == (True, 5, 0)


def test_every_planted_fault_was_caught():
    found = _read("precision-selftest")["selftest"]
    assert found["failed"] == []
    assert found["caught"]["error model"] == found["planted"]
    exposed = {name for part in found["exposures"].values() for name in (*part["by"], *part["survivors"])}
    _say_older(
        "precision-selftest", "faults", {e["name"] for e in found["faults"]} | exposed, set(all_faults())
    )


def test_the_triton_path_beats_dequantising_first_at_one_token():
    first = _read("precision-timing")["timing"]["results"][0]
    assert first["tokens"] == 1
    assert first["ratio_call"]["dequant-matmul-bfloat16"] > 2
    assert first["ratio_replayed"]["dequant-matmul-bfloat16"] > 2


DOCS = Path(__file__).parents[2] / "docs"


def _seconds(run, step):
    return next(s["seconds"] for s in run["steps"] if s["step"] == step)


def test_what_runs_take_is_what_the_documentation_says():
    timed = _read("precision-timed")
    assert timed["environment"]["device"]["driver"]
    said = " ".join((DOCS / "precision.md").read_text(encoding="utf-8").split())
    assert _seconds(timed, "all-paths") < 90
    assert f"{_seconds(timed, 'all-paths')} s as a whole command" in said
    assert f"sweep of token counts {_seconds(timed, 'sweep')} s" in said
    assert f"{timed['elapsed_s']['all-paths']:.1f} s by its own clock" in said
    cost = timed["start_of_processes_s"]
    assert f"costs {cost['all-paths']:.1f} s of it, {cost['foreign-kernels']:.1f} s for four kernels" in said


def test_each_bad_kernel_is_named_and_the_others_results_are_whole():
    report = PrecisionReport.from_dict(_read("precision-bad-kernels"))
    assert report.complete
    rows = {path: [r for r in report.rows if r.path.endswith(path)] for path in {r.path for r in report.rows}}
    bad = {
        path: " ".join(r.reason for r in found)
        for path, found in rows.items()
        if not all(r.good for r in found)
    }
    assert "illegal memory access" in bad["tools/gpu_kernels.py:writes_out_of_bounds"]
    assert "took more than 15 s and was ended" in bad["tools/gpu_kernels.py:never_ends"]
    assert "non-finite" in bad["tools/gpu_kernels.py:writes_nothing"]
    assert len(bad) == 3
    assert len(rows["torch-bfloat16"]) > 20


def test_planted_faults_are_caught_in_both_exposures_at_20b_dimensions():
    found = _read("precision-planted-20b")
    assert found["environment"]["device"]["name"].startswith("NVIDIA H100")
    for exposure, least in (("staged", 0.95), ("fused", 0.90)):
        part = found["exposures"][exposure]
        assert part["not_run"] == []
        assert part["planted"] == part["caught"] + len(part["survivors"])
        assert part["caught"] == len(part["by"]) >= least * part["planted"]
        assert all(part["survivors"].values())
    right = found["right_variants"]
    assert (right["accused"], right["raised"], right["seeds"]) == ([], [], [0, 1, 2, 3, 4])
    assert right["tried"] >= 5 * 19
    other = found["other_card"]
    for exposure, part in other["exposures"].items():
        kept = found["exposures"][exposure]
        assert (part["not_run"], part["survivors"]) == ([], sorted(kept["survivors"]))
        assert (part["planted"], part["caught"]) == (kept["planted"], kept["caught"])
    assert {k: v for k, v in other["right_variants"].items() if k != "seconds"} == {
        k: v for k, v in right.items() if k != "seconds"
    }
    said = " ".join((DOCS / "precision.md").read_text(encoding="utf-8").split())
    staged, fused = (found["exposures"][e] for e in ("staged", "fused"))
    assert f"Of {staged['planted']} planted faults at 20b dimensions {staged['caught']} are caught" in said
    assert f"and {fused['caught']} where only the result is" in said


def test_right_variants_were_not_accused_over_seeds():
    found = _read("precision-right-seeds")
    assert (found["accused"], found["raised"]) == ([], [])
    assert found["tried"] == 19 * len(found["seeds"])
    said = " ".join((DOCS / "precision.md").read_text(encoding="utf-8").split())
    assert f"{len(found['seeds'])} seeds of a tiny layer" in said


def test_the_finding_about_triton_kernels_is_in_the_reports():
    report = PrecisionReport.from_dict(_read("precision-triton-kernels"))
    bad = {(r.path, r.regime): r.reason for r in report.rows if not r.good and not r.expected}
    named = bad.pop(("tools/gpu_kernels.py:alpha_in_bfloat16", "constants"))
    assert named in (DOCS / "kernels.md").read_text(encoding="utf-8")
    assert {regime for _, regime in bad} == {"token-sweep"}
    assert all("1 of 54 token counts (1025)" in reason for reason in bad.values())
    scans = _read("precision-where-wrong")["scans"]
    assert [(s[0]["slices"], s[0]["wrong_slices"]) for s in scans.values()] == [(60, 1), (60, 0), (60, 1)]
    wrong = scans["triton_kernels"][1]
    assert wrong["experts_of_wrong_tokens"][-1] == wrong["wrong_tokens_count"]
    assert wrong["channel_wrong_in_pairs"][0] == [2875, wrong["wrong_activations"]]
    assert wrong["repeats_wrong_tokens"] == [0, 0, 0, 0]


def test_evidence_on_attention_and_exposures_names_what_is_newer():
    """An older report holds for what it has; what the code has since is named, as a warning that a GPU's run ends."""
    from conformance.precision.attention.paths import attention_paths
    from conformance.precision.attention.run import REGIMES as KINDS

    kept = PrecisionReport.from_dict(_read("precision-attention"))
    assert kept.rows
    _say_older(
        "precision-attention", "paths", {r.path for r in kept.rows}, {p.name for p in attention_paths()}
    )
    _say_older("precision-attention", "certificates", set(kept.reference.get("certified", {})), set(KINDS))
    exposed = _read("precision-exposures")["selftest"]["exposures"]
    planted = {name for part in exposed.values() for name in (*part["by"], *part["survivors"])}
    harmful = {name for name, fault in all_faults().items() if not fault.harmless}
    _say_older("precision-exposures", "faults", planted, harmful)
