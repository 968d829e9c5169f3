"""Every fault in both exposures, and the right variants over seeds: what a process asks of one seed's workloads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tools.gpu_evidence.files import write

WORKERS_A_CARD, TOKENS, SCORED, SWEPT = 2, 64, 1024, 4096  # a worker holds 27 GiB of its card
SEEDS_20B, SEEDS_TINY = 5, 200


@cache
def _bench(preset: str, seed: int, device: str) -> Any:
    """Return the workloads of one seed."""
    import torch

    from conformance.precision.model.shape import preset as shape_of
    from conformance.precision.model.synthetic import synthetic_layer
    from conformance.precision.run.exposures import Bench
    from conformance.precision.run.selftest import CACHE_BYTES, EXPERTS

    layer = synthetic_layer(shape_of(preset).with_experts(EXPERTS), seed, torch.device(device))
    tokens = TOKENS if device == "cuda" else 32
    return Bench(replace(layer, cache_bytes=CACHE_BYTES), tokens, SCORED, SWEPT, seed)


def _asked(preset: str, seed: int, device: str, question: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the answer to a question about one seed's workloads, or what it raised; only one seed's are held."""
    import torch

    torch.set_num_threads(1)
    key = (preset, seed, device)
    if key not in _KEPT:
        _bench.cache_clear()
        _KEPT.clear()
        _KEPT.append(key)
    started = time.monotonic()
    try:
        with torch.inference_mode():
            answer = {"answer": question(_bench(*key))}
            if device == "cuda":
                torch.cuda.synchronize()
    except Exception as error:  # whatever a fault raises is told; a card that is gone ends the process
        answer = {"raised": f"{type(error).__name__}: {error}"[:600]}
        if device == "cuda":
            try:
                torch.cuda.synchronize()
            except Exception:
                os._exit(70)
            torch.cuda.empty_cache()
    return {**answer, "seconds": round(time.monotonic() - started, 1)}


_KEPT: list[tuple[str, int, str]] = []


def fault_task(preset: str, device: str, exposure: str, name: str) -> dict[str, Any]:
    """Return what catches one fault in one exposure."""
    from conformance.precision.config import silent
    from conformance.precision.run.exposures import caught, planted

    def question(bench: Any) -> Any:
        return caught([p for p in planted(bench, exposure) if p.path.name == name], bench, silent, exposure)

    return {"exposure": exposure, "name": name, **_asked(preset, 0, device, question)}


def right_task(preset: str, device: str, seed: int, names: list[str] | None) -> dict[str, Any]:
    """Return the accusations against the right variants of one seed; there must be none."""
    from conformance.precision.run.exposures import false_alarms, right_variants

    def question(bench: Any) -> Any:
        paths = [p for p in right_variants(bench) if names is None or p.name in names]
        return {"tried": len(paths), "accused": false_alarms(bench, paths=paths)}

    return {"seed": seed, "names": names, **_asked(preset, seed, device, question)}


def _finished(futures: list[Future[Any]], ends: float) -> Iterator[dict[str, Any]]:
    """Yield results as they come until the time is over; a lost process costs those that its pool had left."""
    waiting = as_completed(futures, timeout=max(1.0, ends - time.monotonic()))
    while True:
        try:
            future = next(waiting)
        except (StopIteration, TimeoutError):
            return
        try:
            yield future.result()
        except Exception as error:  # a pool breaks when one of its processes ends
            yield {"raised": f"{type(error).__name__}: {error}"}


def _on_a_card(cards: Any) -> None:
    """Let this process see one card only, which has to be said before torch is imported."""
    os.environ["CUDA_VISIBLE_DEVICES"] = str(cards.get())


def _end(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def seeds(folder: Path, preset: str, first: int, count: int, workers: int, seconds: float) -> None:
    """Accuse the right variants of a layer on the CPU, seed by seed, and write how many ran."""
    ends = time.monotonic() + seconds
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    numbers = range(first, first + count)
    futures = [pool.submit(right_task, preset, "cpu", seed, None) for seed in numbers]
    found: list[dict[str, Any]] = []
    for result in _finished(futures, ends):
        found.append(result)
        write(folder / f"precision-right-seeds-{first}.json", _right_summary(preset, found))
    _end(pool)
    print(json.dumps(_right_summary(preset, found)))


def _right_summary(preset: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    answered = [r for r in found if "answer" in r]
    return {
        "command": "python -m tools.gpu_evidence",
        "preset": preset,
        "seeds": sorted({r["seed"] for r in answered}),
        "tried": sum(r["answer"]["tried"] for r in answered),
        "accused": [f"seed {r['seed']}: {a}" for r in answered for a in r["answer"]["accused"]],
        "raised": [r for r in found if "raised" in r],
        "seconds": sum(r["seconds"] for r in answered),
    }


def planted(
    folder: Path, preset: str, device: str, seconds: float, limit: int | None, only: list[str]
) -> None:
    """Run every fault in both exposures and the right variants over seeds, on all cards.

    Faults in Triton's source have a process of their own.
    `only` are patterns of `staged:NAME`, `fused:NAME` and `right:NAME`.
    """
    import torch

    from conformance.precision.faults.right import right_paths
    from conformance.precision.faults.triton_source import SOURCE_FAULTS
    from conformance.precision.model.flags import environment
    from conformance.precision.run.exposures import EXPOSURES
    from conformance.precision.run.exposures import planted as all_planted

    ends = time.monotonic() + seconds
    context = get_context("spawn")
    cards = context.Queue()
    places = sorted([*range(max(1, torch.cuda.device_count()))] * WORKERS_A_CARD)
    for card in places:
        cards.put(card)
    names = {e: [p.path.name for p in all_planted(_bench("tiny", 0, device), e)] for e in EXPOSURES}
    source = {f.name for f in SOURCE_FAULTS}
    alone, pool = (
        ProcessPoolExecutor(count, context, initializer=_on_a_card, initargs=(cards,))
        for count in (1, len(places) - 1)
    )
    futures: list[Future[Any]] = []

    def wanted(kind: str, name: str) -> bool:
        return not only or any(fnmatch(f"{kind}:{name}", pattern) for pattern in only)

    for exposure in EXPOSURES:
        for name in [n for n in names[exposure][:limit] if wanted(exposure, n)]:
            where = alone if name in source else pool
            futures.append(where.submit(fault_task, preset, device, exposure, name))
    for seed in range(SEEDS_20B)[:limit]:
        for path in [p for p in right_paths()[:limit] if wanted("right", p.name)]:
            futures.append(pool.submit(right_task, preset, device, seed, [path.name]))
    harmless = [f.name for f in SOURCE_FAULTS if f.harmless and wanted("right", f.name)]
    if device == "cuda" and harmless:
        futures.append(alone.submit(right_task, preset, device, 0, harmless))
    found: list[dict[str, Any]] = []
    report: dict[str, Any] = {
        "command": f"python -m tools.gpu_evidence planted FOLDER --preset {preset}",
        "environment": environment(torch.device(device)),
    }
    for result in _finished(futures, ends):
        found.append(result)
        report |= _planted_summary(preset, found, names)
        write(folder / f"precision-planted-{preset.removeprefix('gpt-oss-')}.json", report)
    for each in (pool, alone):
        _end(each)
    short = {
        e: {k: report["exposures"][e][k] for k in ("planted", "caught", "survivors", "not_run")}
        for e in EXPOSURES
    }
    print(json.dumps({**short, "right": report["right_variants"], "raised": report["raised"]}, indent=1))


def _planted_summary(preset: str, found: list[dict[str, Any]], names: dict[str, list[str]]) -> dict[str, Any]:
    exposures: dict[str, Any] = {}
    for exposure, every in names.items():
        answers = {r["name"]: r["answer"] for r in found if r.get("exposure") == exposure and "answer" in r}
        merged = {
            key: {k: v for a in answers.values() for k, v in a[key].items()} for key in ("by", "survivors")
        }
        exposures[exposure] = {
            "planted": len(every),
            "caught": len(merged["by"]),
            **merged,
            "not_run": sorted(set(every) - set(answers)),
        }
    return {
        "exposures": exposures,
        "right_variants": _right_summary(preset, [r for r in found if "seed" in r]),
        "raised": [r for r in found if "raised" in r],
        "seconds": round(sum(r.get("seconds", 0.0) for r in found), 1),
    }
