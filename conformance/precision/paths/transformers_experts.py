"""transformers' own GptOssExperts and router, in each of its implementations."""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

from conformance.precision.formats.floats import torch_dtype
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import Rounding, uniform
from conformance.precision.model.weights import LayerWeights
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath, held_scales

IMPLEMENTATIONS = ("eager", "batched_mm", "grouped_mm")
BATCHED_PAIRS = 32  # batched_mm copies one expert's weights per pair, so that it is fed this many at a time
BATCHED_TOKENS = 32  # so that more of a regime's tokens would be more of the same small calls
FEW_COLUMNS = 16  # that grouped_mm still takes


class _SeenError(Exception):
    """What was wanted of a call is there, and the rest of it is not needed."""


class TransformersRunner(PathRunner):
    """The modules as transformers builds them, with a layer's weights and a chosen implementation."""

    def __init__(self, layer: LayerWeights, dtype: str, implementation: str) -> None:
        from transformers.models.gpt_oss.configuration_gpt_oss import GptOssConfig
        from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts, GptOssTopKRouter

        shape = layer.shape
        config = GptOssConfig(
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_local_experts=shape.experts,
            num_experts_per_tok=shape.top_k,
            num_hidden_layers=1,
        )
        config._experts_implementation = implementation
        self.dtype = torch_dtype(dtype)
        self.layer = layer
        self.implementation = implementation
        with torch.device("meta"):
            self.module: Any = GptOssExperts(config)
            self.router: Any = GptOssTopKRouter(config)
        self.module.alpha, self.module.limit = shape.alpha, shape.limit
        self._fill(self.module, "gate_up_proj", layer, "gate_up")
        self._fill(self.module, "down_proj", layer, "down")
        self._set(self.module, "gate_up_proj_bias", layer.gate_up_bias)
        self._set(self.module, "down_proj_bias", layer.down_bias)
        self._set(self.router, "weight", layer.router)
        self._set(self.router, "bias", layer.router_bias)

    def _set(self, module: Any, name: str, values: torch.Tensor) -> None:
        setattr(module, name, torch.nn.Parameter(values.to(self.dtype), requires_grad=False))

    def _fill(self, module: Any, name: str, layer: LayerWeights, matrix: str) -> None:
        size = tuple(getattr(module, name).shape)  # (E, K, rows): transformers stores the transpose
        values = torch.empty(size, dtype=self.dtype, device=layer.device)
        for expert in range(layer.shape.experts):
            values[expert] = layer.matrix(matrix, expert, self.dtype).T
        setattr(module, name, torch.nn.Parameter(values, requires_grad=False))

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor]:
        return {"gate_up": self.module.gate_up_proj[expert].T, "down": self.module.down_proj[expert].T}

    def route(self, tokens: torch.Tensor) -> Routing:
        logits, weights, indices = self.router(tokens.to(self.dtype))
        return Routing(logits, indices, weights)

    def _call(self, rows: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        step = rows.shape[0]
        if self.implementation == "batched_mm":
            step = max(1, BATCHED_PAIRS // indices.shape[1])
        parts = [
            self._part(rows[i : i + step], indices[i : i + step], weights[i : i + step])
            for i in range(0, rows.shape[0], step)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _part(self, rows: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        try:
            return self.module(rows, indices, weights)
        except _SeenError:
            return rows

    def _per_pair(
        self, rows: torch.Tensor, pairs: Pairs, hook: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Run each pair as a token of its own with weight 1, the activation going through `hook`.

        Pairs are already sorted by expert, so eager and batched_mm keep the order of the rows.
        """
        self.module._apply_gate = hook
        try:
            ones = torch.ones(rows.shape[0], 1, dtype=self.dtype, device=rows.device)
            return self._call(rows.to(self.dtype), pairs.expert.unsqueeze(1), ones)
        finally:
            del self.module._apply_gate

    def _order(self, pairs: Pairs) -> torch.Tensor | None:
        # grouped_mm sorts the pairs again, and its sort is not stable: the same call gives the same order.
        return torch.sort(pairs.expert).indices if self.implementation == "grouped_mm" else None

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        original = self.module._apply_gate

        def record(gate_up: torch.Tensor) -> torch.Tensor:
            seen.append(gate_up.clone())
            if self.implementation == "eager":  # which goes on to the next expert
                return original(gate_up)
            raise _SeenError

        self._per_pair(tokens[pairs.token], pairs, record)
        rows = torch.cat(seen)
        order = self._order(pairs)
        if order is not None:
            rows[order] = rows.clone()
        return rows

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        return self.module._apply_gate(gate_up.to(self.dtype))

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        order = self._order(pairs)
        given = hidden.to(self.dtype) if order is None else hidden.to(self.dtype)[order]
        taken = 0

        def inject(gate_up: torch.Tensor) -> torch.Tensor:
            nonlocal taken
            taken += gate_up.shape[0]
            return given[taken - gate_up.shape[0] : taken]

        zeros = torch.zeros(hidden.shape[0], self.layer.shape.hidden, dtype=self.dtype, device=hidden.device)
        with self._few_columns():
            return self._per_pair(zeros, pairs, inject)

    @contextmanager
    def _few_columns(self) -> Iterator[None]:
        """Leave the first product a few columns, since its result is replaced: batched_mm copies all of them."""
        names = ("gate_up_proj", "gate_up_proj_bias")
        kept = {name: getattr(self.module, name) for name in names}
        for name, values in kept.items():
            few = values[..., :FEW_COLUMNS].contiguous()
            setattr(self.module, name, torch.nn.Parameter(few, requires_grad=False))
        try:
            yield
        finally:
            for name, values in kept.items():
                setattr(self.module, name, values)

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        return self._call(tokens.to(self.dtype), routing.indices, routing.weights.to(self.dtype))

    def residual(self, residual: torch.Tensor, combined: torch.Tensor) -> torch.Tensor:
        return residual.to(self.dtype) + combined.to(self.dtype)


def declared(dtype: str, implementation: str) -> Rounding:
    """Return what the modelling code rounds: every operation; eager also adds experts one by one in the dtype."""
    return uniform(dtype, combine_sequential=implementation == "eager")


def _unsupported(dtype: str, implementation: str) -> Callable[[torch.device, LayerWeights], str | None]:
    def reason(device: torch.device, layer: LayerWeights) -> str | None:
        if find_spec("transformers") is None:
            return "transformers is not installed: pip install transformers"
        try:
            from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
        except ImportError:
            return "this transformers has no choice of experts implementations: it needs 5.0 or later"
        if implementation != "eager" and implementation not in ALL_EXPERTS_FUNCTIONS.valid_keys():
            return f"this transformers has no experts implementation {implementation}"
        return None

    return reason


@PATHS.named("transformers_experts")
def paths() -> list[PrecisionPath]:
    """Return each implementation in float32, bfloat16 and float16."""
    found = []
    for implementation in IMPLEMENTATIONS:
        for dtype in ("float32", "bfloat16", "float16"):
            found.append(_path(implementation, dtype))
    return found


def _path(implementation: str, dtype: str) -> PrecisionPath:
    return PrecisionPath(
        f"transformers-{implementation}-{dtype}",
        dtype,
        declared(dtype, implementation),
        lambda layer: TransformersRunner(layer, dtype, implementation),
        _unsupported(dtype, implementation),
        scale_bytes=held_scales(dtype),
        trusted=True,
        timed=dtype == "bfloat16" and implementation != "batched_mm",
        captured=implementation != "eager",
        stacked=False,
        few_tokens=BATCHED_TOKENS if implementation == "batched_mm" else None,
    )
