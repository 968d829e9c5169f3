"""Small checkpoints of every layout, written by the tests from one synthetic layer each."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch

from conformance.precision.formats.layouts import separate, to_gguf
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.model.weights import LayerWeights

SHAPE = LayerShape("written", 64, 96, 6, 4, 2)


def layers(seed: int = 0) -> list[LayerWeights]:
    return [synthetic_layer(SHAPE, seed + i, torch.device("cpu")) for i in range(SHAPE.layers)]


def _attention(index: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(100 + index)
    sizes = {"q": (4 * 16, 64), "k": (2 * 16, 64), "v": (2 * 16, 64), "o": (64, 64)}
    found = {f"{p}.weight": torch.randn(*s, generator=draw).bfloat16() for p, s in sizes.items()}
    found |= {f"{p}.bias": torch.randn(s[0], generator=draw).bfloat16() for p, s in sizes.items()}
    return found


def hf_tensors(source: list[LayerWeights], dense: bool = False) -> dict[str, torch.Tensor]:
    found = {}
    for index, layer in enumerate(source):
        prefix = f"model.layers.{index}."
        for name in ("gate_up", "down"):
            matrix = getattr(layer, name)
            key = f"{prefix}mlp.experts.{name}_proj"
            if dense:
                values = torch.stack([matrix.expert(e, torch.bfloat16).T for e in range(SHAPE.experts)])
                found[key] = values.contiguous()
            else:
                found[f"{key}_blocks"], found[f"{key}_scales"] = matrix.blocks, matrix.scales
            found[f"{key}_bias"] = layer.bias(name).bfloat16()
        found[f"{prefix}mlp.router.weight"] = layer.router.bfloat16()
        found[f"{prefix}mlp.router.bias"] = layer.router_bias.bfloat16()
        found[f"{prefix}post_attention_layernorm.weight"] = layer.norm.bfloat16()
        for name, values in _attention(index).items():
            part, kind = name.split(".")
            found[f"{prefix}self_attn.{part}_proj.{kind}"] = values
    return found


def openai_tensors(source: list[LayerWeights]) -> dict[str, torch.Tensor]:
    found = {}
    for index, layer in enumerate(source):
        prefix = f"block.{index}."
        for name, number in (("gate_up", 1), ("down", 2)):
            matrix = getattr(layer, name)
            found[f"{prefix}mlp.mlp{number}_weight.blocks"] = matrix.blocks
            found[f"{prefix}mlp.mlp{number}_weight.scales"] = matrix.scales
            found[f"{prefix}mlp.mlp{number}_bias"] = layer.bias(name).bfloat16()
        found[f"{prefix}mlp.gate.weight"] = layer.router.bfloat16()
        found[f"{prefix}mlp.gate.bias"] = layer.router_bias.bfloat16()
        found[f"{prefix}mlp.norm.scale"] = layer.norm.bfloat16()
        attention = _attention(index)
        for kind in ("weight", "bias"):
            found[f"{prefix}attn.qkv.{kind}"] = torch.cat([attention[f"{p}.{kind}"] for p in "qkv"])
            found[f"{prefix}attn.out.{kind}"] = attention[f"o.{kind}"]
    return found


def write_folder(folder: Path, tensors: dict[str, torch.Tensor], **config: object) -> Path:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, str(folder / "model.safetensors"))
    base = {
        "hidden_size": SHAPE.hidden, "intermediate_size": SHAPE.intermediate, "num_hidden_layers": SHAPE.layers,
        "num_key_value_heads": 2, "head_dim": 16, "swiglu_limit": 7.0,
    }  # fmt: skip
    if any(k.startswith("block.") for k in tensors):
        base |= {"num_experts": SHAPE.experts, "experts_per_token": SHAPE.top_k}
    else:
        base |= {
            "model_type": "gpt_oss",
            "num_local_experts": SHAPE.experts,
            "num_experts_per_tok": SHAPE.top_k,
        }
    (folder / "config.json").write_text(json.dumps(base | config))
    return folder


def gguf_tensors(source: list[LayerWeights], kind: str = "MXFP4") -> dict[str, tuple[str, torch.Tensor]]:
    """Return name -> (GGUF type, tensor); MXFP4 tensors are rows of bytes."""
    found: dict[str, tuple[str, torch.Tensor]] = {}
    for index, layer in enumerate(source):
        prefix = f"blk.{index}."
        gate_up, down = layer.gate_up, layer.down
        parts = dict(
            zip(
                ("gate", "up"),
                zip(separate(gate_up.blocks), separate(gate_up.scales), strict=True),
                strict=True,
            )
        )
        parts["down"] = (down.blocks, down.scales)
        for name, (blocks, scales) in parts.items():
            if kind == "MXFP4":
                found[f"{prefix}ffn_{name}_exps.weight"] = ("MXFP4", to_gguf(blocks, scales))
            else:
                from conformance.precision.formats.mx import dequantise

                found[f"{prefix}ffn_{name}_exps.weight"] = (kind, dequantise(blocks, scales, torch.float32))
        gate_bias, up_bias = separate(layer.gate_up_bias)
        for name, bias in (("gate", gate_bias), ("up", up_bias), ("down", layer.down_bias)):
            found[f"{prefix}ffn_{name}_exps.bias"] = ("F32", bias)
        found[f"{prefix}ffn_gate_inp.weight"] = ("F32", layer.router)
        found[f"{prefix}ffn_gate_inp.bias"] = ("F32", layer.router_bias)
        found[f"{prefix}post_attention_norm.weight"] = ("F32", layer.norm)
        for name, values in _attention(index).items():
            part, suffix = name.split(".")
            own = "attn_output" if part == "o" else f"attn_{part}"
            found[f"{prefix}{own}.{suffix}"] = ("F32", values.float())
    return found


def write_gguf(
    path: Path, tensors: dict[str, tuple[str, torch.Tensor]], architecture: str = "gpt-oss"
) -> Path:
    """Write a GGUF file with gguf-py, an implementation that is not ours."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    writer = GGUFWriter(str(path), architecture)
    writer.add_uint32(f"{architecture}.embedding_length", SHAPE.hidden)
    writer.add_uint32(f"{architecture}.expert_feed_forward_length", SHAPE.intermediate)
    writer.add_uint32(f"{architecture}.expert_count", SHAPE.experts)
    writer.add_uint32(f"{architecture}.expert_used_count", SHAPE.top_k)
    writer.add_uint32(f"{architecture}.block_count", SHAPE.layers)
    writer.add_array("tokenizer.ggml.tokens", [f"token {i}" for i in range(50)])
    writer.add_array("tokenizer.ggml.scores", [0.5] * 50)
    for name, (kind, values) in tensors.items():
        quantised = GGMLQuantizationType[kind]
        if kind == "F32":
            writer.add_tensor(name, values.numpy())
        elif kind == "MXFP4":
            writer.add_tensor(name, values.numpy(), raw_dtype=quantised)
        else:
            writer.add_tensor(name, quants.quantize(values.numpy(), quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def truncated(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def gguf_magic(version: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, 0)
