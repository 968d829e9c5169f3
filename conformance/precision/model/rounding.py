"""What a path declares: the dtype in which each stage is computed and stored. Verdicts are derived from it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rounding:
    """Where a path rounds, as names of float formats.

    `*_product` is the dtype a matrix product is delivered in, before or with its bias (`bias_apart` says which); the
    name without suffix is the dtype the stage's result is stored in. `swiglu` is the dtype each elementary operation
    of the activation rounds to. `combine_sequential`: the partial sums over experts are stored in `combine` one by
    one; otherwise the sum is rounded once. `accumulate` is the matrix unit's accumulator.
    """

    activation: str
    weight: str
    router_input: str
    router: str
    routing_weight: str
    gate_up_product: str
    gate_up: str
    bias_apart: bool
    swiglu: str
    hidden: str
    down_product: str
    down: str
    weighted: str
    combine: str
    combine_sequential: bool
    output: str
    residual: str
    accumulate: str = "float32"

    def but(self, **changes: object) -> Rounding:
        """Return a copy with some places rounded otherwise."""
        return replace(self, **changes)  # type: ignore[arg-type]  # dataclasses.replace takes any field


def uniform(dtype: str, *, bias_apart: bool = True, combine_sequential: bool = True) -> Rounding:
    """Return the declaration of code that keeps everything in one dtype and rounds after every operation."""
    return Rounding(
        activation=dtype,
        weight=dtype,
        router_input=dtype,
        router=dtype,
        routing_weight=dtype,
        gate_up_product=dtype,
        gate_up=dtype,
        bias_apart=bias_apart,
        swiglu=dtype,
        hidden=dtype,
        down_product=dtype,
        down=dtype,
        weighted=dtype,
        combine=dtype,
        combine_sequential=combine_sequential,
        output=dtype,
        residual=dtype,
    )
