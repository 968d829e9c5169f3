"""A folder of safetensors in HF's or OpenAI's original layout, under canonical names; tensors are read on demand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.precision.checkpoints.bitsandbytes_layout import BitsAndBytes
from conformance.precision.checkpoints.stored import four_bit
from conformance.precision.model.shape import SWIGLU_ALPHA, SWIGLU_LIMIT, LayerShape
from conformance.precision.model.weights import DenseTensor, Matrix, MxTensor

_HF_LAYER = {
    "mlp.router.weight": "router.weight",
    "mlp.router.bias": "router.bias",
    "mlp.router.linear.weight": "router.weight",
    "mlp.router.linear.bias": "router.bias",
    "mlp.experts.gate_up_proj": "experts.gate_up",
    "mlp.experts.gate_up_proj_blocks": "experts.gate_up",
    "mlp.experts.gate_up_proj_bias": "experts.gate_up_bias",
    "mlp.experts.down_proj": "experts.down",
    "mlp.experts.down_proj_blocks": "experts.down",
    "mlp.experts.down_proj_bias": "experts.down_bias",
    "post_attention_layernorm.weight": "norm",
    "input_layernorm.weight": "attention.norm",
    "self_attn.sinks": "attention.sinks",
    **{f"self_attn.{p}_proj.{k}": f"attention.{p}.{k}" for p in "qkvo" for k in ("weight", "bias")},
}
_HF_TOP = {
    "model.embed_tokens.weight": "embedding",
    "model.norm.weight": "final_norm",
    "lm_head.weight": "unembedding",
}
_OPENAI_LAYER = {
    "mlp.gate.weight": "router.weight",
    "mlp.gate.bias": "router.bias",
    "mlp.mlp1_weight.blocks": "experts.gate_up",
    "mlp.mlp1_weight": "experts.gate_up",
    "mlp.mlp1_bias": "experts.gate_up_bias",
    "mlp.mlp2_weight.blocks": "experts.down",
    "mlp.mlp2_weight": "experts.down",
    "mlp.mlp2_bias": "experts.down_bias",
    "mlp.norm.scale": "norm",
    "attn.norm.scale": "attention.norm",
    "attn.sinks": "attention.sinks",
    "attn.out.weight": "attention.o.weight",
    "attn.out.bias": "attention.o.bias",
}
_OPENAI_TOP = {
    "embedding.weight": "embedding",
    "norm.scale": "final_norm",
    "unembedding.weight": "unembedding",
}
# One linear layer an expert, as fine-tuned checkpoints in bitsandbytes' 4 bits have them.
_EXPERT = re.compile(r"mlp\.experts\.(gate_up|down)_projs\.(\d+)\.(weight|bias)")
_READ_METHODS = ("mxfp4", "bitsandbytes", "")
_HF_KEY = re.compile(r"model\.layers\.(\d+)\.(.+)")
_OPENAI_KEY = re.compile(r"block\.(\d+)\.(.+)")


class SafetensorsStore:
    """The tensors of all `.safetensors` files of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError:
            raise UnjudgedError("safetensors is not installed: pip install safetensors") from None
        if not path.exists():
            raise UsageError(f"{path} does not exist: give a folder of safetensors, or a .gguf file")
        files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
        if not files:
            raise UsageError(f"{path} holds no .safetensors file: give the folder that does")
        self.at: dict[str, Any] = {}  # own name -> open file
        for file in files:
            try:
                handle = safe_open(str(file), framework="pt")
            except (SafetensorError, OSError, ValueError) as error:
                raise UsageError(
                    f"{file} cannot be read ({error}): it is truncated or no safetensors, fetch it again"
                ) from None
            for key in list(handle.keys()):  # type: ignore[no-untyped-call]
                self.at[key] = handle
        folder = path if path.is_dir() else path.parent
        _readable(folder, list(self.at))
        self.four_bit = BitsAndBytes(list(self.at), self._read, str(path))
        self.own: dict[str, str] = {}
        self.unknown: list[str] = []
        self.openai = any(_OPENAI_KEY.match(k) for k in self.at)
        self.kind = "OpenAI safetensors" if self.openai else "HF safetensors"
        for key in self.at:
            self._place(key)
        self.shape = _shape(folder)
        self._complete(folder)

    def _place(self, key: str) -> None:
        pattern, in_layer, top = (
            (_OPENAI_KEY, _OPENAI_LAYER, _OPENAI_TOP) if self.openai else (_HF_KEY, _HF_LAYER, _HF_TOP)
        )
        match = pattern.match(key)
        if match and (expert := _EXPERT.fullmatch(match[2])):
            name = f"layers.{match[1]}.experts.{expert[1]}" + ("_bias" if expert[3] == "bias" else "")
            if int(expert[2]) == 0:
                self.own[name] = key  # the first stands for all
        elif self.four_bit.owns(key):
            pass  # read with its weight
        elif match and match[2] in in_layer:
            self.own[f"layers.{match[1]}.{in_layer[match[2]]}"] = key
        elif match and self.openai and match[2] in ("attn.qkv.weight", "attn.qkv.bias"):
            for part in "qkv":  # one fused tensor; the parts are cut when read
                self.own[f"layers.{match[1]}.attention.{part}.{match[2].rpartition('.')[2]}"] = key
        elif key in top:
            self.own[top[key]] = key
        elif not (key.endswith("scales") and key.removesuffix("scales") + "blocks" in self.at):
            self.unknown.append(key)

    def _complete(self, folder: Path) -> None:
        index = folder / "model.safetensors.index.json"
        if not index.is_file():
            return
        try:
            promised = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UsageError(f"{index} is no index of safetensors ({error}): fetch it again") from None
        missing = sorted(set(promised) - set(self.at))
        if missing:
            raise UsageError(
                f"{folder}: {len(missing)} tensors of the index are in no file, the first is {missing[0]} "
                f"(in {promised[missing[0]]}): fetch the missing files"
            )

    def names(self) -> list[str]:
        """Return every canonical name present."""
        return list(self.own)

    def where(self, name: str) -> str:
        """Return the file's own name of a tensor."""
        return self.own.get(name, name)

    def encoding(self, name: str) -> str:
        """Return how a tensor is held: MXFP4, or its dtype's name."""
        key = self._key(name)
        if key in self.four_bit.kinds:
            return self.four_bit.kinds[key].upper()
        return "MXFP4" if key.endswith("blocks") else str(self.at[key].get_slice(key).get_dtype())

    def _key(self, name: str) -> str:
        if name not in self.own:
            raise UsageError(
                f"{self.path}: the tensor {name} is missing ({self.kind}): the checkpoint is incomplete"
            )
        return self.own[name]

    def _read(self, key: str) -> torch.Tensor:
        if key not in self.at:
            raise UsageError(f"{self.path}: the tensor {key} is missing: the checkpoint is incomplete")
        return self.at[key].get_tensor(key)

    def dense(self, name: str) -> torch.Tensor:
        """Return a tensor that is not an expert matrix as float32."""
        key = self._key(name)
        if _expert_of(key):
            return torch.stack([self._number(k).float() for k in self._experts(key)])
        found = self._number(key).float()
        if ".attn.qkv." in key:
            kv = self._kv_rows()
            queries = found.shape[0] - 2 * kv
            part = name.split(".attention.")[1][0]
            start, stop = {
                "q": (0, queries),
                "k": (queries, queries + kv),
                "v": (queries + kv, queries + 2 * kv),
            }[part]
            return found[start:stop]
        return found

    def _number(self, key: str) -> torch.Tensor:
        return self.four_bit.weight(key).numbers() if key in self.four_bit.kinds else self._read(key)

    def _experts(self, key: str) -> list[str]:
        """Return the keys of all experts, of the first one's."""
        before, after = key.split("_projs.0.")
        return [f"{before}_projs.{expert}.{after}" for expert in range(self.shape.experts)]

    def _kv_rows(self) -> int:
        folder = self.path if self.path.is_dir() else self.path.parent
        config = _config(folder)
        try:
            return int(config.get("num_key_value_heads", 8)) * int(config.get("head_dim", 64))
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{folder / 'config.json'} garbles the heads of the attention: {error}"
            ) from None

    def matrix(self, name: str) -> Matrix:
        """Return all experts of an expert matrix: MXFP4 as published, or dense (E, rows, K)."""
        key = self._key(name)
        if key.endswith("blocks"):
            scales = self._read(key.removesuffix("blocks") + "scales")
            blocks = self._read(key)
            if scales.dtype != torch.uint8 or blocks.dtype != torch.uint8:
                raise UsageError(
                    f"{self.path}: {key} and its scales must be uint8, not {blocks.dtype}, {scales.dtype}"
                )
            return MxTensor(blocks, scales)
        if _expert_of(key):
            keys = self._experts(key)
            kinds = {self.four_bit.kinds.get(k, "") for k in keys}
            if len(kinds) == 1 and kinds != {""}:
                parts = {str(e): self.four_bit.weight(k) for e, k in enumerate(keys)}
                if len({part.shape for part in parts.values()}) > 1:
                    raise UsageError(f"{self.path}: the experts of {key} have several shapes: it is damaged")
                return four_bit(parts, kinds.pop().upper())
            every = [self._number(k) for k in keys]
            if len({v.shape for v in every}) > 1:
                raise UsageError(f"{self.path}: the experts of {key} have several shapes: it is damaged")
            return DenseTensor(torch.stack(every))
        values = self._read(key)
        if not values.is_floating_point() or values.dim() != 3:
            raise UsageError(f"{self.path}: {key} is neither MXFP4 blocks nor a float tensor of all experts")
        # transformers stores the transpose (E, K, rows) of what is published.
        return DenseTensor(values if self.openai else values.transpose(1, 2))


def _expert_of(key: str) -> bool:
    return "_projs.0." in key


def _readable(folder: Path, keys: list[str]) -> None:
    """Raise UnjudgedError for weights in a format that is not read, with what to do."""
    said = _config(folder).get("quantization_config")
    method = str(said.get("quant_method", "")) if isinstance(said, dict) else ""
    if any(key.endswith(".SCB") for key in keys):
        method = "bitsandbytes LLM.int8"
    if method.lower() not in _READ_METHODS:
        raise UnjudgedError(
            f"{folder} holds weights quantised by {method}, which are not read (MXFP4, bitsandbytes' NF4 and FP4, and "
            "plain dtypes are): save the model after transformers' model.dequantize(), or give the original"
        )


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{folder} has no config.json: it says which model the weights are, put it beside them"
        ) from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{file} is no JSON ({error}): fetch it again") from None
    if not isinstance(found, dict):
        raise UsageError(f"{file} is no JSON object: fetch it again")
    return found


def _shape(folder: Path) -> LayerShape:
    config = _config(folder)
    kind = config.get("model_type", "gpt_oss")
    if kind != "gpt_oss":
        raise UsageError(
            f"{folder / 'config.json'}: model_type is {kind!r}, and only gpt_oss layers are judged"
        )
    activation = config.get("hidden_act", "silu")
    if activation != "silu":
        raise UsageError(
            f"{folder / 'config.json'}: hidden_act is {activation!r}, and only gpt-oss's clamped silu is judged"
        )
    try:
        return LayerShape(
            name=folder.name,
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            experts=int(
                config["num_local_experts"] if "num_local_experts" in config else config["num_experts"]
            ),
            top_k=int(
                config["num_experts_per_tok"]
                if "num_experts_per_tok" in config
                else config["experts_per_token"]
            ),
            layers=int(config["num_hidden_layers"]),
            limit=float(config.get("swiglu_limit", SWIGLU_LIMIT)),
            alpha=float(config.get("swiglu_alpha", SWIGLU_ALPHA)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{folder / 'config.json'} lacks or garbles a dimension of the MoE layer: {error}"
        ) from None
