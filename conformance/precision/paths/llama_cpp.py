"""llama.cpp's own MoE on a CPU: the graph that it builds for gpt-oss, run by its kernels on a GGUF file's bytes.

Products read their rows in Q8_0 (blocks of 32 of int8) for MXFP4, Q8_0 and the like, in Q8_K (256) for K-quants.
"""

# ruff: noqa: D102  (the stages are described once, on PathRunner)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance.precision.formats import ggml
from conformance.precision.formats.ggml import FLOAT32, INT32, TYPES, Graph
from conformance.precision.formats.layouts import interleave, separate, to_gguf
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.rounding import fused
from conformance.precision.model.weights import LayerWeights, Matrix, MxTensor, StoredTensor
from conformance.precision.paths.base import PATHS, PathRunner, PrecisionPath

# Q4_1 and Q5_1 take rows in Q8_1, whose blocks carry their sum in float16 too: no declaration has that.
READS = {
    "q8_0": tuple(kind for kind in ggml.BLOCKS_OF_32 if not kind.endswith("_1")),
    "q8_K": tuple(ggml.BLOCKS_OF_256),
}


def rows_of(matrix: Matrix, name: str) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the GGUF type of a matrix and its bytes (E, rows, bytes): `gate` and `up`, or `down`."""
    if isinstance(matrix, MxTensor):
        rows = to_gguf(matrix.blocks, matrix.scales)
        return "MXFP4", dict(zip(("gate", "up"), separate(rows), strict=True)) if name == "gate_up" else {
            "down": rows
        }
    if isinstance(matrix, StoredTensor):
        return matrix.format, matrix.parts
    return "", {}


class LlamaRunner(PathRunner):
    """One layer's bytes in ggml's tensors, computed stage by stage or as one graph."""

    def __init__(self, layer: LayerWeights) -> None:
        self.layer, s = layer, layer.shape
        self.types: dict[str, str] = {}
        self.rows: dict[str, torch.Tensor] = {}
        for name, matrix in (("gate_up", layer.gate_up), ("down", layer.down)):
            kind, rows = rows_of(matrix, name)
            if kind not in TYPES:
                raise TypeError("llama.cpp's kernels read a GGUF file's types")
            self.rows |= rows
            self.types |= dict.fromkeys(rows, kind)
        gate, up = separate(layer.gate_up_bias)
        self.bias = {"gate": gate, "up": up, "down": layer.down_bias}
        self.width = {"gate": s.hidden, "up": s.hidden, "down": s.intermediate}
        self.height = {"gate": s.intermediate, "up": s.intermediate, "down": s.hidden}

    def expert_weights(self, expert: int) -> dict[str, torch.Tensor]:
        read = {
            name: ggml.dequantised_by_ggml(rows[expert], self.types[name], self.width[name])
            for name, rows in self.rows.items()
        }
        return {"gate_up": interleave(read["gate"], read["up"], 0), "down": read["down"]}

    def _graph(self, tokens: int, slots: int, names: tuple[str, ...]) -> Graph:
        numbers = tokens * slots * (8 * self.layer.shape.hidden + 16 * self.layer.shape.intermediate)
        return Graph(sum(self.rows[name].numel() for name in names) + 8 * numbers + (8 << 20))

    def _product(self, graph: Graph, name: str, given: Any, ids: Any) -> Any:
        """Return the handle of a product with its bias: (slots, tokens) rows of `given`, each by its own expert."""
        s, lib = self.layer.shape, graph.lib
        weight = graph.tensor(
            self.rows[name], TYPES[self.types[name]], self.width[name], self.height[name], s.experts
        )
        bias = graph.tensor(self.bias[name].float(), FLOAT32, self.height[name], s.experts)
        product = lib.ggml_mul_mat_id(graph.context, weight, given, ids)
        return lib.ggml_add_id(graph.context, product, bias, ids)

    def _glu(self, graph: Graph, gate: Any, up: Any) -> Any:
        s = self.layer.shape
        return graph.lib.ggml_swiglu_oai(graph.context, gate, up, s.alpha, s.limit)

    def _ids(self, graph: Graph, indices: torch.Tensor) -> Any:
        return graph.tensor(indices.int(), INT32, indices.shape[1], indices.shape[0])

    def _per_pair(self, rows: torch.Tensor, pairs: Pairs, names: tuple[str, ...]) -> list[torch.Tensor]:
        """Return the products (P, height) of rows (P, K), each pair being a token with one expert."""
        count, found = rows.shape[0], []
        for name in names:
            with self._graph(count, 1, (name,)) as graph:
                given = graph.tensor(rows.float(), FLOAT32, rows.shape[1], 1, count)
                handle = self._product(graph, name, given, self._ids(graph, pairs.expert.unsqueeze(1)))
                found.append(graph.run(handle, count, self.height[name]))
        return found

    def gate_up(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        gate, up = self._per_pair(tokens[pairs.token], pairs, ("gate", "up"))
        return interleave(gate, up)

    def swiglu(self, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = separate(gate_up.float())
        with Graph(32 * gate.numel() + (8 << 20)) as graph:
            handles = [graph.tensor(t, FLOAT32, t.shape[1], t.shape[0]) for t in (gate, up)]
            return graph.run(self._glu(graph, *handles), *gate.shape)

    def down(self, hidden: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return self._per_pair(hidden, pairs, ("down",))[0]

    def experts(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        (count, slots), hidden = routing.indices.shape, self.layer.shape.hidden
        with self._graph(count, slots, ("gate", "up", "down")) as graph:
            lib, context = graph.lib, graph.context
            given = graph.tensor(tokens.float(), FLOAT32, hidden, 1, count)
            ids = self._ids(graph, routing.indices)
            gate, up = (self._product(graph, name, given, ids) for name in ("gate", "up"))
            down = self._product(graph, "down", self._glu(graph, gate, up), ids)
            weights = graph.tensor(routing.weights.float(), FLOAT32, 1, slots, count)
            weighted = lib.ggml_mul(context, down, weights)
            total, stride = None, 4 * hidden
            for slot in range(slots):  # llama.cpp adds views of the slots one by one
                part = lib.ggml_view_2d(context, weighted, hidden, count, stride * slots, slot * stride)
                total = part if total is None else lib.ggml_add(context, total, part)
            return graph.run(total, count, hidden)


def _unsupported(kinds: tuple[str, ...]) -> Callable[[torch.device, LayerWeights], str | None]:
    def reason(device: torch.device, layer: LayerWeights) -> str | None:
        held = {rows_of(m, name)[0] for m, name in ((layer.gate_up, "gate_up"), (layer.down, "down"))}
        if not held <= set(kinds):
            return f"it reads {', '.join(kinds)}, and the weights are not (a .gguf, or --stored {kinds[0]})"
        if device.type != "cpu":
            return "llama.cpp's CPU kernels are judged, on the CPU: --device cpu"
        return ggml.missing() or None

    return reason


@PATHS.named("llama_cpp")
def paths() -> list[PrecisionPath]:
    """Return one path for each way in which llama.cpp's products read their rows."""
    return [
        PrecisionPath(
            f"llama.cpp-{read}",
            "float32",
            fused("float32").but(activation_as=read, hidden_as=read),
            LlamaRunner,
            _unsupported(kinds),
            trusted=True,
            stacked=False,
            nan_vanishes=True,  # int8 holds none: a row's NaN becomes a number
        )
        for read, kinds in READS.items()
    ]
