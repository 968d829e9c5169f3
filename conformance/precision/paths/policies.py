"""The mixed-precision policies people use on cards without bfloat16, each a claim that a row confirms or refutes.

The cards' rules are emulated by dtype wherever this runs; such a card's own hardware is not exercised.
"""

from __future__ import annotations

from conformance.precision.model.rounding import Rounding, uniform
from conformance.precision.paths.base import PATHS, PrecisionPath
from conformance.precision.paths.torch_loop import loop_path

HALF = uniform("float16")
ROUTED = HALF.but(router_input="float32", router="float32")
DOWN_STORED_HALF = ROUTED.but(down_product="float32")
DOWN = ROUTED.but(down_product="float32", down="float32")
COMBINE = DOWN.but(weighted="float32", combine="float32", output="float32", routing_weight="float32")
RESIDUAL = COMBINE.but(residual="float32")
BRAIN = uniform("bfloat16").but(router_input="float32", router="float32")
BRAIN_HALF_RESIDUAL = BRAIN.but(residual="float16")
BRAIN_SINGLE = BRAIN.but(
    down="float32",
    weighted="float32",
    combine="float32",
    output="float32",
    residual="float32",
    routing_weight="float32",
    bias_apart=True,
)

POLICIES: tuple[tuple[str, str, Rounding, str], ...] = (
    ("policy-all-float16", "float16", HALF, "everything in float16 is enough"),
    ("policy-float32-router", "float16", ROUTED, "a float32 router is enough"),
    (
        "policy-float32-down-stored-float16",
        "float16",
        DOWN_STORED_HALF,
        "computing down in float32 is enough",
    ),
    ("policy-float32-down", "float16", DOWN, "keeping down in float32 is enough"),
    (
        "policy-float32-down-combine",
        "float16",
        COMBINE,
        "float32 down and combine are enough, the residual can stay float16",
    ),
    ("policy-float32-residual", "float16", RESIDUAL, "float32 down, combine and residual are enough"),
    (
        "policy-bfloat16-experts-float16-residual",
        "bfloat16",
        BRAIN_HALF_RESIDUAL,
        "bfloat16 experts are enough, the residual can stay float16",
    ),
    ("policy-bfloat16-experts", "bfloat16", BRAIN, "bfloat16 experts kept as bfloat16 are enough"),
    (
        "policy-bfloat16-experts-float32",
        "bfloat16",
        BRAIN_SINGLE,
        "bfloat16 experts kept as float32 are enough",
    ),
    ("policy-all-float32", "float32", uniform("float32"), "everything in float32 is enough"),
)


@PATHS.named("policies")
def paths() -> list[PrecisionPath]:
    """Return one path per policy."""
    return [loop_path(name, dtype, rounding, claim) for name, dtype, rounding, claim in POLICIES]
