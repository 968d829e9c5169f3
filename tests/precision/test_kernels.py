"""Other people's kernels: judged at what they show, and never able to end a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from conformance.errors import UsageError  # noqa: E402
from conformance.precision import cli  # noqa: E402
from conformance.precision.config import Config  # noqa: E402
from conformance.precision.judging.properties import sweep_counts  # noqa: E402
from conformance.precision.paths.kernel import kernel_path  # noqa: E402
from conformance.precision.run.run import run  # noqa: E402

HERE = Path(__file__).parent
FILE = HERE / "kernels_under_test.py"


@pytest.fixture(autouse=True)
def _few_scored_tokens():
    """As many tokens as a run takes: the estimates of constants are what these tests are about."""


QUICK = {"preset": "tiny", "regimes": ("gaussian",), "depth": 0, "boundary": False, "certify_layers": False,
         "device": "cpu"}  # fmt: skip


def _judged(name, **options):
    return run(Config(**{**QUICK, "kernels": (f"{FILE}:{name}",), **options}))


def _invoke(*arguments):
    words = [
        "--preset",
        "tiny",
        "--regime",
        "gaussian",
        "--depth",
        "0",
        "--device",
        "cpu",
        "--no-sweep",
        *arguments,
    ]
    return CliRunner().invoke(cli.app, words, env={"COLUMNS": "200"})


def test_the_documented_example_is_right(tmp_path):
    page = (HERE.parents[1] / "docs" / "kernels.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- a test runs this file -->\n```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    file = tmp_path / "my_moe.py"
    file.write_text(code[1], encoding="utf-8")
    report = run(Config(**{**QUICK, "kernels": (f"{file}:moe",), "regimes": ("gaussian", "outlier-rows")}))
    assert report.exit_code() == 0, report.findings()
    assert {r.mode for r in report.rows} >= {"chained", "property", "score"}
    (declared,) = report.declarations.values()
    assert declared["says"].startswith("rows bfloat16, sums float32")
    assert 0 < declared["lets_through"]["alpha"] < 1e-3


def test_every_name_and_key_of_the_page_is_known():
    from conformance.precision.formats.quantised import QUANTISED
    from conformance.precision.paths import kernel

    page = (HERE.parents[1] / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert all(
        f"`{name}`" in page for name in (*kernel.WEIGHTS, *kernel.NUMBERS, *kernel.LAYOUTS, *QUANTISED)
    )
    assert all(f"`{name}`" in page for name in (*kernel.ROUNDS, *kernel.FLAGS, "prepared", "topk_ids"))


def test_a_constant_that_is_off_is_named_with_its_estimate():
    report = _judged("alpha_in_bfloat16")
    (row,) = report.findings()
    assert (row.mode, row.verdict) == ("score", "FAIL")
    assert re.match(r"alpha is 1\.703\d+ ± [\d.e-]+, should be 1.702", row.reason)
    assert report.exit_code() == 1


def test_gguf_rows_are_another_layout_of_the_same_numbers():
    pytest.importorskip("gguf")
    assert _judged("from_gguf").exit_code() == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("writes_nothing", "non-finite"),
        ("wrong_shape", r"it returned result of shape \(\d+, 127\), which should be \(\d+, 128\)"),
        ("wrong_dtype", "it returned float32, and it declares a result in bfloat16"),
        ("wrong_kind", "it returned list: return the result"),
    ],
)
def test_what_is_no_layer_at_all_is_its_own_finding(name, sentence):
    report = _judged(name)
    assert report.exit_code() == 1
    assert any(re.search(sentence, r.reason) for r in report.findings())


def test_one_that_crashes_and_one_that_hangs_cost_only_themselves():
    done = _invoke(
        "--kernel", f"{FILE}:crashes", "--kernel", f"{FILE}:hangs", "--kernel", f"{FILE}:floods", "--path",
        "torch-bfloat16", "--limit-s", "8", "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    report = json.loads(done.stdout)
    found = {}
    for row in report["rows"]:
        found.setdefault(row["path"].rpartition(":")[2], []).append(row)
    (crashed,) = found["crashes"]
    assert "ended by SIGSEGV; it printed: the last words" in crashed["reason"]
    (hung,) = found["hangs"]
    assert "took more than 8 s and was ended" in hung["reason"]
    assert [row for row in found["torch-bfloat16"] if row["verdict"] not in ("EXACT", "PASS")] == []
    assert len(found["torch-bfloat16"]) > 15
    assert report["run"]["printed_bytes"] > 3_000_000
    assert report["complete"]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("nowhere.py:moe", "there is no file nowhere.py"),
        ("moe", "write FILE.py:FUNCTION"),
        (f"{FILE}:nothing", "there is no function 'nothing'"),
        (f"{FILE}:takes_anything", "name its parameters"),
        (f"{FILE}:takes_unknown", "it wants 'weights', which is none of hidden_states"),
        ("no.such.module:moe", "does not import: ModuleNotFoundError"),
    ],
)
def test_a_kernel_that_cannot_be_had_is_one_sentence(spec, sentence):
    done = _invoke("--kernel", spec)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"hidden_as": "int3"}, "hidden_as is 'int3', which is none of mxfp8"),
        ({"split_k": "0"}, "split_k is a positive number"),
        ({"colour": "red"}, "the declaration has 'colour'"),
        ({"layout": "mine"}, "the layout 'mine' is not known"),
        ({"rounds": "never"}, "rounds 'never' is not known"),
    ],
)
def test_a_declaration_that_is_not_known_is_one_sentence(declared, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        kernel_path(f"{FILE}:moe", declared)


def test_the_sweep_asks_every_count_to_32_and_the_neighbours_of_powers_of_two():
    counts = sweep_counts(4097)
    assert counts[:32] == list(range(1, 33))
    assert {63, 64, 65, 511, 512, 513, 4095, 4096, 4097} <= set(counts)
    assert len(counts) == 54
