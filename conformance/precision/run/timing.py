"""The Triton MXFP4 path against what people do without one, in time, with the share of the card's own rates."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from conformance.precision.model.reference import Pairs
from conformance.precision.model.regimes import bf16
from conformance.precision.model.shape import LayerShape
from conformance.precision.model.synthetic import generator, synthetic_layer
from conformance.precision.paths.registry import all_paths

TOKENS = (1, 64, 1024)
REPEATS = 30
ROTATED = 4  # layers to rotate among, so that a small one's weights do not stay in the cache


def measure(shape: LayerShape, seed: int, device: torch.device) -> dict[str, Any]:
    """Return times in microseconds (median of calls, by device events), ratios and shares of measured rates.

    `call` is a call as a user makes it, launches included; `replayed` is the same work as a captured graph, without
    launch gaps, for the paths that never wait for the device. Weights lie on the device before; the dequantising path
    unpacks its active experts on every call. Layers rotate, so that a decoding step reads memory and not the cache.
    """
    layers = [synthetic_layer(shape, seed + i, device) for i in range(ROTATED)]
    rates = {"bandwidth_bytes_per_s": copy_rate(device), "bfloat16_flop_per_s": matmul_rate(device)}
    # The path that reads packed weights first: the others are multiples of it.
    compared = sorted((p for p in all_paths().values() if p.timed), key=lambda p: not p.packed)
    paths = {path.name: path for path in compared}
    runners: dict[str, list[Any]] = {}
    for name, path in paths.items():
        if path.unsupported(device, layers[0]) is None:
            runners[name] = [path.prepare(layer) for layer in layers]
    results = []
    for tokens in TOKENS:
        draw = generator(seed + tokens, device)
        rows = bf16(torch.randn(tokens, shape.hidden, generator=draw, device=device)).to(torch.bfloat16)
        entry: dict[str, Any] = {"tokens": tokens, "call_us": {}, "replayed_us": {}}
        active = 0.0
        for name, group in runners.items():
            routings = [r.route(rows) for r in group]
            active = sum(len(Pairs.of(r.indices, shape.experts).ranges) for r in routings) / len(routings)
            calls = [_bind(r, rows, routing) for r, routing in zip(group, routings, strict=True)]
            entry["call_us"][name] = time_calls(calls)
            if paths[name].captured:
                planned = [r.planned(rows, routing) for r, routing in zip(group, routings, strict=True)]
                try:
                    entry["replayed_us"][name] = time_replays(planned)
                except RuntimeError as error:  # this version waits for the device somewhere
                    entry.setdefault("not_replayed", {})[name] = str(error).splitlines()[0]
        _add_shares(entry, next(iter(runners)), shape, tokens, active, rates)
        results.append(entry)
    return {"shape": shape.name, "rates": rates, "results": results}


def _bind(runner: Any, rows: torch.Tensor, routing: Any) -> Callable[[], object]:
    return lambda: runner.experts(rows, routing)


def _add_shares(
    entry: dict[str, Any], mine: str, shape: LayerShape, tokens: int, active: float, rates: dict[str, float]
) -> None:
    # Each weight once: half a byte a code and a byte per 32; activations are small beside them.
    packed = active * 3 * shape.hidden * shape.intermediate * (0.5 + 1 / 32)
    work = 2.0 * tokens * shape.top_k * 3 * shape.hidden * shape.intermediate
    entry["active_experts"], entry["packed_bytes"], entry["flop"] = active, packed, work
    for kind in ("call_us", "replayed_us"):
        times = entry[kind]
        if mine in times:
            entry[f"ratio_{kind[:-3]}"] = {n: t / times[mine] for n, t in times.items() if n != mine}
    if mine in entry["replayed_us"]:
        seconds = entry["replayed_us"][mine] * 1e-6
        entry["share_of_bandwidth"] = packed / seconds / rates["bandwidth_bytes_per_s"]
        entry["share_of_matmul_rate"] = work / seconds / rates["bfloat16_flop_per_s"]


def _event_us(run: Callable[[], object]) -> float:
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) * 1000


def time_calls(calls: list[Callable[[], object]]) -> float:
    """Return the median time of a call in microseconds, launches included, rotating among `calls`."""
    for call in calls * 2:
        call()
    torch.cuda.synchronize()
    return median(_event_us(calls[i % len(calls)]) for i in range(REPEATS))


def time_replays(calls: list[Callable[[], object]]) -> float:
    """Return the median time of a call replayed as a captured graph, in microseconds, rotating among `calls`."""
    graphs = []
    for call in calls:
        call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        graphs.append(graph)

    def all_of_them() -> None:
        for graph in graphs:
            graph.replay()

    all_of_them()
    return median(_event_us(all_of_them) for _ in range(REPEATS)) / len(graphs)


def copy_rate(device: torch.device) -> float:
    """Return the bytes read plus written per second by a large copy on the device."""
    source = torch.randint(0, 255, (2 << 30,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    for _ in range(3):
        target.copy_(source)
    return float(
        2 * source.numel() / (median(_event_us(lambda: target.copy_(source)) for _ in range(10)) * 1e-6)
    )


def matmul_rate(device: torch.device) -> float:
    """Return the floating-point operations per second of an 8192^3 bfloat16 product on random data."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    return float(2 * 8192**3 / (median(_event_us(lambda: a @ b) for _ in range(10)) * 1e-6))
