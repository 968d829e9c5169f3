"""Are two checkpoints the same numbers after dequantisation? Tensor by tensor, one expert at a time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from conformance.errors import EXIT_CONFORMS, EXIT_DIVERGES, UnjudgedError
from conformance.precision.checkpoints.checkpoint import Store, expert_chunks, open_store
from conformance.precision.config import Progress, silent
from conformance.precision.report import tidy

SAME, ROUNDED, DIFFERENT, MISSING, UNREAD = "SAME", "LOSSY", "DIFFERENT", "MISSING", "UNJUDGED"
LOSSY_FLOOR_DB = 5.0  # below this two tensors share too little to be one tensor, quantised


@dataclass(frozen=True)
class Compared:
    """One tensor in two checkpoints: verdict, encodings, how many numbers differ and by how much."""

    name: str
    verdict: str
    encoding_a: str = ""
    encoding_b: str = ""
    numbers: int = 0
    different: int = 0
    abs_max: float = 0.0
    sqnr_db: float | None = None  # None: the same numbers
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Every tensor of both checkpoints; the same only if every one is."""

    a: str
    b: str
    kind_a: str
    kind_b: str
    tensors: list[Compared]

    @property
    def same(self) -> bool:
        """Whether every tensor of either is in both and holds the same numbers."""
        return bool(self.tensors) and all(t.verdict == SAME for t in self.tensors)

    def exit_code(self) -> int:
        """Return 0 for the same numbers, 3 when a tensor could not be judged, else 1."""
        if any(t.verdict == UNREAD for t in self.tensors) or not self.tensors:
            return 3
        return EXIT_CONFORMS if self.same else EXIT_DIVERGES

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain: dict[str, Any] = tidy({**asdict(self), "same": self.same})
        return {"schema": "conformance-precision-compare/1", **plain}


def compare(a: Path, b: Path, progress: Progress = silent) -> Comparison:
    """Compare two checkpoints of any layout.

    Raises UsageError when one cannot be read.
    """
    left, right = open_store(a), open_store(b)
    names = sorted({*left.names(), *right.names()}, key=_order)
    found = _configuration(left, right)
    for number, name in enumerate(names):
        progress(name, number, len(names))
        found.append(_compare(left, right, name))
    for store in (left, right):
        found += [
            Compared(name, UNREAD, note=f"not compared: unknown tensor of {store.path}")
            for name in store.unknown
        ]
    return Comparison(str(a), str(b), left.kind, right.kind, found)


def _configuration(left: Store, right: Store) -> list[Compared]:
    """Return where the configurations differ: the same weights under another clamp are another layer."""
    fields = ("hidden", "intermediate", "experts", "top_k", "layers", "alpha", "limit")
    different = [
        f"{name} {getattr(left.shape, name)} against {getattr(right.shape, name)}"
        for name in fields
        if getattr(left.shape, name) != getattr(right.shape, name)
    ]
    return [Compared("configuration", DIFFERENT, note=", ".join(different))] if different else []


def _order(name: str) -> tuple[int, str]:
    parts = name.split(".")
    return (int(parts[1]) if parts[0] == "layers" else -1, name)


def _compare(left: Store, right: Store, name: str) -> Compared:
    for store, other in ((left, right), (right, left)):
        if name not in store.names():
            return Compared(name, MISSING, note=f"only in {other.path}")
    encodings = (left.encoding(name), right.encoding(name))
    numbers = different = 0
    largest = noise = signal = 0.0
    try:
        for x, y in zip_longest(expert_chunks(left, name), expert_chunks(right, name)):
            if x is None or y is None:
                return Compared(name, DIFFERENT, *encodings, note="a different number of experts")
            if x.shape != y.shape:
                return Compared(
                    name, DIFFERENT, *encodings, note=f"shape {tuple(x.shape)} against {tuple(y.shape)}"
                )
            equal = (x == y) | (torch.isnan(x) & torch.isnan(y))
            wrong = int((~equal).sum())
            numbers, different = numbers + x.numel(), different + wrong
            if wrong:
                error = torch.where(equal, 0.0, (x.double() - y.double()).abs()).nan_to_num(
                    math.inf, math.inf
                )
                largest = max(largest, float(error.amax()))
                noise += float(error.square().sum())
            signal += float(x.double().nan_to_num(0.0, 0.0, 0.0).square().sum())
    except UnjudgedError as error:
        return Compared(name, UNREAD, *encodings, note=str(error))
    if not different:
        return Compared(name, SAME, *encodings, numbers)
    decibels = 10 * math.log10(signal / noise) if signal and math.isfinite(noise) else -math.inf
    # Close numbers in a coarser encoding are a lossy copy; anything else is another tensor.
    verdict = ROUNDED if encodings[0] != encodings[1] and decibels > LOSSY_FLOOR_DB else DIFFERENT
    return Compared(name, verdict, *encodings, numbers, different, largest, decibels)
