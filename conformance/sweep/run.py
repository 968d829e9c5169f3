"""Run a sweep: what is not judged yet goes to an executor in pieces, and comes into the store as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from conformance.sources import Template
from conformance.sweep.store import Store
from conformance.sweep.unit import Piece, Record, judge

_TOGETHER = 4  # templates of a piece, which share the start of an engine
_AHEAD = 3  # pieces that wait for each worker


def pieces(
    templates: Sequence[Template],
    engines: Sequence[str],
    done: set[tuple[str, str, str]],
    *,
    seed: int,
    cases: int,
    profile: str,
) -> Iterator[Piece]:
    """Yield what is still to be judged, engine by engine."""
    for engine in engines:
        left = [each for each in templates if (each.name, engine, each.sha256) not in done]
        for first in range(0, len(left), _TOGETHER):
            batch = left[first : first + _TOGETHER]
            yield Piece(engine=engine, templates=batch, seed=seed, cases=cases, profile=profile)


def run(
    waiting: Iterator[Piece],
    store: Store,
    executor: Executor,
    workers: int,
    on_done: Callable[[Sequence[Record]], None],
) -> None:
    """Judge pieces on any executor of `concurrent.futures`, `workers` of them at once; keep what each returns."""
    futures: set[Future[list[Record]]] = set()
    more = True
    while more or futures:
        while more and len(futures) < workers * _AHEAD:
            piece = next(waiting, None)
            more = piece is not None
            if piece is not None:
                futures.add(executor.submit(judge, piece))
        ready, futures = wait(futures, return_when=FIRST_COMPLETED)
        for future in ready:
            records = future.result()
            store.add(records)
            on_done(records)
