"""Checkpoints of every layout give the same numbers; bad ones give one sentence."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors", reason="safetensors is not installed")

sys.path.insert(0, str(Path(__file__).parent))

import checkpoints as made  # noqa: E402
from rich.console import Console  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from conformance.errors import UnjudgedError, UsageError  # noqa: E402
from conformance.precision import cli  # noqa: E402
from conformance.precision.checkpoints.checkpoint import open_checkpoint, open_store  # noqa: E402
from conformance.precision.checkpoints.compare import compare  # noqa: E402
from conformance.precision.config import Config  # noqa: E402
from conformance.precision.model.shape import LayerShape  # noqa: E402
from conformance.precision.run.run import run  # noqa: E402
from conformance.precision.view.compare_view import render_comparison  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source():
    return made.layers()


@pytest.fixture
def hf(tmp_path, source):
    return made.write_folder(tmp_path / "hf", made.hf_tensors(source))


@pytest.fixture
def gguf_written():
    return pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")


def _same(layer, want):
    for name in ("gate_up", "down"):
        for expert in range(made.SHAPE.experts):
            assert torch.equal(layer.matrix(name, expert), want.matrix(name, expert))
        assert torch.equal(layer.bias(name), want.bias(name))
    assert torch.equal(layer.router, want.router)
    assert torch.equal(layer.router_bias, want.router_bias)
    assert torch.equal(layer.norm, want.norm)


def test_every_layout_reads_back(tmp_path, source, hf, gguf_written):
    places = {
        "hf": hf,
        "openai": made.write_folder(tmp_path / "openai", made.openai_tensors(source)),
        "bf16": made.write_folder(tmp_path / "bf16", made.hf_tensors(source, dense=True)),
        "gguf": made.write_gguf(tmp_path / "a.gguf", made.gguf_tensors(source)),
        "gguf-bf16": made.write_gguf(tmp_path / "b.gguf", made.gguf_tensors(source, "BF16")),
    }
    for place in places.values():
        checkpoint = open_checkpoint(place)
        assert checkpoint.layers == (0, 1)
        for index in checkpoint.layers:
            _same(checkpoint.layer(index, CPU), source[index])


def test_our_gguf_reader_agrees_with_gguf_py(tmp_path, source, gguf_written):
    path = made.write_gguf(tmp_path / "a.gguf", made.gguf_tensors(source))
    theirs = {t.name: t for t in gguf_written.GGUFReader(str(path)).tensors}
    ours = open_store(path).entries
    assert set(ours) == set(theirs)
    for name, entry in ours.items():
        assert entry.offset == theirs[name].data_offset, name
        assert entry.size == theirs[name].n_bytes
        assert entry.shape == tuple(int(n) for n in theirs[name].shape)[::-1]


def test_the_same_numbers_in_other_layouts_are_the_same(tmp_path, source, hf, gguf_written):
    openai = made.write_folder(tmp_path / "openai", made.openai_tensors(source))
    dense = made.write_folder(tmp_path / "bf16", made.hf_tensors(source, dense=True))
    packed = made.write_gguf(tmp_path / "a.gguf", made.gguf_tensors(source))
    for other in (hf, openai, dense, packed):
        found = compare(hf, other)
        assert [t.name for t in found.tensors if t.verdict != "SAME"] == []
        assert (found.same, found.exit_code(), len(found.tensors)) == (True, 0, 2 * 15)


def test_one_changed_scale_is_found(tmp_path, source, hf):
    tensors = made.hf_tensors(source)
    tensors["model.layers.1.mlp.experts.down_proj_scales"] = tensors[
        "model.layers.1.mlp.experts.down_proj_scales"
    ].clone()
    tensors["model.layers.1.mlp.experts.down_proj_scales"][2, 3, 1] += 1
    found = compare(hf, made.write_folder(tmp_path / "other", tensors))
    wrong = [t for t in found.tensors if t.verdict != "SAME"]
    assert [(t.name, t.verdict) for t in wrong] == [("layers.1.experts.down", "DIFFERENT")]
    assert 0 < wrong[0].different <= 32
    assert found.exit_code() == 1


def test_lossy_types_have_a_signal_to_noise_ratio(tmp_path, source, hf, gguf_written):
    lossy = made.write_gguf(tmp_path / "q.gguf", made.gguf_tensors(source, "Q4_0"))
    found = {t.name: t for t in compare(hf, lossy).tensors}
    assert found["layers.0.experts.down"].verdict == "LOSSY"
    assert 10 < found["layers.0.experts.down"].sqnr_db < 40
    assert found["layers.0.router.weight"].verdict == "SAME"


def test_eighty_columns_cut_no_tensor(tmp_path, source, hf):
    tensors = made.hf_tensors(source)
    changed = [name for name in tensors if name.endswith(("_proj_scales", "_proj.bias"))]
    for name in changed:
        tensors[name] = tensors[name] + 1
    del tensors["model.layers.0.mlp.router.bias"]
    found = compare(hf, made.write_folder(tmp_path / "other", tensors))
    console = Console(width=80, file=io.StringIO())
    render_comparison(found, console)
    shown = console.file.getvalue()
    assert "…" not in shown
    wrong = [t for t in found.tensors if t.verdict != "SAME"]
    assert len(wrong) == len(changed) + 1
    for tensor in wrong:
        assert re.search(rf"^(MISSING )?{re.escape(tensor.name)}[: ]", shown, re.M)
    assert f"{30 - len(wrong)} of 30 tensors hold the same numbers" in shown


def test_names_are_no_markup(tmp_path, source, hf):
    strange = made.write_folder(tmp_path / "[bold]x[" / "red]", made.hf_tensors(source))
    for arguments in (
        ["compare", str(hf), str(strange)],
        ["--checkpoint", str(strange), "--path", "torch-float16", "--regime", "1-token", "--depth", "0"],
    ):
        done = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        assert "[bold]x[/red]" in done.output


def test_a_comparison_with_nan_is_json(tmp_path, source, hf):
    tensors = made.hf_tensors(source)
    tensors["model.layers.0.mlp.router.weight"][0, 0] = float("nan")
    other = made.write_folder(tmp_path / "nan", tensors)
    done = CliRunner().invoke(cli.app, ["compare", str(hf), str(other), "--format", "json"])
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (wrong,) = [t for t in found["tensors"] if t["verdict"] != "SAME"]
    assert (wrong["verdict"], wrong["abs_max"], wrong["sqnr_db"]) == ("DIFFERENT", "inf", "-inf")


def test_the_weights_of_every_layer_are_judged(tmp_path, monkeypatch):
    """By the layer's number: an object's id is used again once the layer before is gone."""
    monkeypatch.setattr(made, "SHAPE", LayerShape("written", 64, 96, 6, 4, 6))
    place = made.write_folder(tmp_path / "six", made.hf_tensors(made.layers()))
    config = Config(
        checkpoint=place,
        paths=("torch-*",),
        regimes=("gaussian", "1-token", "router-ties"),
        layers=tuple(range(6)),
        depth=0,
        device="cpu",
        certify_layers=False,
        boundary=False,
    )
    rows = [r for r in run(config).rows if r.stage == "dequant"]
    assert sorted((r.path, r.metrics["layer"]) for r in rows) == sorted(
        (path, layer) for path in {r.path for r in rows} for layer in range(6)
    )
    assert len({r.path for r in rows}) >= 4


def test_missing_tensors_are_named_on_both_sides(tmp_path, source, hf):
    tensors = made.hf_tensors(source)
    del tensors["model.layers.0.self_attn.k_proj.bias"]
    found = compare(hf, made.write_folder(tmp_path / "less", tensors))
    assert [(t.name, t.verdict) for t in found.tensors if t.verdict != "SAME"] == [
        ("layers.0.attention.k.bias", "MISSING")
    ]
    assert found.exit_code() == 1


def test_a_checkpoint_is_judged_layer_by_layer(hf):
    config = Config(
        checkpoint=hf,
        paths=("torch-bfloat16", "torch-float32"),
        regimes=("gaussian",),
        depth=0,
        layers=(1,),
        device="cpu",
    )
    report = run(config)
    assert report.run["weights"] == str(hf)
    assert [c["layer"] for c in report.certificates] == [0, 1]
    assert report.exit_code() == 0
    assert {r.path for r in report.rows} == {"torch-bfloat16", "torch-float32"}
    with pytest.raises(UsageError, match=r"--layer 7.*layers 0 to 1"):
        run(Config(checkpoint=hf, layers=(7,), device="cpu"))


def test_dense_weights_skip_what_needs_mxfp4_with_a_reason(tmp_path, source):
    dense = made.write_folder(tmp_path / "bf16", made.hf_tensors(source, dense=True))
    config = Config(
        checkpoint=dense,
        paths=("torch-bfloat16",),
        regimes=("outlier-rows", "gaussian"),
        depth=0,
        device="cpu",
    )
    report = run(config)
    assert [r.reason for r in report.rows if r.verdict == "UNSUPPORTED"] == [
        "the regime plants MXFP4 blocks, and these weights are dense"
    ]
    assert report.exit_code() == 0


def _broken(tmp_path, source, change):
    tensors = {k: v.clone() for k, v in made.hf_tensors(source).items()}
    change(tensors)
    return open_checkpoint(made.write_folder(tmp_path / "broken", tensors))


BLOCKS = "model.layers.0.mlp.experts.gate_up_proj_blocks"
SCALES = "model.layers.0.mlp.experts.gate_up_proj_scales"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(SCALES), "gate_up_proj_scales is missing"),
        (lambda t: t.pop("model.layers.0.mlp.router.bias"), "layers.0.router.bias is missing"),
        (lambda t: t.update({SCALES: t[SCALES][:, :-1]}), r"has shape \(6, 191, 2\).*asks for \(6, 192, 2\)"),
        (lambda t: t[SCALES].__setitem__((2, 5, 1), 255), "1 NaN scales.*expert 2, row 5, block 1"),
        (lambda t: t.update({BLOCKS: t[BLOCKS].int()}), "must be uint8"),
        (lambda t: t["model.layers.0.mlp.router.bias"].__setitem__(0, float("nan")), "not finite"),
    ],
)  # fmt: skip
def test_bad_tensors_give_one_sentence(tmp_path, source, change, message):
    checkpoint = _broken(tmp_path, source, change)
    with pytest.raises(UsageError, match=message) as caught:
        checkpoint.layer(0, CPU)
    assert "\n" not in str(caught.value)


def test_bad_folders_give_one_sentence(tmp_path, source, hf):
    with pytest.raises(UsageError, match="does not exist"):
        open_checkpoint(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no \.safetensors file"):
        open_checkpoint(tmp_path / "empty")
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="neither a folder"):
        open_checkpoint(tmp_path / "weights.bin")
    other = made.write_folder(tmp_path / "llama", made.hf_tensors(source), model_type="llama")
    with pytest.raises(UsageError, match="model_type is 'llama'"):
        open_checkpoint(other)
    config = json.loads((hf / "config.json").read_text())
    (hf / "config.json").unlink()
    with pytest.raises(UsageError, match=r"no config\.json"):
        open_checkpoint(hf)
    (hf / "config.json").write_text("{")
    with pytest.raises(UsageError, match="is no JSON"):
        open_checkpoint(hf)
    del config["hidden_size"]
    (hf / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"lacks or garbles.*hidden_size"):
        open_checkpoint(hf)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_experts_per_tok": 99}, "99 of 6 experts cannot be chosen"),
        ({"num_experts_per_tok": 0}, "0 of 6 experts cannot be chosen"),
        ({"hidden_size": 100}, "hidden size 100 is no positive multiple of 32"),
        ({"hidden_size": 0}, "hidden size 0 is no positive multiple of 32"),
        ({"swiglu_limit": -1}, "clamp limit"),
    ],
)  # fmt: skip
def test_a_configuration_that_describes_no_layer(tmp_path, source, config, message):
    with pytest.raises(UsageError, match=message):
        open_checkpoint(made.write_folder(tmp_path / "bad", made.hf_tensors(source), **config))


def test_dense_weights_that_are_not_finite(tmp_path, source):
    tensors = {k: v.clone() for k, v in made.hf_tensors(source, dense=True).items()}
    tensors["model.layers.0.mlp.experts.down_proj"][3, 0, 0] = float("nan")
    checkpoint = open_checkpoint(made.write_folder(tmp_path / "nan", tensors))
    with pytest.raises(UsageError, match="not finite, the first in expert 3"):
        checkpoint.layer(0, CPU)


@pytest.mark.parametrize("index", ["[]", '{"weight_map": ["a"]}', '{"weight_map": null}', "{"])
def test_an_index_that_is_none(hf, index):
    (hf / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UsageError, match="is no index of safetensors"):
        open_checkpoint(hf)


def test_unknown_tensors_are_never_called_the_same(tmp_path, source, hf):
    tensors = made.hf_tensors(source) | {"model.layers.0.mlp.experts.lora_A": torch.ones(4)}
    found = compare(hf, made.write_folder(tmp_path / "more", tensors))
    assert [(t.name, t.verdict) for t in found.tensors if t.verdict != "SAME"] == [
        ("model.layers.0.mlp.experts.lora_A", "UNJUDGED")
    ]
    assert (found.same, found.exit_code()) == (False, 3)


def test_numbers_beyond_float32_are_told_apart(tmp_path, source):
    places = []
    for name, code in (("four", 0x66), ("six", 0x77)):
        tensors = {k: v.clone() for k, v in made.hf_tensors(source).items()}
        tensors["model.layers.0.mlp.experts.down_proj_scales"][1, 2, 0] = 254
        tensors["model.layers.0.mlp.experts.down_proj_blocks"][1, 2, 0] = code
        places.append(made.write_folder(tmp_path / name, tensors))
    wrong = [t for t in compare(*places).tensors if t.verdict != "SAME"]
    assert [(t.name, t.different) for t in wrong] == [("layers.0.experts.down", 32)]


def test_compare_says_when_blocks_and_scales_do_not_fit(tmp_path, source, hf):
    tensors = made.hf_tensors(source)
    tensors[SCALES] = tensors[SCALES][:, :-1].contiguous()
    with pytest.raises(UsageError, match="do not belong together"):
        compare(hf, made.write_folder(tmp_path / "other", tensors))


def test_rows_of_several_layers_name_theirs(hf):
    config = Config(
        checkpoint=hf,
        paths=("torch-float32",),
        regimes=("1-token",),
        depth=0,
        layers=(0, 1),
        boundary=False,
        certify_layers=False,
        device="cpu",
    )
    report = run(config)
    assert {r.metrics["layer"] for r in report.rows} == {0, 1}
    assert set(report.reference["certified"]) == {"layer 0: 1-token", "layer 1: 1-token"}


def test_truncated_and_incomplete_files(tmp_path, source, hf):
    index = {
        "weight_map": {BLOCKS: "model.safetensors", "model.layers.9.mlp.router.bias": "model-2.safetensors"}
    }
    (hf / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match=r"1 tensors of the index are in no file.*model-2.safetensors"):
        open_checkpoint(hf)
    made.truncated(hf / "model.safetensors")
    with pytest.raises(UsageError, match="truncated"):
        open_checkpoint(hf)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_a_truncated_gguf(tmp_path, source, gguf_written, share):
    path = made.write_gguf(tmp_path / "a.gguf", made.gguf_tensors(source))
    with pytest.raises(UsageError, match=r"truncated|damaged"):
        open_checkpoint(made.truncated(path, share))


def test_bad_ggufs(tmp_path, source, gguf_written):
    other = made.write_gguf(tmp_path / "llama.gguf", made.gguf_tensors(source), architecture="llama")
    with pytest.raises(UsageError, match=r"general.architecture is 'llama'"):
        open_checkpoint(other)
    tensors = made.gguf_tensors(source)
    kind, rows = tensors["blk.0.ffn_up_exps.weight"]
    uneven = made.write_gguf(
        tmp_path / "uneven.gguf", tensors | {"blk.0.ffn_up_exps.weight": (kind, rows[:, :-1].contiguous())}
    )
    with pytest.raises(UsageError, match="must be equal"):
        open_checkpoint(uneven).layer(0, CPU)
    part = bytearray(made.gguf_magic(3))
    part[16:24] = (1).to_bytes(8, "little")  # one pair of metadata
    key = b"split.count"
    part += len(key).to_bytes(8, "little") + key + (2).to_bytes(4, "little") + (3).to_bytes(2, "little")
    (tmp_path / "a-00002-of-00003.gguf").write_bytes(bytes(part) + bytes(64))
    with pytest.raises(UsageError, match=r"one of 3 parts.*gguf-split --merge"):
        open_checkpoint(tmp_path / "a-00002-of-00003.gguf")
    wrong = tmp_path / "no.gguf"
    wrong.write_bytes(b"GGML" + bytes(64))
    with pytest.raises(UsageError, match="is not a GGUF file"):
        open_checkpoint(wrong)
    wrong.write_bytes(made.gguf_magic(99))
    with pytest.raises(UsageError, match="version 99"):
        open_checkpoint(wrong)
    wrong.write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be read"):
        open_checkpoint(wrong)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes LLM.int8"])
def test_formats_that_are_not_read_are_named(tmp_path, source, method):
    tensors = made.hf_tensors(source, dense=True)
    config = {}
    if method.startswith("bits"):
        tensors["model.layers.0.self_attn.q_proj.SCB"] = torch.ones(4)
    else:
        config = {"quantization_config": {"quant_method": method}}
    folder = made.write_folder(tmp_path / "other", tensors, **config)
    with pytest.raises(UnjudgedError, match=f"quantised by {method}, which are not read"):
        open_checkpoint(folder)
    done = CliRunner().invoke(cli.app, ["compare", str(folder), str(folder)])
    assert done.exit_code == 3
    assert "Traceback" not in done.output + done.stderr
