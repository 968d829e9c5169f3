"""The command line: cheap to import, one sentence for bad input, JSON that survives a round trip."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rich.console import Console  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from conformance.errors import UsageError  # noqa: E402
from conformance.precision import cli, verdicts  # noqa: E402
from conformance.precision.config import SHORT, Config, command  # noqa: E402
from conformance.precision.model import regimes  # noqa: E402
from conformance.precision.report import PrecisionReport, Row  # noqa: E402
from conformance.precision.run.run import run  # noqa: E402
from conformance.precision.view.terminal import render  # noqa: E402

REPORTS = Path(__file__).parents[2] / "reports"


def _invoke(*arguments):
    return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200"})


def test_importing_the_command_line_imports_no_torch():
    code = "import sys, conformance.precision.cli; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_it_runs_without_the_packages_that_gpu_machines_lack():
    code = """
import sys

class Absent:
    names = {"openai_harmony", "msgspec", "jinja2", "hypothesis", "minijinja", "gguf", "jsonschema", "wasmtime"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
sys.argv = [
    "precision", "--preset", "tiny", "--path", "torch-bfloat16", "--path", "policy-all-float16", "--regime", "1-token",
    "--depth", "1", "--device", "cpu",
]
from conformance.precision.cli import main

try:
    main()
finally:
    others = [m for m in sys.modules if m.startswith("conformance.") and not m.startswith("conformance.precision")]
    print("loaded besides:", sorted(others), Absent.names & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        "loaded besides: ['conformance.cli', 'conformance.cli.console', 'conformance.cli.guard', "
        "'conformance.cli.streams', 'conformance.errors', 'conformance.gguf', 'conformance.gguf.reader', "
        "'conformance.launch', 'conformance.registry'] set()" in done.stdout
    )


def test_the_short_form_passes_on_a_cpu_and_says_where_it_ran(tmp_path):
    done = _invoke("--short", "--device", "cpu", "--isolation", "none", "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "no GPU was found" in done.output or "CPU" in done.output
    assert "UNSUPPORTED triton-mxfp4-bfloat16" in done.output
    data = json.loads((tmp_path / "precision.json").read_text())
    report = PrecisionReport.from_dict(data)
    assert report.complete
    assert report.judged > 100
    assert report.to_dict() == data
    assert {"path", "dtype", "stage", "regime", "verdict", "metrics"} <= set(data["rows"][0])
    assert {"device", "flags"} <= set(data["environment"])


def test_the_same_seed_gives_the_same_rows():
    config = Config(
        preset="tiny", paths=("torch-float16",), regimes=("gaussian",), depth=2, seed=5, device="cpu"
    )
    first, second = run(config), run(config)
    assert first.to_dict()["rows"] == second.to_dict()["rows"]
    assert first.depth == second.depth
    other = run(Config(**{**config.__dict__, "seed": 6}))
    assert other.to_dict()["rows"] != first.to_dict()["rows"]


def test_several_seeds_are_counted_and_only_surprises_kept():
    base = {
        "preset": "tiny",
        "paths": ("torch-bfloat16",),
        "regimes": ("gaussian",),
        "depth": 0,
        "device": "cpu",
    }
    once, thrice = run(Config(**base)), run(Config(**base, seeds=3))
    assert len(thrice.rows) == len(once.rows)
    stages = [r for r in once.rows if r.mode in ("isolated", "chained") and r.regime == "gaussian"]
    again = sum(r.stage != "dequant" for r in stages)
    assert thrice.run["rows_judged"] == once.run["rows_judged"] + 2 * again
    assert thrice.run["rows_unexpected"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--preset", "gpt-5"], 2, "--preset 'gpt-5' is not known"),
        (["--path", "nope"], 2, "--path 'nope' is not known"),
        (["--regime", "nope"], 2, "--regime 'nope' is not known"),
        (["--format", "yaml"], 2, "--format 'yaml' is not known"),
        (["--checkpoint", "/nowhere"], 2, "does not exist"),
        (["--checkpoint", "x", "--preset", "tiny"], 2, "exclude each other"),
        (["--device", "abacus"], 2, "is no device"),
        (["--device", "meta"], 2, "only cpu and cuda"),
        (["compare", "/nowhere", "/nowhere"], 2, "does not exist"),
        (["--short", "--timing"], 2, "--short makes its own choice, so that --timing has no effect"),
        (["--short", "--output", __file__], 2, "no folder can be made there"),
        (["--seed", str(2**80)], 2, "seed"),
        (["--selftest", "--tokens", "4"], 2, "--tokens 4: --selftest needs at least 16"),
        (["--selftest", "--path", "torch-*"], 2, "so that --path has no effect"),
        (["--selftest", "--depth", "0"], 2, "so that --depth has no effect"),
        (["--short", "--tokens", "4"], 2, "so that --tokens has no effect"),
        (["--layer", "3"], 2, "synthetic weights have one layer, so that --layer has no effect"),
    ],
)  # fmt: skip
def test_bad_input_gives_one_sentence(arguments, code, message):
    done = _invoke(*arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_what_needs_one_is_unjudged():
    for arguments in (
        ["--device", "cuda"],
        ["--timing", "--regime", "1-token", "--path", "torch-float32", "--depth", "0"],
    ):
        done = _invoke(*arguments)
        assert done.exit_code == 3
        assert "GPU" in done.stderr


@pytest.mark.gpu
def test_tf32_forced_from_outside_aborts_the_run(gpu):
    command = [sys.executable, "-m", "conformance.precision", "--preset", "tiny", "--path", "torch-float32"]
    choice = ["--regime", "gaussian", "--depth", "0"]
    forced = {**os.environ, "NVIDIA_TF32_OVERRIDE": "1"}
    done = subprocess.run([*command, *choice], capture_output=True, text=True, env=forced)
    assert (done.returncode, done.stdout) == (3, "")
    assert "not as exact as float32" in done.stderr
    assert "unset NVIDIA_TF32_OVERRIDE" in done.stderr


def test_the_command_that_gives_a_run_again_is_recorded():
    config = Config(
        preset="tiny", paths=("policy-all-float1*",), regimes=("1-token",), depth=0, seed=3, device="cpu"
    )
    wanted = (
        "conformance precision --preset tiny --depth 0 --path 'policy-all-float1*' --regime 1-token --seed 3"
    )
    wanted += " --device cpu"
    assert run(config).command == wanted == command(config)
    assert command(SHORT) == "conformance precision --short"


def test_the_kinds_of_input_are_named_alike_with_and_without_torch():
    assert tuple(regimes.REGIMES) == verdicts.REGIMES


def test_a_finding_names_the_command_that_shows_it_again():
    done = _invoke(
        "--preset", "tiny", "--path", "policy-all-float16", "--regime", "outlier-rows", "--depth", "0", "--seed", "4",
        "--device", "cpu", "--strict",
    )  # fmt: skip
    assert done.exit_code == 1
    again = (
        "Reproduce with: conformance precision --preset tiny --path policy-all-float16 --regime outlier-rows "
        "--tokens 32 --seed 4 --depth 0 --device cpu"
    )
    assert again in done.output


def test_without_torch_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    done = _invoke("--short")
    assert done.exit_code == 3
    assert "UNSUPPORTED" in done.stderr
    assert "pip install" in done.stderr


def test_selftest_in_json():
    asked = ["--preset", "tiny", "--selftest", "--no-exposures", "--tokens", "16"]
    done = _invoke(*asked, "--format", "json", "--device", "cpu")
    assert done.exit_code == 0
    found = json.loads(done.stdout)["selftest"]
    assert found["caught"]["error model"] == found["planted"]


def test_a_cut_or_empty_report_is_never_a_pass():
    empty = PrecisionReport({}, {}, complete=True)
    assert empty.exit_code() == 3
    cut = PrecisionReport({}, {}, [Row("p", "float32", "down", "gaussian", "chained", "PASS")])
    assert cut.exit_code() == 3
    cut.complete = True
    assert cut.exit_code() == 0
    cut.rows.append(Row("p", "float32", "down", "spike", "chained", "FAIL", expected=False))
    assert cut.exit_code() == 1
    with pytest.raises(UsageError, match="schema"):
        PrecisionReport.from_dict({"schema": "other"})


def test_what_was_not_judged_is_never_a_pass():
    done = _invoke("--preset", "tiny", "--device", "cpu", "--depth", "0", "--path", "native-mxfp4")
    assert done.exit_code == 3
    assert "✗ nothing was judged" in done.output
    assert "UNSUPPORTED native-mxfp4" in done.output


def _report(**parts) -> PrecisionReport:
    device = {"kind": "cpu", "name": "cpu", "note": "no GPU"}
    run_ = {"preset": "tiny", "weights": "synthetic", "tokens": 1, "seed": 0, "elapsed_s": 1.0}
    row = Row("p", "float32", "down", "gaussian", "chained", "PASS")
    return PrecisionReport({"device": device, "flags": {}}, run_, [row], **{"complete": True, **parts})


@pytest.mark.parametrize(
    ("parts", "code", "last"),
    [
        ({}, 0, "✓ 1 results judged, none unexpected"),
        ({"complete": False}, 3, "✗ the run was cut short"),
        ({"depth": [{"path": "p", "error": [0.1], "ratio_to_twin": 9.0, "flipped": [0.0], "verdict": "DEGRADED",
                     "expected": False}]}, 1, "✗ 1 results judged, 1 unexpected over depth"),
        ({"boundary": [{"what": "w", "exact_bytes": "1", "zero_bytes": "1", "nonfinite_bytes": "1",
                        "as_known": False, "known_range": "2"}]}, 1, "1 formats not exact where known"),
    ],
)  # fmt: skip
def test_the_last_line_says_why_the_exit_code_is_what_it_is(parts, code, last):
    report = _report(**parts)
    assert report.exit_code() == code
    assert last in _shown(report)


def test_a_selftest_tells_missed_faults_from_false_alarms():
    fault = {"by_dtype": {}, "others": {}, "survives": ""}
    faults = [
        {"name": "a", "harmless": "", "caught": False, **fault},
        {"name": "b", "harmless": "the same", "caught": True, **fault},
    ]
    found = {"planted": 1, "harmless": 1, "caught": {"error model": 0}, "false_alarms": {"error model": 1},
             "survivors": {"a": ""}, "failed": ["a", "b", "control-float32"], "faults": faults,
             "shape": {"hidden": 8}}  # fmt: skip
    report = _report(selftest=found)
    assert report.exit_code() == 1
    shown = _shown(report)
    assert "✗ 1 faults planted, 1 missed, 2 false alarms" in shown
    assert "✗ missed: a" in shown
    assert "✗ false alarm: b" in shown
    assert "✗ false alarm: control-float32" in shown


def test_all_seeds_count_in_strict():
    options = ("--preset", "tiny", "--device", "cpu", "--depth", "0", "--path", "torch-float16", "--strict")
    one, three = (_invoke(*options, "--regime", "outlier-rows", "--seeds", n) for n in ("1", "3"))
    assert (one.exit_code, three.exit_code) == (1, 1)
    count = [int(re.search(r"(\d+) not within", done.output)[1]) for done in (one, three)]
    assert count[1] > count[0] > 0


def test_policies_are_tried_with_tokens_enough():
    done = _invoke(
        "--preset", "tiny", "--device", "cpu", "--depth", "0", "--path", "policy-*", "--regime", "outlier-rows",
        "--tokens", "1", "--isolation", "none", "--format", "json",
    )  # fmt: skip
    holds = {p["policy"] for p in json.loads(done.stdout)["policies"] if p["holds"]}
    assert holds == {"float32-residual", "bfloat16-experts", "bfloat16-experts-float32", "all-float32"}


def test_nonfinite_metrics_stay_json():
    row = Row(
        "p",
        "float16",
        "down",
        "spike",
        "chained",
        "FAIL",
        metrics={"z_max": float("inf"), "z_rms": 1.23456789},
    )
    data = PrecisionReport({}, {}, [row]).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False))["rows"][0]["metrics"] == {
        "z_max": "inf",
        "z_rms": 1.2346,
    }


def test_plots_are_written_where_matplotlib_is(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from conformance.precision.view.plots import write_plots

    report = run(
        Config(preset="tiny", paths=("torch-float16",), regimes=("gaussian",), depth=2, device="cpu")
    )
    names = {p.name for p in write_plots(report, tmp_path)}
    assert names == {"precision-depth.svg", "precision-magnitude.svg", "precision-ulp.svg"}


def test_plots_mark_overflow_and_draw_twins_once(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from conformance.precision.view.plots import write_plots

    report = PrecisionReport({}, {})
    report.depth = [
        {"path": "first", "error": [0.1, 0.2, 0.3], "peak": [1.0, 2.0, 3.0]},
        {"path": "twin", "error": [0.1, 0.2, 0.3], "peak": [1.0, 2.0, 3.0]},
        {"path": "too-large", "error": [0.1, "inf", "inf"], "peak": [1.0, 2.0, 3.0]},
        {"path": "at-once", "error": [float("nan")] * 3, "peak": [1.0, 2.0, 3.0]},
    ]
    report.histograms = {
        "edges": [0.5, 1, 2, 4],
        "paths": {"first": [3, 1, 0], "twin": [3, 1, 0], "other": [0, 0, 0]},
    }
    depth, _, ulp = (p.read_text(encoding="utf-8") for p in write_plots(report, tmp_path))
    assert "too-large (overflows at layer 1)" in depth
    assert "at-once (overflows at layer 0)" in depth
    for drawn in (depth, ulp):
        assert "= twin" in drawn


def test_the_terminal_says_what_a_kernels_declaration_lets_through():
    data = json.loads((REPORTS / "precision-triton-kernels.json").read_text(encoding="utf-8"))
    report = PrecisionReport.from_dict(data)
    report.run["kernels"] = ["triton_kernels"]
    shown = " ".join(_shown(report).split())
    assert "triton_kernels declares: rows bfloat16, sums float32" in shown
    assert re.search(r"which lets through: alpha ± [\d.e-]+, the gate's clamp limit ± ", shown)


def test_the_short_form_is_the_documented_one():
    assert (SHORT.preset, SHORT.short, SHORT.depth) == ("tiny", True, 0)


def _shown(report: PrecisionReport, strict: bool = False) -> str:
    console = Console(width=80, file=io.StringIO())
    render(report, console, strict)
    return console.file.getvalue()


@pytest.mark.parametrize("name", ["precision", "precision-timing", "precision-selftest"])
def test_eighty_columns_cut_no_name(name):
    data = json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))
    report = PrecisionReport.from_dict(data)
    shown = _shown(report)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for row in report.rows:
        assert re.search(rf"^{re.escape(row.path)} ", shown, re.M) or row.verdict == "UNSUPPORTED"
    for fault in report.selftest.get("faults", []):
        assert fault["harmless"] or re.search(rf"^{re.escape(fault['name'])} ", shown, re.M)
    assert re.search(r"^✓ [\d,]+ (results judged, none unexpected|faults planted, all caught)", shown, re.M)


def test_the_matrix_shows_the_worst_verdict_and_what_nobody_expected():
    def row(regime, stage, verdict, expected=True):
        return Row("torch-float16", "float16", stage, regime, "isolated", verdict, expected)

    rows = [
        row("gaussian", "down", "PASS"),
        row("gaussian", "swiglu", "EXACT"),
        row("spike", "gate_up", "PASS"),
        row("spike", "down", "OVERFLOW@down"),
        row("subnormals", "down", "DEGRADED"),
        row("subnormals", "gate_up", "DEGRADED", expected=False),
        row("subnormals", "combine", "FAIL", expected=False),
    ]
    device = {"kind": "cpu", "name": "cpu", "note": "no GPU"}
    numbers = {
        "preset": "tiny",
        "weights": "synthetic",
        "tokens": 1,
        "seed": 0,
        "rows_judged": 6,
        "elapsed_s": 1.0,
    }
    report = PrecisionReport({"device": device, "flags": {}}, numbers, rows, complete=True)
    shown = _shown(report)
    assert re.search(r"^torch-float16 ✓ 5 ✗!", shown, re.M)
    assert "5 OVERFLOW@down" in shown
    assert "✗ 6 results judged, 2 unexpected" in shown
    del rows[-2:]
    report = PrecisionReport({"device": device, "flags": {}}, numbers, rows, complete=True)
    shown = _shown(report)
    assert re.search(r"^torch-float16 ✓ 5 ~ ", shown, re.M)
    assert "! unexpected" not in shown
    assert "✗ 6 results judged, 2 not within" in _shown(report, strict=True)
