"""What a planted fault is: a runner that computes something else than its declaration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.precision.model.rounding import Rounding
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PathRunner
from conformance.precision.paths.torch_loop import LoopRunner

BOTH = ("bfloat16", "float32")
Make = Callable[[LayerWeights, Rounding], PathRunner]
LONG_SUM = 1024  # terms from which an accumulator's rounding shows above bfloat16's own


@dataclass(frozen=True)
class Fault:
    """A planted fault, the dtypes it is planted in, and why it must survive (None: it must be caught).

    A fault that bfloat16 hides must be caught in float32, the check of meaning; `harmless` ones are right answers
    computed otherwise, and catching them would be a false alarm.
    """

    name: str
    family: str
    make: Make
    dtypes: tuple[str, ...] = BOTH
    harmless: str = ""
    regime: str = "gaussian"
    unseen: Callable[[LayerShape], str] = lambda shape: ""  # why this shape cannot show it


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    family: str,
    *,
    dtypes: tuple[str, ...] = BOTH,
    harmless: str = "",
    regime: str = "gaussian",
    unseen: Callable[[LayerShape], str] = lambda shape: "",
) -> Callable[[type[LoopRunner]], type[LoopRunner]]:
    """Register a runner class as a planted fault."""

    def add(runner: type[LoopRunner]) -> type[LoopRunner]:
        FAULTS[name] = Fault(name, family, runner, dtypes, harmless, regime, unseen)
        return runner

    return add


def weight_fault(
    name: str, change: Callable[[LayerWeights], LayerWeights], *, harmless: str = "", family: str = "weights"
) -> None:
    """Register a fault that is a right computation on wrong weights."""
    FAULTS[name] = Fault(
        name, family, lambda layer, rounding: LoopRunner(change(layer), rounding), harmless=harmless
    )


def needs_long_sums(shape: LayerShape) -> str:
    """Return why a shape hides what an accumulator rounds, or an empty string."""
    if shape.hidden >= LONG_SUM:
        return ""
    return f"sums of {shape.hidden} terms round less in the accumulator than bfloat16 does once: needs {LONG_SUM}"
