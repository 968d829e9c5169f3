"""NF4 and GGUF types: dequantised exactly, judged as their libraries compute them; wrong readings are caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from conformance.errors import UnjudgedError, UsageError  # noqa: E402
from conformance.precision import cli  # noqa: E402
from conformance.precision.checkpoints.checkpoint import open_checkpoint  # noqa: E402
from conformance.precision.checkpoints.compare import compare  # noqa: E402
from conformance.precision.checkpoints.stored import FORMATS, gguf_rows, held  # noqa: E402
from conformance.precision.formats import ggml, nf4  # noqa: E402
from conformance.precision.judging.dequant import examine_dequant  # noqa: E402
from conformance.precision.judging.examine import Examination, Workbench  # noqa: E402
from conformance.precision.model import regimes  # noqa: E402
from conformance.precision.model.shape import LayerShape  # noqa: E402
from conformance.precision.model.synthetic import synthetic_layer  # noqa: E402
from conformance.precision.model.weights import MxTensor, StoredTensor  # noqa: E402
from conformance.precision.paths.registry import select  # noqa: E402
from tests.precision import checkpoints as made  # noqa: E402

needs_ggml = pytest.mark.skipif(bool(ggml.missing()), reason=ggml.missing() or "")
WIDE = LayerShape("wide", 256, 256, 4, 4, 1)
SMALL = LayerShape("small", 64, 128, 6, 4, 1)
LLAMA = {"MXFP4": "llama.cpp-q8_0", "Q8_0": "llama.cpp-q8_0", "Q4_0": "llama.cpp-q8_0", "Q5_0": "llama.cpp-q8_0",
         "IQ4_NL": "llama.cpp-q8_0", "Q4_K": "llama.cpp-q8_K", "Q6_K": "llama.cpp-q8_K"}  # fmt: skip
BNB = {"NF4": "bitsandbytes-bfloat16", "NF4-nested": "bitsandbytes-bfloat16"}


def stored(kind):
    layer = synthetic_layer(WIDE if kind.endswith("_K") else SMALL, 5, torch.device("cpu"))
    return layer if kind == "MXFP4" else held(layer, kind)


def accused(path, layer, given=None, kinds=("gaussian", "low-gates", "1-token")):
    """Return the stages at which a path is accused, given other weights than those that it is judged by."""
    found = set()
    for name in kinds:
        work = regimes.build(regimes.REGIMES[name], layer, 16, 1)
        mine = given
        if given is not None:  # a regime's own biases with the corrupted matrices
            mine = replace(work.layer, gate_up=given.gate_up, down=given.down, _cache={}, _cached=0)
        runner = path.prepare(mine or work.layer)
        rows = Examination(path, runner, Workbench.of(work)).run()
        if name == "gaussian":
            rows.append(examine_dequant(path, runner, work, list(range(layer.shape.experts))))
        found |= {r.stage for r in rows if not r.good and not r.expected}
    return found


def path_of(kind):
    (path,) = select([{**LLAMA, **BNB}[kind]])
    why = path.unsupported(torch.device("cpu"), stored(kind))
    if why:
        pytest.skip(why)
    return path


@pytest.mark.parametrize("kind", [*LLAMA, *BNB])
def test_what_llama_cpp_and_bitsandbytes_compute_is_not_accused(kind):
    assert accused(path_of(kind), stored(kind)) == set()


def _nibbles(rows):
    return (rows >> 4) | (rows << 4)


def _gguf(layer, kind, change):
    def changed(name):
        matrix = getattr(layer, name)
        if isinstance(matrix, MxTensor):
            return matrix
        return gguf_rows({n: change(n, rows.clone()) for n, rows in matrix.parts.items()}, kind)

    return layer.changed(gate_up=changed("gate_up"), down=changed("down"))


def _one_scale(name, rows):
    rows[1, 3, 1] ^= 4  # the high byte of the first block's float16 scale, of one row of one expert
    return rows


def _swapped(name, rows):
    blocks = rows.unflatten(-1, (-1, 18))
    blocks[..., 2:] = _nibbles(blocks[..., 2:])
    return blocks.flatten(-2)


@needs_ggml
@pytest.mark.parametrize(
    ("kind", "change"), [("Q8_0", _one_scale), ("Q4_0", _one_scale), ("Q4_0", _swapped), ("Q4_K", _one_scale)]
)
def test_a_wrong_reading_of_a_gguf_type_is_caught(kind, change):
    layer, path = stored(kind), path_of(kind)
    # One block of one row drowns in what int8 rows round by the time the experts are added.
    shown = {"dequant", "gate_up"} | ({"combine"} if change is _swapped else set())
    assert accused(path, layer, _gguf(layer, kind, change)) >= shown


@needs_ggml
def test_gate_and_up_exchanged_are_caught():
    layer, path = stored("Q8_0"), path_of("Q8_0")
    parts = layer.gate_up.parts
    wrong = layer.changed(gate_up=gguf_rows({"gate": parts["up"], "up": parts["gate"]}, "Q8_0"))
    assert accused(path, layer, wrong) >= {"dequant", "gate_up", "swiglu", "combine"}


NF4_FAULTS = {
    "nibble-order": lambda p: replace(p, packed=_nibbles(p.packed)),
    "the-next-blocks-scale": lambda p: replace(p, scales=p.scales.roll(1)),
    "one-blocks-scale": lambda p: replace(p, scales=torch.cat((p.scales[:1] // 2, p.scales[1:]))),
    "offset-lost": lambda p: replace(p, offset=0.0),
    "nested-scales-rolled": lambda p: replace(p, nested_scales=p.nested_scales * 1.01),
}


@pytest.mark.parametrize("fault", NF4_FAULTS)
def test_a_wrong_reading_of_nf4_is_caught(fault):
    layer, path = stored("NF4-nested"), path_of("NF4-nested")

    def changed(matrix):
        return replace(matrix, parts={n: NF4_FAULTS[fault](p) for n, p in matrix.parts.items()})

    wrong = layer.changed(gate_up=changed(layer.gate_up), down=changed(layer.down))
    assert accused(path, layer, wrong) >= {"dequant", "gate_up", "combine"}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_nf4_means_what_bitsandbytes_says(kind, nested):
    functional = pytest.importorskip("bitsandbytes").functional
    values = torch.randn(48, 320, generator=torch.Generator().manual_seed(3))
    packed, state = functional.quantize_4bit(
        values, blocksize=64, quant_type=kind, compress_statistics=nested
    )
    inner = state.state2
    more = (inner.code, inner.absmax, inner.blocksize, float(state.offset)) if nested else ()
    mine = nf4.FourBit(packed, state.absmax, state.code, (48, 320), 64, *more).checked("here")
    assert torch.equal(mine.numbers(), functional.dequantize_4bit(packed, state))
    if kind == "nf4" and not nested:
        assert torch.equal(nf4.quantise(values, nested=False).packed, packed.flatten())


@needs_ggml
@pytest.mark.parametrize("kind", ggml.TYPES)
def test_gguf_py_and_llama_cpp_read_the_same_numbers(kind):
    values = torch.randn(3, 4, 512, generator=torch.Generator().manual_seed(7))
    rows = ggml.quantise(values, kind)
    assert torch.equal(ggml.dequantise(rows, kind), ggml.dequantised_by_ggml(rows, kind, 512))


def bnb_tensors(source, nested):
    """Return the tensors of a checkpoint as unsloth's 4-bit uploads have them, written by bitsandbytes itself."""
    functional = pytest.importorskip("bitsandbytes").functional
    found = {k: v for k, v in made.hf_tensors(source).items() if ".experts." not in k and ".router." not in k}
    for index, layer in enumerate(source):
        prefix = f"model.layers.{index}.mlp."
        found[f"{prefix}router.linear.weight"] = layer.router.bfloat16()
        found[f"{prefix}router.linear.bias"] = layer.router_bias.bfloat16()
        for name in ("gate_up", "down"):
            for e in range(layer.shape.experts):
                key = f"{prefix}experts.{name}_projs.{e}"
                packed, state = functional.quantize_4bit(
                    layer.matrix(name, e), blocksize=64, quant_type="nf4", compress_statistics=nested
                )
                found[f"{key}.weight"], found[f"{key}.bias"] = packed, layer.bias(name)[e].bfloat16()
                found |= {f"{key}.weight.{k}": v for k, v in state.as_dict(packed=True).items()}
    return found


@pytest.mark.parametrize("nested", [False, True])
def test_a_checkpoint_of_bitsandbytes_is_read_judged_and_compared(tmp_path, nested):
    source = made.layers()
    folder = made.write_folder(tmp_path / "bnb", bnb_tensors(source, nested))
    layer = open_checkpoint(folder).layer(1, torch.device("cpu"))
    assert isinstance(layer.gate_up, StoredTensor)
    assert layer.gate_up.format == "NF4"
    error = (layer.matrix("gate_up", 2) - source[1].matrix("gate_up", 2)).norm() / source[1].matrix(
        "gate_up", 2
    ).norm()
    assert 0.05 < float(error) < 0.15  # NF4 of MXFP4
    assert torch.equal(layer.down_bias, source[1].down_bias)
    # Rows of 96 are no whole number of blocks, and bitsandbytes 0.50.2 reads its own bytes wrong there, on a CPU.
    (path,) = select(["bitsandbytes-bfloat16"])
    own = path.prepare(layer).expert_weights(2)["down"].float()
    right = float((own - layer.matrix("down", 2)).abs().amax()) < 0.02
    assert accused(path, layer, kinds=("gaussian",)) == (
        set() if right else {"dequant", "down", "combine", "residual"}
    )
    original = made.write_folder(tmp_path / "original", made.hf_tensors(source))
    found = {t.name: t for t in compare(folder, original).tensors}
    experts = found["layers.0.experts.gate_up"]
    assert (experts.verdict, experts.encoding_a, experts.encoding_b) == ("LOSSY", "NF4", "MXFP4")
    assert 15 < experts.sqnr_db < 26
    assert found["layers.0.router.weight"].verdict == "SAME"
    assert not [t for t in found.values() if t.verdict == "UNJUDGED"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, k: t.pop(f"{k}.absmax"), "absmax is missing"),
        (lambda t, k: t.update({f"{k}.absmax": t[f"{k}.absmax"][:-1]}), "scales, and"),
        (lambda t, k: t.update({k: t[k][:-3]}), "cannot be"),
        (lambda t, k: t.update({f"{k}.quant_state.bitsandbytes__nf4": torch.zeros(4, dtype=torch.uint8)}), "no JSON"),
        (lambda t, k: t.pop(f"{k}.nested_quant_map"), "nested_quant_map is missing"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_of_bitsandbytes_is_refused_in_a_sentence(tmp_path, change, said):
    tensors = bnb_tensors(made.layers()[:1], nested=True)
    change(tensors, "model.layers.0.mlp.experts.gate_up_projs.3.weight")
    folder = made.write_folder(tmp_path / "bnb", tensors, num_hidden_layers=1)
    with pytest.raises(UsageError, match=said):
        open_checkpoint(folder).layer(0, torch.device("cpu"))


@pytest.mark.parametrize(
    ("stored", "code", "said"),
    [("Q9", 2, "choose from NF4"), ("Q4_K", 2, "rows of 128 are no whole number of them")],
)
def test_a_format_that_cannot_hold_the_weights_is_one_sentence(stored, code, said):
    if stored == "Q4_K" and ggml.missing():
        pytest.skip(ggml.missing())
    asked = ["--preset", "tiny", "--stored", stored, "--isolation", "none", "--device", "cpu"]
    done = CliRunner().invoke(cli.app, asked)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())


def test_without_xllamacpp_what_to_install_is_named(monkeypatch):
    monkeypatch.setattr(ggml, "missing", lambda: "xllamacpp is not installed: pip install xllamacpp")
    with pytest.raises(UnjudgedError, match="pip install xllamacpp"):
        held(synthetic_layer(SMALL, 0, torch.device("cpu")), "Q8_0")
    (path,) = select(["llama.cpp-q8_0"])
    layer = synthetic_layer(SMALL, 0, torch.device("cpu"))
    assert path.unsupported(torch.device("cpu"), layer) == "xllamacpp is not installed: pip install xllamacpp"
    assert len(FORMATS) == len(set(FORMATS))
