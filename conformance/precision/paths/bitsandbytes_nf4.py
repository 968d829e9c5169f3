"""bitsandbytes' 4-bit linear layers, one an expert, as fine-tuned gpt-oss checkpoints have them: its own functions."""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from conformance.precision.formats.nf4 import FourBit
from conformance.precision.model.reference import Pairs
from conformance.precision.model.rounding import Rounding, uniform
from conformance.precision.model.weights import LayerWeights, StoredTensor
from conformance.precision.paths.base import PATHS, PrecisionPath
from conformance.precision.paths.torch_loop import LoopRunner


class Nf4Runner(LoopRunner):
    """The loop over experts, whose products are bitsandbytes' on the packed bytes."""

    def __init__(self, layer: LayerWeights, rounding: Rounding) -> None:
        super().__init__(layer, rounding)
        self.states: dict[str, list[tuple[torch.Tensor, Any]]] = {}
        for name, matrix in (("gate_up", layer.gate_up), ("down", layer.down)):
            if not isinstance(matrix, StoredTensor):
                raise TypeError("bitsandbytes reads its own 4-bit weights")
            held = [matrix.parts[str(e)] for e in range(layer.shape.experts)]
            self.states[name] = [self._state(part, matrix.format, layer.device) for part in held]

    def _state(self, part: FourBit, kind: str, device: torch.device) -> tuple[torch.Tensor, Any]:
        from bitsandbytes import functional

        make: Any = functional.QuantState
        inner = None
        if part.nested_table is not None and part.nested_scales is not None:
            inner = make(
                absmax=part.nested_scales.float(),
                code=part.nested_table.float(),
                blocksize=part.nested_block,
                dtype=torch.float32,
            )
        state = make(
            absmax=part.scales,
            shape=torch.Size(part.shape),
            code=part.table.float(),
            blocksize=part.block,
            quant_type=kind.lower(),
            dtype=self.router.dtype,
            offset=torch.tensor(part.offset) if inner else None,
            state2=inner,
        )
        state.to(device)
        return part.packed.reshape(-1, 1).to(device), state

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor]:
        from bitsandbytes.functional import dequantize_4bit

        return {name: dequantize_4bit(*held[expert]) for name, held in self.states.items()}

    def linear(self, name: str, rows: torch.Tensor, pairs: Pairs, product: str, stored: str) -> torch.Tensor:
        import bitsandbytes

        bias = self.layer.bias(name).to(self.router.dtype)
        out = torch.empty(rows.shape[0], bias.shape[1], dtype=self.router.dtype, device=rows.device)
        for expert, start, stop in pairs.ranges:
            packed, state = self.states[name][expert]
            given = rows[start:stop].to(self.router.dtype)
            out[start:stop] = bitsandbytes.matmul_4bit(
                given, packed.t(), quant_state=state, bias=bias[expert]
            )
        return out


def _unsupported(device: torch.device, layer: LayerWeights) -> str | None:
    if not all(
        isinstance(m, StoredTensor) and m.format in ("NF4", "FP4") for m in (layer.gate_up, layer.down)
    ):
        return "it reads bitsandbytes' 4-bit weights, and these are not (such a checkpoint, or --stored NF4)"
    if find_spec("bitsandbytes") is None:
        return "bitsandbytes is not installed: pip install bitsandbytes"
    return None


@PATHS.named("bitsandbytes_nf4")
def paths() -> list[PrecisionPath]:
    """Return the path in bfloat16, which such checkpoints compute in."""
    rounding = uniform("bfloat16", bias_apart=False)
    return [
        PrecisionPath(
            "bitsandbytes-bfloat16",
            "bfloat16",
            rounding,
            lambda layer: Nf4Runner(layer, rounding),
            _unsupported,
            trusted=True,
            stacked=False,
        )
    ]
