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

    `activation_as` and `hidden_as` are the quantised formats (see `formats.quantised`) in which the two products read
    their rows, empty for none. `split_k` partial products are stored in `split` and added there. With
    `tensor_parallel` or `expert_parallel` over N cards each card's weighted sum is stored in `output`, and the N are
    added in `collective`. `constants` is the dtype that alpha is held in: torch's half operations on a CPU round it.
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
    constants: str = "float32"
    activation_as: str = ""
    hidden_as: str = ""
    split_k: int = 1
    split: str = "float32"
    tensor_parallel: int = 1
    expert_parallel: int = 1
    collective: str = "bfloat16"

    @property
    def coarse(self) -> bool:
        """Whether errors may be so large that the activation is no straight line over them."""
        return bool(self.activation_as) or (self.split_k > 1 and self.split != "float32")

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
        constants=dtype,
    )


def fused(dtype: str) -> Rounding:
    """Return what most fused kernels do: rows in a dtype, sums in float32, the activation and the result stored in it.

    Nothing else is rounded: neither products, nor the activation's elementary operations, nor the weighted sum.
    """
    return uniform(dtype, bias_apart=False, combine_sequential=False).but(
        routing_weight="float32",
        gate_up_product="float32",
        gate_up="float32",
        swiglu="float32",
        down_product="float32",
        down="float32",
        weighted="float32",
        combine="float32",
        constants="float32",
    )


def describe(rounding: Rounding) -> str:
    """Return a declaration in one line, for people: what a verdict is relative to."""
    r = rounding
    rows, hidden = r.activation_as or r.activation, r.hidden_as or r.hidden
    words = [f"rows {rows}", f"sums {r.accumulate}", f"activation {hidden}", f"result {r.output}"]
    kept = {r.gate_up_product, r.gate_up, r.swiglu, r.down_product, r.down, r.weighted, r.combine}
    words.append(
        "every operation rounds to " + "/".join(sorted(kept)) if kept != {"float32"} else "float32 between"
    )
    if r.split_k > 1:
        words.append(f"split K {r.split_k} in {r.split}")
    if r.tensor_parallel > 1:
        words.append(f"tensor parallel {r.tensor_parallel} in {r.collective}")
    if r.expert_parallel > 1:
        words.append(f"expert parallel {r.expert_parallel} in {r.collective}")
    return ", ".join(words)
