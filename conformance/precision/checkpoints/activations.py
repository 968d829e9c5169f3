"""Hidden states of a real model from a file: `--activations FILE.safetensors`.

A file holds `layers.N.hidden_states` (…, H), what layer N's router and experts were given, and where they were kept
`layers.N.router_logits` (…, E); without `layers.N.` they are for any layer. `record` writes one from a model that runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from conformance.errors import UnjudgedError, UsageError
from conformance.precision.model import reference
from conformance.precision.model.regimes import Regime, Workload, bf16
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights

NAME = "activations"
MOST = 4096  # tokens of a layer that are read
OTHER_ROUTER = (
    0.1  # normwise: bfloat16 logits differ by 0.01 from the layer's own, another layer's by 1 and more
)
_KEY = re.compile(r"(?:layers\.(\d+)\.)?(hidden_states|router_logits)")


@dataclass(frozen=True)
class Recorded:
    """One layer's hidden states (T, H), finite and holding bfloat16 numbers, and its logits (T, E) where kept."""

    tokens: torch.Tensor
    logits: torch.Tensor | None
    dropped: int  # tokens with a NaN or an infinity, which say nothing about the layer


class Activations:
    """The recorded hidden states of a file, by layer; None is the layer of tensors without one.

    Raises UsageError for a file that cannot be read, holds none or is of another model than `shape`.
    """

    def __init__(self, file: Path, shape: LayerShape) -> None:
        self.file, self.shape = file, shape
        self.kept: dict[int | None, Recorded] = {}
        found: dict[tuple[int | None, str], torch.Tensor] = {}
        for name, tensor in _tensors(file):
            if match := _KEY.fullmatch(name):
                found[int(match[1]) if match[1] else None, match[2]] = tensor
        layers = sorted(
            {at for at, what in found if what == "hidden_states"}, key=lambda at: (at is not None, at)
        )
        if not layers:
            self._refuse("holds no tensor named hidden_states or layers.N.hidden_states")
        for at in layers:
            self.kept[at] = self._recorded(at, found[at, "hidden_states"], found.get((at, "router_logits")))

    def _refuse(self, why: str) -> None:
        raise UsageError(f"--activations {self.file}: {why}")

    def _recorded(self, at: int | None, hidden: torch.Tensor, logits: torch.Tensor | None) -> Recorded:
        where = "hidden_states" if at is None else f"layers.{at}.hidden_states"
        if not hidden.is_floating_point() or hidden.ndim < 2 or not hidden.numel():
            self._refuse(
                f"{where} is {_said(hidden)}, and hidden states are floats (tokens, {self.shape.hidden})"
            )
        if hidden.shape[-1] != self.shape.hidden:
            self._refuse(
                f"{where} is {hidden.shape[-1]:,} wide and {self.shape.name} {self.shape.hidden:,}: it is of another "
                "model"
            )
        tokens = hidden.flatten(0, -2)[:MOST].float()
        if logits is not None:
            logits = logits.flatten(0, -2)[:MOST].float() if logits.ndim >= 2 else logits
            if logits.shape != (len(tokens), self.shape.experts):
                self._refuse(
                    f"the router logits beside {where} are {_said(logits)}, and {len(tokens)} tokens of "
                    f"{self.shape.name} have ({len(tokens)}, {self.shape.experts}): they are of another model"
                )
        finite = torch.isfinite(tokens).all(1)
        if not finite.any():
            self._refuse(f"every token of {where} has a NaN or an infinity: record them again")
        return Recorded(
            bf16(tokens[finite]), None if logits is None else logits[finite], int((~finite).sum())
        )

    def of(self, layer: int | None) -> Recorded:
        """Return what was recorded for a layer; synthetic weights (None) take the first.

        Raises UsageError when the file has none for it.
        """
        if layer is None or None in self.kept:
            return next(iter(self.kept.values()))
        if layer not in self.kept:
            self._refuse(f"it has no layer {layer}: choose --layer from {', '.join(map(str, self.kept))}")
        return self.kept[layer]

    def regime(self, layer: LayerWeights, index: int | None) -> Regime:
        """Return the kind of input that a layer's recorded hidden states are.

        Raises UsageError when the logits beside them are not what a checkpoint's router makes of them.
        """
        kept = self.of(index)
        tokens = kept.tokens.to(layer.device)
        if index is not None and kept.logits is not None:
            given = kept.logits.to(layer.device)
            own = reference.route(layer, tokens).logits
            off = float((given - own).norm() / own.norm().clamp_min(1e-30))
            if not off <= OTHER_ROUTER:
                self._refuse(
                    f"its router logits differ by {off:.2g} (normwise) from what layer {index}'s router makes of its "
                    "hidden states: it is of another model or layer"
                )

        def build(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
            part = tokens[:count]
            return Workload(NAME, layer, part, torch.zeros_like(part))

        return Regime(NAME, f"hidden states recorded in {self.file.name}", build, recorded=len(tokens))

    def said(self) -> dict[str, object]:
        """Return what the file holds, for the report."""
        return {
            "file": str(self.file),
            "layers": {
                "any" if at is None else str(at): {
                    "tokens": len(r.tokens),
                    "dropped_nonfinite": r.dropped,
                    "router_logits": r.logits is not None,
                    "largest": float(r.tokens.abs().max()),
                }
                for at, r in self.kept.items()
            },
        }


def _said(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _tensors(file: Path) -> list[tuple[str, torch.Tensor]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise UnjudgedError("safetensors is not installed: pip install safetensors") from None
    if not file.is_file():
        raise UsageError(f"--activations {file}: there is no such file")
    try:
        with safe_open(str(file), framework="pt") as handle:
            return [(name, handle.get_tensor(name)) for name in handle.keys() if _KEY.fullmatch(name)]  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(
            f"--activations {file}: it cannot be read ({error}): it is truncated or no safetensors"
        ) from None
