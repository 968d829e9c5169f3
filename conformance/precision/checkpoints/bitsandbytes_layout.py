"""bitsandbytes' 4-bit tensors of a safetensors file: a weight's bytes, and beside it what they mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch

from conformance.errors import UsageError
from conformance.precision.formats.nf4 import FourBit

STATE = ".quant_state.bitsandbytes__"  # then the kind; the tensor holds JSON
PARTS = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
KINDS = ("nf4", "fp4")


class BitsAndBytes:
    """The 4-bit weights among the tensors of a checkpoint, by their keys."""

    def __init__(self, keys: list[str], read: Callable[[str], torch.Tensor], where: str) -> None:
        self.read, self.where = read, where
        self.kinds = {k.partition(STATE)[0]: k.partition(STATE)[2] for k in keys if STATE in k}
        for weight, kind in self.kinds.items():
            if kind not in KINDS:
                raise UsageError(
                    f"{where}: {weight} is in bitsandbytes' {kind.upper()}, and {', '.join(KINDS)} are read: save the "
                    "model after transformers' model.dequantize()"
                )

    def owns(self, key: str) -> bool:
        """Whether a key is a part of a 4-bit weight, not the weight itself."""
        return STATE in key or any(key.endswith(p) and key.removesuffix(p) in self.kinds for p in PARTS)

    def weight(self, key: str) -> FourBit:
        """Return one matrix.

        Raises UsageError where its parts are missing or do not belong together.
        """
        where = f"{self.where}: {key}"
        said = self._said(key, where)
        nested = "nested_blocksize" in said
        try:
            rows, width = (int(n) for n in said["shape"])
            block, second = int(said["blocksize"]), int(said.get("nested_blocksize", 1))
            offset = float(said.get("nested_offset", 0.0))
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{where}: its quant_state gives no shape or block: fetch it again") from None
        if min(rows, width, block, second) < 1 or rows * width > 1 << 34:
            raise UsageError(f"{where}: its quant_state gives sizes that no matrix has: fetch it again")
        return FourBit(
            packed=self.read(key).flatten(),
            scales=self.read(f"{key}.absmax").flatten(),
            table=self.read(f"{key}.quant_map").float().flatten(),
            shape=(rows, width),
            block=block,
            nested_table=self.read(f"{key}.nested_quant_map").flatten() if nested else None,
            nested_scales=self.read(f"{key}.nested_absmax").flatten() if nested else None,
            nested_block=second,
            offset=offset,
        ).checked(where)

    def _said(self, key: str, where: str) -> dict[str, Any]:
        raw = self.read(f"{key}{STATE}{self.kinds[key]}")
        try:
            said = json.loads(bytes(raw.to(torch.uint8).tolist()))
        except ValueError as error:
            raise UsageError(f"{where}: its quant_state is no JSON ({error}): fetch it again") from None
        if not isinstance(said, dict):
            raise UsageError(f"{where}: its quant_state is no JSON object: fetch it again")
        return said
