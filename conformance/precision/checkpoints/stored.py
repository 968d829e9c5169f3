"""A layer's weights as another format holds them: quantised anew, so that the format's numbers become the truth."""

from __future__ import annotations

from dataclasses import replace

import torch

from conformance.errors import UsageError
from conformance.precision.formats import ggml, nf4
from conformance.precision.formats.layouts import interleave, separate
from conformance.precision.model.weights import LayerWeights, StoredTensor

FORMATS = ("NF4", "NF4-nested", *(kind for kind in ggml.TYPES if kind != "MXFP4"))


def known(name: str) -> str:
    """Return a format as this module spells it.

    Raises UsageError for one that is not known.
    """
    for one in FORMATS:
        if one.lower() == name.lower():
            return one
    raise UsageError(f"--stored {name!r} is not known: choose from {', '.join(FORMATS)}")


def held(layer: LayerWeights, kind: str) -> LayerWeights:
    """Return the layer with its experts as a format holds them.

    Raises UsageError for rows that the format does not divide, UnjudgedError without the quantiser.
    """
    kind = known(kind)
    found = {name: _matrix(layer, name, kind) for name in ("gate_up", "down")}
    return replace(layer.changed(**found), origin=f"{layer.origin}, held in {kind}")


def _matrix(layer: LayerWeights, name: str, kind: str) -> StoredTensor:
    every = [layer.fresh(name, e, torch.float32) for e in range(layer.shape.experts)]
    if kind.startswith("NF4"):
        parts = {str(e): nf4.quantise(values, kind.endswith("nested")) for e, values in enumerate(every)}
        return four_bit(parts, "NF4")
    values = torch.stack(every).cpu()
    names = ("gate", "up") if name == "gate_up" else (name,)
    split = separate(values) if name == "gate_up" else (values,)
    return gguf_rows(
        {n: ggml.quantise(v, kind) for n, v in zip(names, split, strict=True)}, kind, layer.device
    )


def four_bit(parts: dict[str, nf4.FourBit], kind: str) -> StoredTensor:
    """Return the matrices of all experts, by number, that bitsandbytes holds in 4 bits."""
    return StoredTensor(torch.stack([part.numbers() for part in parts.values()]), kind, dict(parts))


def gguf_rows(
    rows: dict[str, torch.Tensor], kind: str, device: torch.device | None = None, where: str = ""
) -> StoredTensor:
    """Return what rows (E, rows, bytes) of a GGUF type hold, `gate` and `up` interleaved.

    Raises UnjudgedError for a type that is not read.
    """
    numbers = [ggml.dequantise(values, kind, where) for values in rows.values()]
    whole = interleave(*numbers) if len(numbers) == 2 else numbers[0]
    return StoredTensor(whole.to(device), kind, {n: v.to(device) for n, v in rows.items()})
