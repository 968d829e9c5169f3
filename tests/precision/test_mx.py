"""The formats: exhaustive dequantisation, the OCP quantiser, layouts and their conversion."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from conformance.errors import UsageError  # noqa: E402  (after the skip)
from conformance.precision.formats.layouts import (  # noqa: E402
    from_gguf,
    interleave,
    openai_name,
    separate,
    to_gguf,
)
from conformance.precision.formats.mx import (  # noqa: E402
    E2M1,
    dequantise,
    nearest_codes,
    pack,
    quantise,
    scale_values,
    unpack,
)
from conformance.precision.judging.boundary import boundaries, ranges  # noqa: E402

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def _every_byte() -> tuple[torch.Tensor, torch.Tensor]:
    """Return each of 256 bytes of two codes under each of 256 scale bytes: blocks (256, 16, 16), scales (256, 16)."""
    blocks = torch.arange(256, dtype=torch.uint8).reshape(16, 16).expand(256, 16, 16)
    return blocks, torch.arange(256, dtype=torch.uint8).unsqueeze(1).expand(256, 16)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_scale_and_byte_is_rounded_once_to_every_dtype(dtype):
    got = dequantise(*_every_byte(), dtype)
    assert got.shape == (256, 512)
    for scale in range(256):
        codes = [code for byte in range(256) for code in (byte & 15, byte >> 4)]
        # Python's floats hold every product; one rounding on the way to float32, and none that a second could undo.
        exact = [float("nan") if scale == 255 else math.ldexp(E2M1[code], scale - 127) for code in codes]
        want = torch.tensor(exact, dtype=torch.float64)
        want = want if dtype == torch.float64 else want.float().to(dtype)
        assert torch.equal(got[scale].nan_to_num(7.0), want.nan_to_num(7.0)), scale
        assert torch.equal(torch.isnan(got[scale]), torch.isnan(want)), scale
        assert torch.equal(torch.signbit(got[scale]), torch.signbit(want)) or scale == 255, scale


def test_exact_ranges_are_the_published_ones(cpu):
    found = {e["what"]: e for e in boundaries(cpu)}
    assert found["dequantise to float32"]["exact_bytes"] == "0-252"
    assert found["dequantise to bfloat16"]["exact_bytes"] == "0-252"
    half = found["dequantise to float16"]
    assert half["exact_bytes"] == "104-140"
    assert half["nonfinite_bytes"] == "141-254"
    assert all(e["nan_for_255"] and e["as_known"] for e in found.values())


def test_against_gguf_py():
    quants = pytest.importorskip("gguf.quants", reason="gguf is not installed: pip install gguf")
    import numpy as np
    from gguf import GGMLQuantizationType

    blocks, scales = _every_byte()
    with np.errstate(over="ignore"):
        theirs = torch.from_numpy(
            quants.dequantize(to_gguf(blocks, scales).numpy(), GGMLQuantizationType.MXFP4)
        )
    ours = dequantise(blocks, scales, torch.float32)
    agree = [bool(torch.equal(theirs[b], ours[b])) for b in range(256)]
    # All 256 bytes of codes under every scale byte but one: 255 is NaN by the standard, and a number there.
    assert [b for b in range(256) if not agree[b]] == [255]


def test_layouts_convert_both_ways():
    generator = torch.Generator().manual_seed(4)
    blocks = torch.randint(0, 256, (3, 8, 2, 16), generator=generator).to(torch.uint8)
    scales = torch.randint(0, 256, (3, 8, 2), generator=generator).to(torch.uint8)
    back = from_gguf(to_gguf(blocks, scales))
    assert torch.equal(back[0], blocks)
    assert torch.equal(back[1], scales)
    gate, up = separate(blocks)
    assert torch.equal(gate, blocks[:, ::2])
    assert torch.equal(interleave(gate, up), blocks)
    assert torch.equal(pack(unpack(blocks)), blocks)
    assert openai_name("model.layers.3.mlp.experts.gate_up_proj_blocks") == "block.3.mlp.mlp1_weight.blocks"
    with pytest.raises(UsageError, match="no MoE tensor"):
        openai_name("model.layers.3.self_attn.q_proj.weight")
    with pytest.raises(UsageError, match="17-byte"):
        from_gguf(torch.zeros(2, 16, dtype=torch.uint8))


def test_gguf_byte_order_by_hand():
    codes = torch.arange(32).remainder(16).to(torch.uint8).unsqueeze(0)
    row = to_gguf(pack(codes), torch.tensor([127], dtype=torch.uint8))
    assert row[0].item() == 127
    assert row[1].item() == (0 | (0 << 4))  # elements 0 and 16, codes 0 and 0
    assert row[2].item() == (1 | (1 << 4))


def test_quantiser_follows_the_ocp_rule():
    values = torch.tensor([0.0, 6.0, 5.0, 2.5, -2.5, 3.5, 0.25, 0.75, 100.0, -100.0])
    # Ties go to the even code: 5 between 4 and 6 -> 4, 2.5 -> 2, 3.5 -> 4, 0.25 -> 0, 0.75 -> 1.
    want = [0.0, 6.0, 4.0, 2.0, -2.0, 4.0, 0.0, 1.0, 6.0, -6.0]
    got = [E2M1[int(c)] for c in nearest_codes(values)]
    assert got == want
    block = torch.zeros(1, 32)
    block[0, 0] = 7.9  # exponent 2, so scale 1 and saturation at 6
    blocks, scales = quantise(block)
    assert scales.item() == 127
    assert dequantise(blocks, scales, torch.float32)[0, 0] == 6.0
    block[0, 0] = float("nan")
    assert quantise(block)[1].item() == 255


def test_quantising_a_quantised_block_changes_nothing():
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(64, 128, generator=generator) * torch.logspace(-20, 20, 64).unsqueeze(1)
    once = dequantise(*quantise(values), torch.float64)
    assert torch.equal(dequantise(*quantise(once), torch.float64), once)
    assert float((once - values).norm() / values.norm()) < 0.2


def test_scale_values_and_ranges():
    assert float(scale_values(torch.tensor([0], dtype=torch.uint8))) == 2.0**-127
    assert torch.isnan(scale_values(torch.tensor([255], dtype=torch.uint8), torch.float32)).all()
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == "none"
