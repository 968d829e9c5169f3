"""Faults planted into the source of the Triton kernels: one edit each, compiled and run like the original.

What a mask, a stride or an accumulator does wrong on a card shows nowhere else. They need a GPU.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.triton_mx import TritonRunner

SOURCE = Path(__file__).parents[1] / "paths" / "triton_kernels.py"


@dataclass(frozen=True)
class SourceFault:
    """An edit of the kernels' source; `harmless` says why its result is right all the same."""

    name: str
    find: str
    replace: str
    harmless: str = ""
    regime: str = "gaussian"

    def source(self) -> str:
        """Return the kernels' source with the fault; raises ValueError when its place is not there exactly once."""
        text = SOURCE.read_text(encoding="utf-8")
        if text.count(self.find) != 1:
            raise ValueError(f"{self.name}: {self.find!r} is {text.count(self.find)} times in {SOURCE.name}")
        return text.replace(self.find, self.replace)

    def make(self, layer: LayerWeights) -> TritonRunner:
        """Return the path's runner on the faulty kernels."""
        return TritonRunner(layer, "bfloat16", _module(self))


@cache
def _module(fault: SourceFault) -> Any:
    # Triton reads a kernel's source from its file, so that there has to be one as long as the process lasts.
    folder = Path(tempfile.mkdtemp(prefix="conformance-kernels-"))
    place = folder / f"{fault.name.replace('-', '_')}.py"
    place.write_text(fault.source(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(place.stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[place.stem] = module
    spec.loader.exec_module(module)
    return module


_LOOP = "for start in range(0, width, BK):"
_DOT = 'total = tl.dot_scaled(a, None, FORMAT, w, s, "e2m1", total)'
_LOAD_A = "a = tl.load(a_at + start, mask=a_valid[:, None] & (k[None, :] < left), other=0.0)"
_RESULT = "result = (up + 1.0) * (gate * tl.sigmoid(alpha * gate))"
_GATE = "gate = tl.minimum(gate, limit, propagate_nan=tl.PropagateNan.ALL)"
_UP_LOW = "up = tl.maximum(up, -limit, propagate_nan=tl.PropagateNan.ALL)"
_CLAMPS = f"{_GATE}\n        {_UP_LOW}\n        up = tl.minimum(up, limit, propagate_nan=tl.PropagateNan.ALL)"
_HIDDEN = "tl.store(at, result.to(hidden.dtype.element_ty),"
_SPLIT = "gate, up = tl.split(tl.reshape(total, (BM, BN // 2, 2)))"
_DOWN_BIAS = (
    "total = _tile(pair, valid, hidden, blocks, scales, expert, columns, width, rows, FORMAT, BM, BN, BK)\n"
    "        total += tl.load(bias + expert * rows + columns, mask=columns < rows, other=0.0)[None, :]"
)
_ADD = "total += weight * tl.load(down + row * width + columns, mask=columns < width, other=0.0)"
_WEIGHT = "weight = tl.load(weights + token * K + slot).to(tl.float32)"
_STORE = "tl.store(output + token * width + columns, total.to(output.dtype.element_ty), mask=columns < width)"
_SLOTS = "for slot in tl.static_range(K):"
_THROUGH_BFLOAT16 = ".to(tl.bfloat16).to(tl.float32)"

SOURCE_FAULTS = (
    SourceFault("source-k-tail-dropped", _LOOP, "for start in range(0, width - BK + 1, BK):"),
    SourceFault(
        "source-accumulator-in-bfloat16", _DOT, f"{_DOT}{_THROUGH_BFLOAT16}", regime="cancelling-sums"
    ),
    SourceFault(
        "source-accumulator-in-float16",
        _DOT,
        f"{_DOT}.to(tl.float16).to(tl.float32)",
        regime="cancelling-sums",
    ),
    SourceFault("source-scales-of-another-block", "s_at + start // 32", "s_at + start // 64"),
    SourceFault("source-masked-scale-is-nan", "left // 32), other=127)", "left // 32), other=255)"),
    SourceFault(
        "source-reads-beyond-its-row",
        _LOAD_A,
        "a = tl.load(a_at + start, mask=a_valid[:, None], other=0.0)",
    ),
    SourceFault("source-gate-not-clamped", _GATE, ""),
    SourceFault(
        "source-gate-clamped-below-too",
        _GATE,
        f"{_GATE}\n        gate = tl.maximum(gate, -limit, propagate_nan=tl.PropagateNan.ALL)",
        regime="low-gates",
    ),
    SourceFault("source-up-not-clamped-below", _UP_LOW, ""),
    SourceFault(
        "source-clamps-swallow-nan", _CLAMPS, _CLAMPS.replace(", propagate_nan=tl.PropagateNan.ALL", "")
    ),
    SourceFault("source-gate-and-up-swapped", _SPLIT, _SPLIT.replace("gate, up", "up, gate")),
    SourceFault(
        "source-alpha-in-bfloat16",
        _RESULT,
        _RESULT.replace("sigmoid(alpha", "sigmoid(alpha * (1.703125 / 1.702)"),
    ),
    SourceFault(
        "source-sigmoid-of-bfloat16",
        _RESULT,
        _RESULT.replace("alpha * gate", f"(alpha * gate){_THROUGH_BFLOAT16}"),
        regime="low-gates",
    ),
    SourceFault(
        "source-activation-truncated",
        _HIDDEN,
        "result = (result.to(tl.int32, bitcast=True) & -65536).to(tl.float32, bitcast=True)\n        "
        + _HIDDEN,
    ),
    SourceFault(
        "source-down-bias-of-expert-0", _DOWN_BIAS, _DOWN_BIAS.replace("bias + expert * rows", "bias")
    ),
    SourceFault(
        "source-last-row-of-a-block-not-stored",
        "at = down + pair.to(tl.int64)[:, None] * rows + columns[None, :]",
        "at = down + pair.to(tl.int64)[:, None] * rows + columns[None, :]\n        "
        "valid = valid & (tl.arange(0, BM) < BM - 1)",
    ),
    SourceFault(
        "source-combine-weight-in-bfloat16", _WEIGHT, _WEIGHT.replace(".to(tl.float32)", _THROUGH_BFLOAT16)
    ),
    SourceFault("source-routing-weights-times-0.999", _WEIGHT, f"{_WEIGHT} * 0.999"),
    SourceFault("source-last-expert-of-a-token-lost", _SLOTS, "for slot in tl.static_range(K - 1):"),
    SourceFault(
        "source-last-column-not-stored",
        _STORE,
        _STORE.replace("mask=columns < width", "mask=columns < width - 1"),
    ),
    SourceFault(
        "source-result-summed-in-bfloat16", _ADD, f"{_ADD}\n        total = total{_THROUGH_BFLOAT16}"
    ),
    SourceFault(
        "source-slots-summed-in-reverse",
        "row = tl.load(pair_at + token * K + slot).to(tl.int64)\n        " + _WEIGHT,
        "row = tl.load(pair_at + token * K + (K - 1 - slot)).to(tl.int64)\n        "
        + _WEIGHT.replace("+ slot", "+ (K - 1 - slot)"),
        harmless="the same sum in another order",
    ),
    SourceFault(
        "source-sigmoid-written-out",
        _RESULT,
        _RESULT.replace("tl.sigmoid(alpha * gate)", "(1.0 / (1.0 + tl.exp(-alpha * gate)))"),
        harmless="the same function",
    ),
)
