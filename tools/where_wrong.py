"""Where a kernel is wrong in a batch: `python -m tools.where_wrong KERNEL COUNT [COUNT …] [--scan N] [--json FILE]`.

Each count is called on the tokens that the sweep gives it: first of all in a process, repeated, without poison,
after the smaller counts, on other tokens. What is wrong is told by token, by expert, by the place of a pair among its
expert's, by channel; and whether the activation was wrong already. With `--scan` each count is called on N slices of
the tokens instead, and a slice that came out wrong four times more: as before, and in memory that was given back first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from conformance.precision.judging.examine import Workbench
from conformance.precision.judging.properties import SWEEP_LIMIT, sweep_counts
from conformance.precision.model import regimes
from conformance.precision.model.poison import poisoned, synchronise
from conformance.precision.model.reference import Pairs, Routing
from conformance.precision.model.shape import preset
from conformance.precision.model.synthetic import synthetic_layer
from conformance.precision.paths.adapters import named_kernel

OFF = 0.05  # relative error of a row from which it is wrong: rounding stays below 0.02


class Scene:
    """A kernel on the sweep's tokens with the reference's trace."""

    def __init__(self, kernel: str, shape: str, device: str, limit: int) -> None:
        layer = synthetic_layer(preset(shape), 0, torch.device(device))
        self.layer = replace(layer, cache_bytes=8 << 30)
        self.limit = limit + 1
        self.bench = Workbench.of(regimes.build(regimes.REGIMES["gaussian"], self.layer, self.limit, 0))
        self.runner: Any = named_kernel(kernel, {}).prepare(self.layer)
        trace = self.bench.trace
        self.hidden = torch.zeros(
            (*trace.routing.indices.shape, trace.hidden.shape[1]), device=trace.hidden.device
        )
        self.hidden[trace.pairs.token, trace.pairs.slot] = trace.hidden

    def start(self, count: int) -> int:
        """Return where the sweep begins the tokens of a count."""
        return sweep_counts(self.limit).index(count) * 37 % (self.limit - count + 1)

    def call(self, count: int, start: int, poison: bool = True) -> dict[str, Any]:
        """Return what is wrong with one call."""
        part = slice(start, start + count)
        trace = self.bench.trace
        routing = Routing(
            *(t[part].clone() for t in (trace.routing.logits, trace.routing.indices, trace.routing.weights))
        )
        tokens = self.bench.workload.tokens[part].clone()
        with poisoned() if poison else contextlib.nullcontext():
            found = self.runner._call(tokens, routing)
            synchronise(tokens.device)
        truth = trace.combined[part]
        error = found["result"].float() - truth
        by_token = error.norm(dim=1) / truth.norm(dim=1)
        wrong = (by_token > OFF).nonzero().flatten()
        said: dict[str, Any] = {
            "count": count,
            "start": start,
            "poisoned": poison,
            "normwise": float(error.norm() / truth.norm()),
            "wrong_tokens": wrong.tolist()[:40],
            "wrong_tokens_count": len(wrong),
            "their_errors": [round(float(e), 4) for e in by_token[wrong][:8]],
        }
        if not len(wrong):
            return said
        channels = (error[wrong].abs() > OFF * truth[wrong].abs().mean()).sum(0)
        said["channels_with_errors"] = int((channels > 0).sum())
        experts = self.layer.shape.experts
        counts = torch.bincount(routing.indices.flatten(), minlength=experts)
        said["pairs_by_expert"] = counts.tolist()
        said["experts_of_wrong_tokens"] = torch.bincount(
            routing.indices[wrong].flatten(), minlength=experts
        ).tolist()
        if "hidden" in found:
            said |= self._pairs(found["hidden"], part, routing, experts)
        return said

    def _pairs(self, hidden: torch.Tensor, part: slice, routing: Routing, experts: int) -> dict[str, Any]:
        truth = self.hidden[part]
        off = (hidden.float() - truth).norm(dim=2) / truth.norm(dim=2).clamp_min(1e-6)
        pairs = Pairs.of(routing.indices, experts)
        errors = off[pairs.token, pairs.slot]
        places = torch.empty_like(pairs.token)
        for _, first, stop in pairs.ranges:
            places[first:stop] = torch.arange(stop - first, device=places.device)
        bad = (errors > OFF).nonzero().flatten()
        far = (hidden.float() - truth)[pairs.token[bad], pairs.slot[bad]].abs()
        columns = (far > OFF * truth.abs().mean()).sum(0)
        worst = columns.topk(min(24, len(columns))) if len(bad) else None
        return {
            "wrong_activations": len(bad),
            "wrong_channels": int((columns > 0).sum()),
            "channel_wrong_in_pairs": list(zip(worst.indices.tolist(), worst.values.tolist(), strict=True))
            if worst
            else [],
            "as_expert_place_error": [
                [int(pairs.expert[i]), int(places[i]), round(float(errors[i]), 3)] for i in bad[:60].tolist()
            ],
        }


def scenes(kernel: str, count: int, shape: str, device: str, limit: int) -> list[dict[str, Any]]:
    """Return the calls of one count in a fresh process, in the order of the module's first lines."""
    with torch.inference_mode():
        scene = Scene(kernel, shape, device, limit)
        start = scene.start(count) if count in sweep_counts(scene.limit) else 0
        found = [{"what": "first of all", **scene.call(count, start)}]
        found.append({"what": "repeated", **scene.call(count, start)})
        found.append({"what": "not poisoned", **scene.call(count, start, poison=False)})
        for smaller in [n for n in sweep_counts(scene.limit) if n < count]:
            scene.call(smaller, scene.start(smaller))
        found.append({"what": "after the smaller counts", **scene.call(count, start)})
        for other in sorted({0, 1, 100, start + 1, scene.limit - count} - {start}):
            if other + count <= scene.limit:
                found.append({"what": "other tokens", **scene.call(count, other)})
        return found


def scanned(
    kernel: str, count: int, shape: str, device: str, limit: int, slices: int
) -> list[dict[str, Any]]:
    """Return how many of so many slices of the tokens came out wrong, and each of those in full with its repeats."""
    with torch.inference_mode():
        scene = Scene(kernel, shape, device, limit)
        last = scene.limit - count
        starts = sorted({round(i * last / max(1, slices - 1)) for i in range(slices)})
        wrong = []
        for start in starts:
            first = scene.call(count, start)
            if not first["wrong_tokens_count"]:
                continue
            again = [scene.call(count, start)["wrong_tokens_count"] for _ in range(3)]
            if device == "cuda":
                torch.cuda.empty_cache()
            again.append(scene.call(count, start)["wrong_tokens_count"])
            wrong.append({**first, "repeats_wrong_tokens": again})
    summary = {
        "what": "scan",
        "kernel": kernel,
        "count": count,
        "slices": len(starts),
        "wrong_slices": len(wrong),
    }
    return [summary, *wrong[:4]]


def main() -> None:
    """Call every count in a process of its own and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel")
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--preset", default="gpt-oss-20b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=int, default=SWEEP_LIMIT)
    parser.add_argument("--scan", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    if len(given.counts) == 1:
        asked = (given.kernel, given.counts[0], given.preset, given.device, given.limit)
        found = scanned(*asked, given.scan) if given.scan else scenes(*asked)
        print(json.dumps(found))
        return
    every = []
    for count in given.counts:
        words = [sys.executable, "-m", "tools.where_wrong", given.kernel, str(count), "--preset", given.preset,
                 "--device", given.device, "--limit", str(given.limit), "--scan", str(given.scan)]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        every.append(
            json.loads(lines[-1]) if lines and not done.returncode else {"failed": done.stderr[-800:]}
        )
        for call in every[-1] if isinstance(every[-1], list) else [every[-1]]:
            print(json.dumps(call), flush=True)
        if given.json:
            given.json.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
