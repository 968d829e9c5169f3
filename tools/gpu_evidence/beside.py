"""The commands whose time does not matter: on every card that is left and on the processor's cores, side by side."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

from tools.gpu_evidence.files import write

OF_120B = "--regime gaussian --regime 1-token --regime outlier-rows --regime empty-experts"
# Report, arguments after `conformance precision`; N is the number of a run.
ON_A_CARD = (
    ("precision-120b", f"--preset gpt-oss-120b --depth 0 {OF_120B}", 1),
    ("precision-seeds-20b", "--preset gpt-oss-20b --seeds 4 --depth 0 --seed 1", 1),
    ("precision-timing", "--preset gpt-oss-20b --depth 0 --path torch-float32 --regime 1-token --timing", 1),
    ("precision-selftest", "--preset gpt-oss-20b --selftest", 1),
    ("precision-seeds-triton", "--preset tiny --path 'triton-*' --seeds 20 --seed N000 --depth 0", 10),
)  # fmt: skip
ON_A_CORE = (
    ("precision-seeds-tiny", "--preset tiny --device cpu --seeds 17 --seed N000 --depth 0", 12),
    ("precision-attention-seeds", "attention --preset tiny --device cpu --seeds 10 --seed N0", 10),
    ("precision-exposures", "--preset tiny --selftest --device cpu", 1),
)
WHAT = {
    "precision-seeds-tiny": "all paths that a CPU has over seeds and regimes, tiny dimensions",
    "precision-seeds-triton": "the Triton paths over seeds and regimes, tiny dimensions, on the GPU",
    "precision-attention-seeds": "all attention paths that a CPU has over seeds, tiny dimensions",
}


def beside(folder: Path, cards: list[int], cores: int, seconds: float, only: list[str]) -> None:
    """Run the commands of both kinds, as many at a time as there are cards and cores, until the time is over."""
    ends = time.monotonic() + seconds
    free: Queue[int] = Queue()
    for card in cards:
        free.put(card)

    def one(name: str, arguments: str, number: int, card: bool) -> dict[str, Any] | None:
        place = folder / "parts" / f"{name}-{number}"
        place.mkdir(parents=True, exist_ok=True)
        command = shlex.split(arguments.replace("N", str(number)))
        held = free.get() if card else None
        threads = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": str(held) if card else ""}
        try:
            with (place / "log").open("w", encoding="utf-8") as log:
                code = subprocess.run(
                    [sys.executable, "-m", "conformance.precision", *command, "--output", str(place)],
                    env={**os.environ, **threads},
                    stdout=log,
                    stderr=log,
                    timeout=max(1.0, ends - time.monotonic()),
                    check=False,
                ).returncode
        except subprocess.TimeoutExpired:
            print(f"{name} {number}: no time was left", flush=True)
            return None
        finally:
            if held is not None:
                free.put(held)
        print(f"{name} {number}: exit {code}", flush=True)
        report = place / "precision.json"
        return json.loads(report.read_text(encoding="utf-8")) if report.exists() else None

    with ThreadPoolExecutor(max(1, len(cards))) as on_cards, ThreadPoolExecutor(max(1, cores)) as on_cores:
        running = {
            (name, arguments): [pool.submit(one, name, arguments, n, pool is on_cards) for n in range(count)]
            for pool, steps in (
                (on_cards, ON_A_CARD if cards else ()),
                (on_cores, ON_A_CORE if cores else ()),
            )
            for name, arguments, count in steps
            if not only or name in only
        }
    for (name, arguments), futures in running.items():
        found = [r for f in futures if (r := f.result())]
        if found:
            whole = found[0] if len(futures) == 1 else _together(name, arguments, found)
            write(folder / f"{name}.json", whole)


def _together(name: str, arguments: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of several runs that differ in their seeds alone."""
    runs = [r["run"] for r in found]
    return {
        "schema": found[0]["schema"],
        "command": f"{len(runs)} runs of: conformance precision {arguments}",
        "what": WHAT[name],
        "environment": found[0]["environment"],
        "regimes": sorted({row["regime"] for r in found for row in r["rows"]}),
        "paths": sorted({row["path"] for r in found for row in r["rows"]}),
        "runs": runs,
        **{key: sum(run[key] for run in runs) for key in ("seeds", "rows_judged", "rows_unexpected")},
        "rows": [],
    }
