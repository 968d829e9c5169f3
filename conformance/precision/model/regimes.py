"""The kinds of input a path is judged on; each is a workload built from a layer, a token count and a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from conformance.errors import UsageError
from conformance.precision.formats.mx import BLOCK, E2M1, pack
from conformance.precision.model import reference
from conformance.precision.model.reference import Pairs
from conformance.precision.model.synthetic import generator
from conformance.precision.model.weights import LayerWeights, MxTensor

LOW_EDGES = (0, 1, 103, 104, 140, 141)
TOP_EDGES = (251, 252)
BEYOND_EDGES = (253, 254, 255)


@dataclass(frozen=True)
class Workload:
    """One input: tokens (T, H) after the norm and residual (T, H), both holding bfloat16 numbers, and the layer."""

    regime: str
    layer: LayerWeights
    tokens: torch.Tensor
    residual: torch.Tensor


Build = Callable[[LayerWeights, int, torch.Generator], Workload]


@dataclass(frozen=True)
class Regime:
    """A named kind of input, why it is tried, and how many tokens it wants (None: as many as asked)."""

    name: str
    why: str
    build: Build
    tokens: int | None = None
    least: int = 1  # tokens without which it would not hold what it promises
    unreal: bool = False  # no checkpoint has it: what a path makes of it is told, and fails nobody
    needs_mxfp4: bool = False  # plants scale bytes or rows, so it cannot use dense weights
    recorded: int = 0  # tokens that it has, of a model that ran: all are judged where nobody asks for fewer


REGIMES: dict[str, Regime] = {}


def _regime(
    name: str,
    why: str,
    tokens: int | None = None,
    *,
    least: int = 1,
    needs_mxfp4: bool = False,
    unreal: bool = False,
) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        REGIMES[name] = Regime(name, why, build, tokens, least, unreal, needs_mxfp4)
        return build

    return add


def select(names: list[str] | None) -> list[Regime]:
    """Return regimes by name, all of them for None.

    Raises UsageError for an unknown name.
    """
    for name in names or []:
        if name not in REGIMES:
            raise UsageError(f"--regime {name!r} is not known: choose from {', '.join(REGIMES)}")
    return [REGIMES[name] for name in (names or REGIMES)]


def build(regime: Regime, layer: LayerWeights, tokens: int, seed: int) -> Workload:
    """Return the workload of a regime; the same seed gives the same workload on the same kind of device."""
    return regime.build(layer, regime.tokens or max(tokens, regime.least), generator(seed, layer.device))


def bf16(values: torch.Tensor) -> torch.Tensor:
    """Return float32 values rounded to bfloat16 numbers, so that every path is given the same numbers."""
    return values.to(torch.bfloat16).to(torch.float32)


def _normal(layer: LayerWeights, count: int, draw: torch.Generator, spread: float = 1.0) -> torch.Tensor:
    return bf16(torch.randn(count, layer.shape.hidden, generator=draw, device=layer.device) * spread)


@_regime("gaussian", "the ordinary case: normalised activations of spread 1")
def _gaussian(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    return Workload("gaussian", layer, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


@_regime("outlier-channels", "a few channels 64 times larger, as trained models have them")
def _outlier_channels(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    tokens = _normal(layer, count, draw)
    channels = torch.randperm(layer.shape.hidden, generator=draw, device=layer.device)[:4]
    tokens[:, channels] *= 64
    return Workload("outlier-channels", layer, tokens, _normal(layer, count, draw, 32.0))


@_regime("spike", "one element of one token at 2,000: the first token of a sequence does this")
def _spike(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    tokens = _normal(layer, count, draw)
    tokens[0, layer.shape.hidden // 3] = 2000.0
    return Workload("spike", layer, tokens, _normal(layer, count, draw, 32.0))


@_regime(
    "subnormals",
    "inputs that are subnormal in float16, and in float32 and bfloat16: flushed to zero somewhere?",
)
def _subnormals(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    # Without biases, which would drown them: the result is as small as the inputs.
    bare = layer.changed(
        gate_up_bias=torch.zeros_like(layer.gate_up_bias), down_bias=torch.zeros_like(layer.down_bias)
    )
    tokens = _normal(layer, count, draw) * 2.0**-16
    tokens[:, ::8] = bf16(tokens[:, ::8] * 2.0**-112)
    return Workload("subnormals", bare, tokens, torch.zeros_like(tokens))


@_regime(
    "low-gates",
    "every gate between -10 and -7: a clamp from below or a coarse sigmoid is all there is to see",
)
def _low_gates(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    bias = layer.gate_up_bias.clone()
    bias[:, ::2] = bf16(bias[:, ::2] * 0.125 - 8.5)
    low = layer.changed(gate_up_bias=bias, down_bias=torch.zeros_like(layer.down_bias))
    return Workload(
        "low-gates", low, _normal(layer, count, draw, 0.125), torch.zeros_like(_normal(layer, count, draw))
    )


@_regime(
    "cancelling-sums",
    "the last 32 terms of every gate_up sum take back the large first 32: what an accumulator lost stays lost",
    needs_mxfp4=True,
)
def _cancelling(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    def mirror(matrix: MxTensor) -> MxTensor:
        blocks, scales = matrix.blocks.clone(), matrix.scales.clone()
        blocks[:, :, -1], scales[:, :, -1] = blocks[:, :, 0], scales[:, :, 0]
        return MxTensor(blocks, scales)

    tokens = _normal(layer, count, draw)
    tokens[:, :BLOCK] = bf16(tokens[:, :BLOCK] * 64)
    tokens[:, -BLOCK:] = -tokens[:, :BLOCK]
    mirrored = layer.mapped("gate_up", mirror)
    router = layer.router.clone()
    router[:, -BLOCK:] = router[:, :BLOCK]  # or one expert would get every token
    mirrored = mirrored.changed(router=router)
    return Workload("cancelling-sums", mirrored, tokens, _normal(layer, count, draw, 32.0))


def _with_edge_rows(layer: LayerWeights, edges: tuple[int, ...], name: str = "gate_up") -> LayerWeights:
    def change(matrix: MxTensor) -> MxTensor:
        scales = matrix.scales.clone()
        for place, byte in enumerate(edges):
            scales[:, 2 * place : 2 * place + 2] = byte  # of gate_up a gate row and its up row
        return MxTensor(matrix.blocks, scales)

    return layer.mapped(name, change)


@_regime(
    "scale-edges", "scale bytes 0, 1, 103, 104, 140, 141: float16 holds 104 to 140 only", needs_mxfp4=True
)
def _scale_edges(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    edged = _with_edge_rows(layer, LOW_EDGES)
    return Workload("scale-edges", edged, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


@_regime(
    "scale-top", "scale bytes 251 and 252, the last that bfloat16 and float32 hold in full", needs_mxfp4=True
)
def _scale_top(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    edged = _with_edge_rows(layer, TOP_EDGES)
    tokens = _normal(layer, count, draw) * 2.0**-115  # so that the products stay in float32's range
    # CPUs' bfloat16 dot products read subnormal inputs as zero, which these weights would make visible; subnormals
    # have a regime of their own.
    tokens[tokens.abs() < 2.0**-120] = 0.0
    return Workload("scale-top", edged, tokens, _normal(layer, count, draw, 32.0))


@_regime(
    "scale-beyond",
    "scale bytes 253, 254 and 255: beyond float32, and NaN by the standard; no checkpoint has them",
    needs_mxfp4=True,
    unreal=True,
)
def _scale_beyond(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    # In rows of down, so that all other channels of the result stay numbers and are judged.
    edged = _with_edge_rows(layer, BEYOND_EDGES, "down")
    if isinstance(edged.down, MxTensor):
        blocks = edged.down.blocks.clone()
        blocks[:, : 2 * len(BEYOND_EDGES), 0, 0] = 0x77  # 6 and 6: infinite in float32 with either byte
        edged = edged.changed(down=MxTensor(blocks, edged.down.scales))
    return Workload("scale-beyond", edged, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


@_regime("router-ties", "experts in threes with equal router rows: any choice among equals is right")
def _ties(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    leader = torch.arange(layer.shape.experts, device=layer.device) // 3 * 3
    tied = layer.changed(router=layer.router[leader], router_bias=layer.router_bias[leader])
    return Workload("router-ties", tied, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


@_regime("one-expert", "every token gives one expert all its weight")
def _one_expert(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    bias = layer.router_bias.clone()
    bias[layer.shape.experts // 2] += 64.0
    loaded = layer.changed(router_bias=bf16(bias))
    return Workload("one-expert", loaded, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


@_regime("empty-experts", "half of the experts receive no token")
def _empty(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    bias = layer.router_bias.clone()
    bias[1::2] = -8192.0
    emptied = layer.changed(router_bias=bias)
    return Workload("empty-experts", emptied, _normal(layer, count, draw), _normal(layer, count, draw, 32.0))


def _few(count: int) -> None:
    @_regime(
        f"{count}-token" + ("s" if count > 1 else ""),
        "a decoding step" if count < 3 else "an odd count",
        count,
    )
    def _few_tokens(layer: LayerWeights, tokens: int, draw: torch.Generator) -> Workload:
        name = f"{count}-token" + ("s" if count > 1 else "")
        return Workload(name, layer, _normal(layer, tokens, draw), _normal(layer, tokens, draw, 32.0))


for _count in (1, 2, 17):
    _few(_count)


@_regime(
    "outlier-rows",
    "planted rows at published magnitudes: |down| 7.9e4, |combined| 5.7e4, |residual| 8.7e4",
    least=6,  # two for the first magnitude and four for the others
    needs_mxfp4=True,
)
def _outlier_rows(layer: LayerWeights, count: int, draw: torch.Generator) -> Workload:
    tokens, residual = _normal(layer, count, draw), _normal(layer, count, draw, 32.0)
    with torch.no_grad():
        routing = reference.route(layer, tokens)
        pairs = Pairs.of(routing.indices, layer.shape.experts)
        hidden = reference.swiglu(reference.linear(layer, "gate_up", tokens[pairs.token], pairs), layer.shape)
    if not isinstance(layer.down, MxTensor):
        raise UsageError("the regime outlier-rows plants MXFP4 rows, so it needs MXFP4 weights")
    blocks, scales = layer.down.blocks.clone(), layer.down.scales.clone()
    bias = layer.down_bias.clone()
    # Two tokens whose strongest expert alone exceeds float16 before its routing weight, but not after it: tokens
    # whose strongest weight is clearly below 65504 / 79000. Four whose experts agree on 5.7e4, and whose residual
    # then takes the sum beyond it.
    strongest = routing.weights.amax(1)
    order = torch.argsort(strongest).tolist()
    before = [t for t in order if float(strongest[t]) < 0.75][: min(2, max(1, count // 3))]
    after = [t for t in range(count) if t not in before][: min(4, max(0, count - len(before)))]
    channels = torch.randperm(layer.shape.hidden, generator=draw, device=layer.device)[:6].tolist()
    for place, token in enumerate(before + after):
        channel = channels[place]
        rows = (pairs.token == token).nonzero().flatten().tolist()
        if place < len(before):
            rows = [max(rows, key=lambda r: float(routing.weights[token, pairs.slot[r]]))]
            residual[token, channel] = 0.0
        else:
            residual[token, channel] = 30208.0  # a bfloat16 number
        for row in rows:
            expert = int(pairs.expert[row])
            target = 79000.0 if place < len(before) else 57000.0
            blocks[expert, channel], scales[expert, channel] = aligned_row(hidden[row], target)
            bias[expert, channel] = 0.0
    planted = layer.changed(down=MxTensor(blocks, scales), down_bias=bias)
    return Workload("outlier-rows", planted, tokens, residual)


def aligned_row(hidden: torch.Tensor, target: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one MXFP4 row whose product with `hidden` (K,) is just below `target`: blocks (n, 16), scales (n,)."""
    size = hidden.abs().double()
    total = float(size.sum())
    exponent = 0
    while 4.0 * 2.0**exponent * total > target:
        exponent -= 1
    while 4.0 * 2.0 ** (exponent + 1) * total <= target:
        exponent += 1
    # All at 4 is at most the target and all at 8 above it; a share at 6 covers up to 1.5 times, else halve at 3..6.
    low, high = (4.0, 6.0) if 6.0 * 2.0**exponent * total >= target else (3.0, 4.0)
    if low == 3.0:
        exponent += 1
    unit = 2.0**exponent
    cumulative = size.cumsum(0)
    raised = low * unit * total + (high - low) * unit * cumulative <= target
    magnitude = torch.where(raised, high, low)
    codes = torch.zeros_like(hidden, dtype=torch.uint8)
    for code, value in enumerate(E2M1[:8]):
        codes[magnitude == value] = code
    codes = codes + 8 * (hidden < 0)
    scales = torch.full((hidden.shape[0] // BLOCK,), 127 + exponent, dtype=torch.uint8, device=hidden.device)
    return pack(codes.to(torch.uint8).unflatten(0, (-1, BLOCK))), scales
