"""Share a campaign out to several processes: each makes its own cases again from their numbers.

Results are merged in the order of the cases, so that the report is the same whatever `jobs` is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.util import Finalize

from conformance.campaign.runner import Runner, Settings
from conformance.campaign.tally import Part
from conformance.engines.base import Engine, register, registered
from conformance.targets.base import Target

_CHUNK = 250
_AHEAD = 2  # chunks that wait for each process, so that none runs dry

_runner: Runner | None = None
_targets: Sequence[Target] = ()


def _begin(settings: Settings, targets: Sequence[Target], own: Sequence[type[Engine]]) -> None:
    global _runner, _targets
    # Ctrl-C reaches the whole group; the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    for engine in own:
        register(engine)
    _runner = Runner(settings)
    _targets = targets
    Finalize(None, _runner.close, exitpriority=10)


def _end_with(parent: int) -> None:
    """End this process soon after the one that started it, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _run(start: int, stop: int, errors: dict[int, str], given_up: set[tuple[int, str]]) -> Part:
    assert _runner is not None
    part = _runner.new_part(_targets)
    part.errors.update(errors)
    part.given_up |= given_up
    return _runner.run(_targets, start, stop, part=part)


@contextmanager
def _pool(settings: Settings, targets: Sequence[Target]) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(
        settings.jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(settings, targets, registered(settings.engines)),
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_parallel(
    settings: Settings,
    targets: Sequence[Target],
    part: Part,
    start: int,
    stop: int,
    *,
    deadline: float | None = None,
    on_merged: Callable[[], None] | None = None,
) -> None:
    """Judge the cases from `start` up to `stop` in `settings.jobs` processes; merge what they find into `part`.

    `deadline` is a time.monotonic() to end at; `on_merged` is called after each merge. What was merged
    before an interruption stays in `part`.
    """
    starts = iter(range(start, stop, _CHUNK))
    with _pool(settings, targets) as pool:
        waiting: list[Future[Part]] = []
        while True:
            while len(waiting) < settings.jobs * _AHEAD:
                late = deadline is not None and time.monotonic() >= deadline
                chunk = None if late or len(part.errors) == len(targets) else next(starts, None)
                if chunk is None:
                    break
                waiting.append(
                    pool.submit(_run, chunk, min(chunk + _CHUNK, stop), dict(part.errors), set(part.given_up))
                )
            if not waiting:
                return
            part.merge(waiting.pop(0).result())
            if on_merged is not None:
                on_merged()
