"""Hidden states of a real model: recorded from transformers, judged as a kind of input, refused when another's."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from conformance.errors import UsageError
from conformance.precision import cli
from conformance.precision.checkpoints.activations import Activations
from conformance.precision.checkpoints.record import recording
from conformance.precision.config import Config
from conformance.precision.model.shape import preset
from conformance.precision.run.run import run

safetensors = pytest.importorskip("safetensors.torch")
TINY = preset("tiny")


def _file(folder, **tensors):
    place = folder / "states.safetensors"
    safetensors.save_file(
        {name.replace("__", "."): t.contiguous() for name, t in tensors.items()}, str(place)
    )
    return place


def _model():
    transformers = pytest.importorskip("transformers")
    config = transformers.GptOssConfig(
        vocab_size=64, hidden_size=TINY.hidden, intermediate_size=TINY.intermediate, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, num_local_experts=TINY.experts,
        num_experts_per_tok=TINY.top_k, layer_types=["full_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.inference_mode(mode=False):
        return transformers.GptOssForCausalLM(config).eval()


def test_a_model_that_runs_is_recorded_and_its_hidden_states_are_judged(tmp_path):
    model, place = _model(), tmp_path / "states.safetensors"
    with torch.no_grad(), recording(model, place, layers=[1], tokens=20):
        model(torch.arange(48).reshape(2, 24))
    kept = safetensors.load_file(str(place))
    assert {k: tuple(v.shape) for k, v in kept.items()} == {
        "layers.1.hidden_states": (20, TINY.hidden),
        "layers.1.router_logits": (20, TINY.experts),
    }
    report = run(
        Config(preset="tiny", activations=place, paths=("torch-float32",), regimes=("1-token",), depth=0)
    )
    rows = [r for r in report.rows if r.regime == "activations"]
    assert {r.stage for r in rows} >= {"router", "gate_up", "down", "combine"}
    assert all(r.good for r in rows)
    assert report.reference["certified"]["activations"]["of"] == 20
    assert report.run["activations"]["layers"]["1"]["tokens"] == 20


def test_tokens_that_are_not_finite_are_left_out_and_counted(tmp_path):
    hidden = torch.randn(6, TINY.hidden)
    hidden[2, 5], hidden[4, 0] = float("nan"), float("inf")
    found = Activations(_file(tmp_path, hidden_states=hidden[None].half()), TINY).of(None)
    assert (len(found.tokens), found.dropped, bool(torch.isfinite(found.tokens).all())) == (4, 2, True)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"hidden_states": torch.zeros(3, 4096)}, "4,096 wide and tiny .*: it is of another model"),
        (
            {"hidden_states": torch.full((3, TINY.hidden), float("nan"))},
            "every token of hidden_states has a NaN",
        ),
        ({"hidden_states": torch.zeros(3, TINY.hidden, dtype=torch.int32)}, "int32"),
        ({"hidden_states": torch.zeros(0, TINY.hidden)}, r"float32 \(0, "),
        ({"something": torch.zeros(3, TINY.hidden)}, "holds no tensor named hidden_states"),
        (
            {"hidden_states": torch.zeros(3, TINY.hidden), "router_logits": torch.zeros(3, TINY.experts + 1)},
            "they are of another model",
        ),
    ],
)
def test_a_file_of_another_model_is_refused_in_one_sentence(tmp_path, tensors, sentence):
    with pytest.raises(UsageError, match=sentence) as refused:
        Activations(_file(tmp_path, **tensors), TINY)
    assert "\n" not in str(refused.value)


def test_logits_that_the_checkpoints_router_does_not_give_are_refused(tmp_path):
    hidden = torch.randn(5, TINY.hidden)
    from conformance.precision.model.synthetic import synthetic_layer

    layer = synthetic_layer(TINY, 0, torch.device("cpu"))
    own = hidden.bfloat16().float() @ layer.router.T.float() + layer.router_bias
    right = Activations(_file(tmp_path, layers__3__hidden_states=hidden, layers__3__router_logits=own), TINY)
    assert right.regime(layer, 3).recorded == 5
    with pytest.raises(UsageError, match="it has no layer 0: choose --layer from 3"):
        right.of(0)
    wrong = _file(tmp_path, layers__3__hidden_states=hidden, layers__3__router_logits=own.flip(1))
    with pytest.raises(UsageError, match="it is of another model or layer"):
        Activations(wrong, TINY).regime(layer, 3)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_a_file_that_cannot_be_read_ends_with_exit_code_2(tmp_path, content):
    place = tmp_path / "states.safetensors"
    if content is not None:
        place.write_bytes(content)
    asked = ["--preset", "tiny", "--activations", str(place), "--isolation", "none", "--device", "cpu"]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 2
    assert "Traceback" not in done.output + done.stderr


def test_the_recorder_says_what_it_cannot_record(tmp_path):
    with (
        pytest.raises(ValueError, match="no layers with mlp"),
        recording(torch.nn.Linear(2, 2), tmp_path / "x"),
    ):
        pass
    with pytest.raises(ValueError, match="layer 7"), recording(_model(), tmp_path / "x", layers=[7]):
        pass
