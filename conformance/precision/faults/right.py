"""Right variants: layers computed as they declare, in every way that people do. Accusing one is a false alarm."""

from __future__ import annotations

from conformance.precision.faults.catalogue import all_faults
from conformance.precision.model.rounding import Rounding, fused, uniform
from conformance.precision.paths.base import PrecisionPath, always
from conformance.precision.paths.torch_loop import loop_path

HALF = fused("bfloat16")
DECLARED: dict[str, Rounding] = {
    "fused-bfloat16": HALF,
    "fused-float16": fused("float16"),
    "fused-float32": fused("float32"),
    "every-operation-bfloat16": uniform("bfloat16"),
    "every-operation-float16": uniform("float16"),
    "tensor-parallel-2": HALF.but(tensor_parallel=2),
    "tensor-parallel-4": HALF.but(tensor_parallel=4),
    "tensor-parallel-8": HALF.but(tensor_parallel=8),
    "expert-parallel-2": HALF.but(expert_parallel=2),
    "expert-parallel-4": HALF.but(expert_parallel=4),
    "split-k-4-bfloat16": HALF.but(split_k=4, split="bfloat16"),
    "mxfp8-activations": HALF.but(activation_as="mxfp8", hidden_as="mxfp8"),
    "fp8-activations": HALF.but(activation_as="fp8_e4m3", hidden_as="fp8_e4m3"),
    "fp8-e5m2-activations": HALF.but(activation_as="fp8_e5m2", hidden_as="fp8_e5m2"),
    "int8-activations": HALF.but(activation_as="int8", hidden_as="int8"),
    "q8-0-activations": fused("float32").but(activation_as="q8_0", hidden_as="q8_0"),
}
VARIANTS = ("float64-accumulator", "terms-summed-backwards", "experts-summed-in-reverse")


def right_paths() -> list[PrecisionPath]:
    """Return every right variant as a path."""
    found = [loop_path(name, r.output, r) for name, r in DECLARED.items()]
    faults = all_faults()
    for name in VARIANTS:
        make = faults[name].make
        found.append(PrecisionPath(name, "bfloat16", HALF, lambda layer, m=make: m(layer, HALF), always))  # type: ignore[misc]  # a lambda's default is untyped
    return found
