"""Kernels that the evidence from a card is made with: OpenAI's with a wrong constant or in another configuration, and
three that misbehave."""

import functools
import inspect
from typing import Any

import torch

from conformance.precision.paths.adapters import triton_kernels as adapter

DECLARATION = adapter.DECLARATION
prepare = adapter.prepare


@functools.wraps(adapter.moe)
def alpha_in_bfloat16(**given: Any) -> torch.Tensor:
    """Return what OpenAI's kernels compute with alpha rounded to bfloat16: 1.703125 for 1.702."""
    return adapter.fused_moe(**{**given, "alpha": float(torch.tensor(given["alpha"]).bfloat16())})


@functools.wraps(adapter.moe)
def not_persistent(**given: Any) -> dict[str, torch.Tensor]:
    """Return what OpenAI's kernels compute when the persistent ones are ruled out."""
    from triton_kernels.matmul_ogs_details import opt_flags

    opt_flags.update_opt_flags_constraints({"is_persistent": False})
    return adapter.moe(**given)


def prepare_spare(**given: torch.Tensor) -> dict[str, Any]:
    """Return the weights with one expert more behind the last, which no token is sent to."""
    return adapter.prepare(**{k: torch.cat([v, v[-1:]]) for k, v in given.items()})


prepare_spare.__signature__ = inspect.signature(adapter.prepare)  # type: ignore[attr-defined]  # what it asks for


@functools.wraps(adapter.moe)
def spare_expert(**given: Any) -> dict[str, torch.Tensor]:
    """Return what OpenAI's kernels compute with an unused expert behind the last."""
    more = {k: torch.cat([given[k], given[k][-1:]]) for k in ("gate_up_bias", "down_bias")}
    return adapter.moe(**{**given, **more, "num_experts": given["num_experts"] + 1})


spare_expert.DECLARATION = {**DECLARATION, "prepare": prepare_spare}  # type: ignore[attr-defined]  # read from the function


def writes_out_of_bounds(hidden_states: torch.Tensor) -> torch.Tensor:
    """Write far behind the result, which ends the card's context."""
    out = torch.empty_like(hidden_states)
    place = torch.full((1,), 1 << 40, dtype=torch.int64, device=out.device)
    _stray[(1,)](out, place)
    return out


def never_ends(hidden_states: torch.Tensor) -> torch.Tensor:
    """Spin on the card until somebody ends it."""
    out = torch.zeros_like(hidden_states)
    _spin[(1,)](out, torch.ones(1, dtype=torch.int32, device=out.device))
    return out


def writes_nothing(hidden_states: torch.Tensor) -> torch.Tensor:
    """Return memory as it was found."""
    return torch.empty_like(hidden_states)


for _kernel in (writes_out_of_bounds, never_ends, writes_nothing):
    _kernel.DECLARATION = {"dtype": "bfloat16"}  # type: ignore[attr-defined]  # read from the function


try:
    import triton
    import triton.language as tl
except ImportError:  # on a CPU the module is only looked at
    pass
else:
    # Triton reads annotations too, and knows no Any.
    @triton.jit
    def _stray(out, place):  # type: ignore[no-untyped-def]
        tl.store(out + tl.load(place), 1.0)

    @triton.jit
    def _spin(out, going):  # type: ignore[no-untyped-def]
        while tl.load(going, volatile=True) == 1:
            tl.store(out, 1.0)
