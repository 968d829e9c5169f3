"""Which E8M0 scale bytes survive: exhaustive over 256 bytes and 16 codes, per dtype and for `tl.dot_scaled`."""

from __future__ import annotations

from typing import Any

import torch

from conformance.precision.formats.mx import BLOCK, dequantise, pack
from conformance.precision.model.reference import Pairs
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights, MxTensor
from conformance.precision.paths.base import held_scales
from conformance.precision.paths.registry import all_paths

WIDTH = 2 * BLOCK
NOTED = (0, 50, 103, 104, 140, 141, 252)


def all_products(device: torch.device) -> MxTensor:
    """Return one expert whose row b has scale byte b and every code in turn: blocks (1, 256, 2, 16)."""
    codes = (torch.arange(WIDTH, device=device) % 16).to(torch.uint8).unflatten(0, (-1, BLOCK))
    blocks = pack(codes).expand(1, 256, -1, -1).contiguous()
    scales = torch.arange(256, device=device).to(torch.uint8).view(1, 256, 1).expand(1, 256, 2).contiguous()
    return MxTensor(blocks, scales)


def boundaries(device: torch.device) -> list[dict[str, Any]]:
    """Return one entry per dtype and Triton path: the bytes that are exact, lost and infinite, and what is known."""
    matrix = all_products(device)
    truth = dequantise(matrix.blocks[0], matrix.scales[0], torch.float64)
    found = []
    for name in ("float32", "bfloat16", "float16"):
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
        held = dequantise(matrix.blocks[0], matrix.scales[0], dtype)
        found.append(_entry(f"dequantise to {name}", held, truth, held_scales(name)))
    shape = LayerShape("boundary", 256, WIDTH, 1, 1, 1)
    zero = torch.zeros
    layer = LayerWeights(
        shape=shape,
        gate_up=MxTensor(
            zero(1, 2 * WIDTH, 8, 16, dtype=torch.uint8, device=device),
            torch.full((1, 2 * WIDTH, 8), 127, dtype=torch.uint8, device=device),
        ),
        gate_up_bias=zero(1, 2 * WIDTH, device=device),
        down=matrix,
        down_bias=zero(1, 256, device=device),
        router=zero(1, 256, device=device),
        router_bias=zero(1, device=device),
        norm=torch.ones(256, device=device),
    )
    for path in all_paths().values():
        if not path.packed or path.unsupported(device, layer):
            continue
        pairs = Pairs.of(torch.zeros(WIDTH, 1, dtype=torch.int64, device=device), 1)
        rows = path.prepare(layer).down(torch.eye(WIDTH, device=device), pairs)
        if rows is not None:  # identity activations give the weights back
            found.append(_entry(f"{path.name} (products)", rows.T, truth, path.scale_bytes))
    return found


def _entry(what: str, held: torch.Tensor, truth: torch.Tensor, known: tuple[int, int]) -> dict[str, Any]:
    given = held.double()
    defined = torch.isfinite(truth)
    exact = ((given == truth) | ~defined).all(1)
    exact[255] = bool(torch.isnan(given[255]).all())
    infinite = (defined & ~torch.isfinite(given)).any(1)
    lost = (torch.where(truth == 0, 0.0, given) == 0).all(1)
    exact_bytes = exact[:255].nonzero().flatten().tolist()
    error = torch.where(torch.isfinite(given) & defined, given - truth, 0).norm(dim=1)
    relative = error / truth.nan_to_num(0.0).norm(dim=1).clamp_min(1e-300)
    first, last = known
    return {
        "what": what,
        "exact_bytes": ranges(exact_bytes),
        "zero_bytes": ranges(lost[:255].nonzero().flatten().tolist()),
        "nonfinite_bytes": ranges(infinite[:255].nonzero().flatten().tolist()),
        "nan_for_255": bool(exact[255]),
        "relative_error_at": {str(b): float(relative[b]) for b in NOTED},
        "known_range": f"{first}-{last}",
        # Every byte the path declares must be exact, and none beyond it silently wrong.
        "as_known": set(range(first, last + 1)) <= set(exact_bytes),
    }


def ranges(numbers: list[int]) -> str:
    """Return sorted integers as ranges, such as `0-3, 7`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in parts) or "none"
