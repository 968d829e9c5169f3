"""Other people's kernels: a function of hidden states, a routing and weights, as a path. See docs/kernels.md.

The names of the function's parameters say what it wants; `DECLARATION` beside it says what it rounds.
"""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from conformance.errors import UsageError
from conformance.precision.formats.floats import FORMATS, torch_dtype
from conformance.precision.formats.layouts import separate, to_gguf
from conformance.precision.formats.quantised import QUANTISED
from conformance.precision.model import reference
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import Rounding, fused, uniform
from conformance.precision.model.weights import LayerWeights, MxTensor
from conformance.precision.paths.base import MisbehaviourError, PathRunner, PrecisionPath, held_scales

INPUTS = (
    "hidden_states",
    "topk_ids",
    "topk_weights",
    "router_logits",
    "router_weight",
    "router_bias",
    "residual",
)
PACKED = ("gate_up_blocks", "gate_up_scales", "down_blocks", "down_scales")
GGUF = ("gate_rows", "up_rows", "down_rows")
DENSE = ("gate_up_proj", "down_proj")
BIASES = ("gate_up_bias", "down_bias", "gate_bias", "up_bias")
NUMBERS = ("alpha", "limit", "top_k", "num_experts")
WEIGHTS = (*PACKED, *GGUF, *DENSE, *BIASES)
NAMES = (*INPUTS, *WEIGHTS, *NUMBERS, "prepared")
LAYOUTS = ("published", "transformers", "halves")
STAGES = ("gate_up", "hidden", "down", "result", "residual", "topk_ids", "topk_weights", "router_logits")
FLAGS = ("in_place", "nan_vanishes", "deterministic", "batch_invariant", "max_tokens", "scale_bytes")
OTHERS = ("dtype", "layout", "rounds", "bias_dtype", "unsupported", "prepare", *FLAGS)
ROUNDS = {"fused": fused, "every-operation": uniform}


@dataclass(frozen=True)
class Kernel:
    """A function with what it declares."""

    spec: str
    function: Callable[..., Any]
    wants: tuple[str, ...]
    rounding: Rounding
    dtype: str
    layout: str
    options: dict[str, Any]
    prepare: Callable[..., Any] | None


def kernel_path(spec: str, declared: dict[str, str] | None = None, place: str | None = None) -> PrecisionPath:
    """Return the path of `FILE.py:FUNCTION` or `package.module:name`, an adapter's name, or its own declaration.

    Raises UsageError, with what to do, for a file that does not import, a function that is not there, a parameter or
    a declaration that is not known.
    """
    kernel = load(place or spec, declared or {})
    low, high = kernel.options.get("scale_bytes", held_scales(kernel.rounding.weight))
    return PrecisionPath(
        name=spec,
        dtype=kernel.dtype,
        rounding=kernel.rounding,
        prepare=lambda layer: KernelRunner(kernel, layer),
        unsupported=_unsupported(kernel),
        scale_bytes=(int(low), int(high)),
        stacked=False,
        **{k: kernel.options[k] for k in FLAGS if k in kernel.options and k != "scale_bytes"},
    )


def _unsupported(kernel: Kernel) -> Callable[[torch.device, LayerWeights], str | None]:
    def reason(device: torch.device, layer: LayerWeights) -> str | None:
        if set(kernel.wants) & {*PACKED, *GGUF} and not isinstance(layer.gate_up, MxTensor):
            return "it reads MXFP4 weights, and these are dense"
        said = kernel.options.get("unsupported")
        return said(device, layer.shape) if said else None

    return reason


def load(spec: str, declared: dict[str, str]) -> Kernel:
    """Return the function that a specification names, with its declaration; see `kernel_path`."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"--kernel {spec!r}: write FILE.py:FUNCTION or package.module:function")
    module = _import(spec, place)
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")]
        hint = f"it has {', '.join(there[:8])}" if there else "it defines no function"
        raise UsageError(f"--kernel {spec}: there is no function {name!r} in {place}: {hint}")
    options = dict(getattr(function, "DECLARATION", None) or getattr(module, "DECLARATION", None) or {})
    options |= declared
    wants = _parameters(spec, function)
    layout = str(options.get("layout", "published"))
    if layout not in LAYOUTS:
        raise UsageError(
            f"--kernel {spec}: the layout {layout!r} is not known: choose from {', '.join(LAYOUTS)}"
        )
    prepare = options.get("prepare")
    if isinstance(prepare, str):
        prepare = getattr(module, prepare, None)
    if "prepared" in wants and not callable(prepare):
        raise UsageError(
            f"--kernel {spec}: it wants `prepared`, so DECLARATION must name the function `prepare`"
        )
    if prepare is not None:
        _parameters(spec, prepare)
    rounding, dtype = _rounding(spec, options)
    return Kernel(spec, function, wants, rounding, dtype, layout, options, prepare)


def _import(spec: str, place: str) -> Any:
    try:
        if place.endswith(".py"):
            file = Path(place)
            if not file.is_file():
                raise UsageError(f"--kernel {spec}: there is no file {place}")
            found = importlib.util.spec_from_file_location(f"kernel_{file.stem}", file)
            assert found is not None
            assert found.loader is not None
            module = importlib.util.module_from_spec(found)
            sys.modules[found.name] = module  # Triton and dataclasses look their own module up
            sys.path.insert(0, str(file.resolve().parent))
            found.loader.exec_module(module)
            return module
        return importlib.import_module(place)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"--kernel {spec} does not import: {type(error).__name__}: {error}") from None


def _parameters(spec: str, function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(
            f"--kernel {spec}: its parameters cannot be read: wrap it in a Python function"
        ) from None
    wants = []
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY):
            raise UsageError(f"--kernel {spec}: name its parameters, {p} says nothing of what it wants")
        if p.name in NAMES:
            wants.append(p.name)
        elif p.default is p.empty:
            raise UsageError(f"--kernel {spec}: it wants {p.name!r}, which is none of {', '.join(NAMES)}")
    return tuple(wants)


def _rounding(spec: str, options: dict[str, Any]) -> tuple[Rounding, str]:
    dtype = str(options.get("dtype", "bfloat16"))
    if dtype not in ("bfloat16", "float16", "float32"):
        raise UsageError(f"--kernel {spec}: dtype {dtype!r} is not bfloat16, float16 or float32")
    rounds = str(options.get("rounds", "fused"))
    if rounds not in ROUNDS:
        raise UsageError(f"--kernel {spec}: rounds {rounds!r} is not known: choose from {', '.join(ROUNDS)}")
    rounding = ROUNDS[rounds](dtype)
    kinds = {f.name: type(getattr(rounding, f.name)) for f in fields(Rounding)}
    changes: dict[str, object] = {}
    for key, value in options.items():
        if key in OTHERS:
            continue
        if key not in kinds:
            known = ", ".join([*OTHERS, *kinds])
            raise UsageError(f"--kernel {spec}: the declaration has {key!r}, which is none of {known}")
        changes[key] = _value(spec, key, kinds[key], value)
    return rounding.but(**changes), dtype


def _value(spec: str, key: str, kind: type, value: Any) -> object:
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise UsageError(f"--kernel {spec}: {key} is true or false, not {value!r}")
        return str(value).lower() == "true"
    if kind is int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            raise UsageError(f"--kernel {spec}: {key} is a positive number, not {value!r}")
        return number
    allowed = ["", *QUANTISED] if key.endswith("_as") else list(FORMATS)
    if value not in allowed:
        raise UsageError(
            f"--kernel {spec}: {key} is {value!r}, which is none of {', '.join(filter(None, allowed))}"
        )
    return value


class KernelRunner(PathRunner):
    """A function called with one layer's weights, which are laid out for it once."""

    def __init__(self, kernel: Kernel, layer: LayerWeights) -> None:
        self.kernel, self.layer = kernel, layer
        wanted = set(kernel.wants)
        if kernel.prepare is not None:
            wanted |= set(_parameters(kernel.spec, kernel.prepare))
        self.weights = {name: self._weight(name) for name in wanted & {*WEIGHTS, *NUMBERS, *INPUTS[4:6]}}
        if kernel.prepare is not None:
            names = _parameters(kernel.spec, kernel.prepare)
            self.weights["prepared"] = kernel.prepare(**{n: self.weights[n] for n in names})
        self.stages: set[str] | None = None  # what it exposes, once it was called

    def _weight(self, name: str) -> Any:
        layer, s = self.layer, self.layer.shape
        dtype = torch_dtype(self.kernel.rounding.weight)
        numbers = {"alpha": s.alpha, "limit": s.limit, "top_k": s.top_k, "num_experts": s.experts}
        if name in numbers:
            return numbers[name]
        if name in ("router_weight", "router_bias"):
            source = layer.router if name == "router_weight" else layer.router_bias
            return source.to(torch_dtype(self.kernel.rounding.router_input))
        if name in BIASES:
            held = torch_dtype(str(self.kernel.options.get("bias_dtype", "float32")))
            if name == "down_bias":
                return layer.down_bias.to(held)
            gate, up = separate(layer.gate_up_bias)
            if name != "gate_up_bias":
                return (gate if name == "gate_bias" else up).to(held)
            halves = torch.cat((gate, up), 1) if self.kernel.layout == "halves" else layer.gate_up_bias
            return halves.to(held)
        matrix = "down" if name.startswith("down") else "gate_up"
        if name in PACKED:
            source_mx = layer.down if matrix == "down" else layer.gate_up
            assert isinstance(source_mx, MxTensor)  # or the path was UNSUPPORTED
            values = source_mx.blocks if name.endswith("blocks") else source_mx.scales
            if matrix == "gate_up" and self.kernel.layout == "halves":
                return torch.cat(separate(values), 1)
            return values
        if name in GGUF:
            source_mx = layer.down if matrix == "down" else layer.gate_up
            assert isinstance(source_mx, MxTensor)
            rows = to_gguf(source_mx.blocks, source_mx.scales)
            return rows if matrix == "down" else separate(rows)[name != "gate_rows"]
        every = torch.stack([layer.fresh(matrix, e, dtype) for e in range(s.experts)])
        if self.kernel.layout == "transformers":
            return every.transpose(1, 2).contiguous()
        if self.kernel.layout == "halves" and matrix == "gate_up":
            return torch.cat(separate(every), 1)
        return every

    def _call(
        self, tokens: torch.Tensor, routing: Routing, residual: torch.Tensor | None = None
    ) -> dict[str, Any]:
        dtype = torch_dtype(self.kernel.rounding.activation)
        given: dict[str, Any] = {
            "hidden_states": tokens.to(dtype),
            "topk_ids": routing.indices,
            "topk_weights": routing.weights.to(torch_dtype(self.kernel.rounding.routing_weight)),
            "router_logits": routing.logits,
            "residual": residual,
            **self.weights,
        }
        found = self.kernel.function(**{name: given[name] for name in self.kernel.wants})
        if isinstance(found, torch.Tensor):
            found = {"result": found}
        if not isinstance(found, dict) or "result" not in found or set(found) - set(STAGES):
            kind = (
                f"a dictionary with {', '.join(map(str, found))}"
                if isinstance(found, dict)
                else type(found).__name__
            )
            raise MisbehaviourError(
                f"it returned {kind}: return the result (T, H), or a dictionary with 'result' and any of "
                f"{', '.join(s for s in STAGES if s != 'result')}"
            )
        self.stages = set(found)
        self._check(found, tokens, routing)
        return found

    def _check(self, found: dict[str, Any], tokens: torch.Tensor, routing: Routing) -> None:
        s, (count, k) = self.layer.shape, routing.indices.shape
        shapes = {
            "result": (count, s.hidden),
            "residual": (count, s.hidden),
            "gate_up": (count, k, 2 * s.intermediate),
            "hidden": (count, k, s.intermediate),
            "down": (count, k, s.hidden),
            "topk_ids": (count, k),
            "topk_weights": (count, k),
            "router_logits": (count, s.experts),
        }
        for name, value in found.items():
            if not isinstance(value, torch.Tensor):
                raise MisbehaviourError(f"it returned {type(value).__name__} for {name}, not a tensor")
            if tuple(value.shape) != shapes[name]:
                raise MisbehaviourError(
                    f"it returned {name} of shape {tuple(value.shape)}, which should be {shapes[name]}"
                )
            if value.device != tokens.device:
                raise MisbehaviourError(
                    f"it returned {name} on {value.device}, and its inputs are on {tokens.device}"
                )
        wanted = torch_dtype(self.kernel.rounding.output)
        if found["result"].dtype != wanted:
            raise MisbehaviourError(
                f"it returned {str(found['result'].dtype).removeprefix('torch.')}, and it declares a result in "
                f"{self.kernel.rounding.output}"
            )

    def _routed(self, pairs: Pairs) -> Routing:
        """Return the routing of pairs, with equal weights: a stage before the weighted sum does not depend on them."""
        k = self.layer.shape.top_k
        indices = torch.empty(pairs.tokens, k, dtype=torch.int64, device=pairs.token.device)
        indices[pairs.token, pairs.slot] = pairs.expert
        weights = torch.full((pairs.tokens, k), 1 / k, device=indices.device)
        return Routing(
            torch.zeros(pairs.tokens, self.layer.shape.experts, device=indices.device), indices, weights
        )

    def _stage(self, name: str, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        if self.stages is not None and name not in self.stages:
            return None
        if pairs.token.shape[0] != pairs.tokens * self.layer.shape.top_k:
            return None  # pairs that no routing of a token gives: a function of whole tokens cannot show them
        found = self._call(tokens, self._routed(pairs)).get(name)
        return None if found is None else found[pairs.token, pairs.slot]

    def route(self, tokens: torch.Tensor) -> Routing | None:
        if not {"router_weight", "router_bias"} & set(self.kernel.wants):
            return None
        found = self._call(tokens, reference.route(self.layer, tokens.float()))
        missing = {"topk_ids", "topk_weights", "router_logits"} - set(found)
        if missing:
            raise MisbehaviourError(
                f"it routes itself, so it must return what it chose: {', '.join(sorted(missing))} is missing; or let "
                "it take topk_ids and topk_weights"
            )
        return Routing(found["router_logits"], found["topk_ids"].long(), found["topk_weights"])

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        return self._stage("gate_up", tokens, pairs)

    def hidden(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor | None:
        return self._stage("hidden", tokens, pairs)

    def chained_down(
        self, tokens: torch.Tensor, pairs: Pairs, hidden: torch.Tensor | None
    ) -> torch.Tensor | None:
        return self._stage("down", tokens, pairs)

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        found = self._call(tokens, routing)["result"]
        assert isinstance(found, torch.Tensor)
        return found
