"""What a path is: a name, a declaration of its rounding, and a runner that computes stages. And their registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import Rounding
from conformance.precision.model.weights import LayerWeights
from conformance.registry import Registry


class MisbehaviourError(Exception):
    """What a path did is no computation of the layer at all: its sentence is that path's verdict."""


class PathRunner:
    """A path prepared for one layer. A method that returns None says: this stage cannot be observed alone."""

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor] | None:
        """Return the dequantised `gate_up` (2 I, H) and `down` (H, I) as the path holds them, or None."""
        return None

    def route(self, tokens: torch.Tensor) -> Routing | None:
        """Return logits (T, E), indices (T, k) and routing weights (T, k) of tokens (T, H) float32.

        None says that the path is given its routing: then the reference routes.
        """
        return None

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        """Return the gate_up result (P, 2 I), interleaved, of tokens (T, H) float32."""
        return None

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor | None:
        """Return the activation (P, I) of gate_up (P, 2 I)."""
        return None

    def hidden(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        """Return the activation (P, I) of tokens (T, H), chained."""
        gate_up = self.gate_up(tokens, pairs)
        return None if gate_up is None else self.swiglu(gate_up)

    def float32_hidden(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        """Return the activation (P, I) before it is rounded, of a kernel that has no float32 twin."""
        return None

    def planned(self, tokens: torch.Tensor, routing: Routing) -> Callable[[], object]:
        """Return a call of the whole layer that can be captured as a graph: what it plans on the host is done."""
        return lambda: self.experts(tokens, routing)

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        """Return the down result (P, H), not yet weighted, of hidden (P, I)."""
        return None

    def chained_down(
        self, tokens: torch.Tensor, pairs: Pairs, hidden: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Return the down result (P, H) of tokens (T, H), `hidden` (P, I) being the path's own activation."""
        return None if hidden is None else self.down(hidden.clone(), pairs)

    def combine(self, down: torch.Tensor, pairs: Pairs, routing: Routing) -> torch.Tensor | None:
        """Return the weighted sum (T, H) of down (P, H)."""
        return None

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        """Return the layer's result (T, H) the way a user calls it, given the path's own routing."""
        raise NotImplementedError

    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor | None:
        """Return residual + combined (T, H) in the residual's dtype, or None: the path ends at its result."""
        return None


@dataclass(frozen=True)
class PrecisionPath:
    """A precision path: `dtype` is the name people give it, `unsupported` says why it cannot run (None: it can).

    What it cannot do is believed only from here: from `unsupported`, `scale_bytes` and `max_tokens`, never from what it
    raises. `scale_bytes` is the range of E8M0 bytes its weights survive; `claim` is what people say of it, for the
    policy table.
    """

    name: str
    dtype: str
    rounding: Rounding
    prepare: Callable[[LayerWeights], PathRunner]
    unsupported: Callable[[torch.device, LayerWeights], str | None]
    scale_bytes: tuple[int, int] = (0, 252)
    claim: str = ""
    max_tokens: int | None = None  # the path declares that it takes no more than this
    few_tokens: int | None = (
        None  # it is judged on no more of a regime's tokens: each costs it copies of experts
    )
    in_place: bool = False  # the path declares that it may write into its inputs
    trusted: bool = (
        False  # ours or a library's: shares a process with others of its kind until something ends it
    )
    nan_vanishes: bool = False  # the path declares that a NaN in a token may come out as a number
    deterministic: bool = False  # the path promises the same bits for the same call
    batch_invariant: bool = False  # the path promises the same bits for a token alone and in any batch
    packed: bool = False  # multiplies packed weights itself, so that its scale bytes are swept
    timed: bool = False  # one of those that --timing compares
    captured: bool = True  # its calls can be captured as a graph
    stacked: bool = True  # cheap enough to be run through a stack of layers on any device


Offer = Callable[[], Iterable[PrecisionPath]]
_HERE = "conformance.precision.paths"
# Sets of paths, in the order of the report; a package offers one under the entry point group of the registry.
PATHS: Registry[Offer] = Registry(
    "set of precision paths",
    "conformance.precision.paths",
    {
        name: f"{_HERE}.{name}"
        for name in (
            "torch_loop", "transformers_experts", "triton_mx", "dequant_matmul", "native_mx", "policies",
            "llama_cpp", "bitsandbytes_nf4",
        )
    },
)  # fmt: skip


def always(device: torch.device, layer: LayerWeights) -> str | None:
    """Return None: the path runs on every device."""
    return None


def held_scales(dtype: str) -> tuple[int, int]:
    """Return the scale bytes whose products a dtype holds exactly."""
    return (104, 140) if dtype == "float16" else (0, 252)
