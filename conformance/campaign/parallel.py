"""Share a campaign out to several processes: each makes its own cases again from their numbers.

Results are merged in the order of the cases, so that the report is the same whatever `jobs` is. The processes are
started once for a campaign: each loads the authority and an engine of its own, which takes as long as a thousand cases.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.util import Finalize
from typing import cast

from conformance.campaign.runner import Runner, Settings, Workload
from conformance.campaign.tally import Part
from conformance.engines.base import Engine, register, registered
from conformance.errors import UnjudgedError
from conformance.generate import Hints
from conformance.launch import close_to_others
from conformance.targets.base import Target

# Small enough that no process waits long for another at the end, large enough that few batches are short.
_LEAST, _MOST = 64, 512
_REPLACED = 3  # times in a row that all processes are started again
_GRACE_S = 10.0  # for idle processes to end by themselves; all that they found is here
_AHEAD = 2  # chunks that wait for each process, so that none runs dry

_runner: Runner | None = None
_targets: Sequence[Target] = ()


def _begin(settings: Settings, targets: Sequence[Target], own: Sequence[type[Engine]]) -> None:
    global _runner, _targets
    close_to_others()
    # What is typed or hung up reaches the whole group; the parent decides what happens then.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
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


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Cases for one process: from `start` up to `stop`, on targets of these numbers; what is known of them by now."""

    numbers: Sequence[int]
    start: int
    stop: int
    hints: Hints
    source: Workload | None
    deadline: float | None
    errors: dict[int, str]
    given_up: set[tuple[int, str]]


def _run(chunk: _Chunk) -> Part:
    assert _runner is not None
    targets = [_targets[number] for number in chunk.numbers]
    part = _runner.new_part(targets)
    part.errors.update(chunk.errors)
    part.given_up |= chunk.given_up
    return _runner.run(
        targets,
        chunk.start,
        chunk.stop,
        part=part,
        hints=chunk.hints,
        source=chunk.source,
        deadline=chunk.deadline,
    )


class Pool:
    """The processes that judge a campaign's targets; they start with the first cases, and `close` ends them."""

    def __init__(self, settings: Settings, targets: Sequence[Target]) -> None:
        self._settings = settings
        self._targets = targets
        self._executor: ProcessPoolExecutor | None = None
        self._others: set[int | None] = set()

    def start(self) -> ProcessPoolExecutor:
        """Start the processes."""
        if self._executor is None:
            self._others = {process.pid for process in multiprocessing.active_children()}
            self._executor = ProcessPoolExecutor(
                self._settings.jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._settings, self._targets, registered(self._settings.engines)),
            )
        return self._executor

    def close(self, *, at_once: bool = False) -> None:
        """End the processes: those that are idle by themselves, `at_once` those that judge too."""
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        mine = [each for each in multiprocessing.active_children() if each.pid not in self._others]
        if at_once:
            for process in mine:
                process.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        # One that is killed while it waits takes the lock of the queue with it, and another never hears that it can go.
        waiting = {process.sentinel: process for process in mine}
        until = time.monotonic() + _GRACE_S
        while waiting and (ended := wait(list(waiting), max(0.0, until - time.monotonic()))):
            for sentinel in ended:
                del waiting[cast(int, sentinel)]
        for process in waiting.values():
            process.kill()
        for process in mine:
            process.join()

    def _submit(self, chunk: _Chunk) -> Future[Part]:
        try:
            return self.start().submit(_run, chunk)
        except BrokenProcessPool as error:
            failed: Future[Part] = Future()
            failed.set_exception(error)
            return failed

    def run(
        self,
        numbers: Sequence[int],
        part: Part,
        start: int,
        stop: int,
        *,
        hints: Hints,
        source: Workload | None = None,
        deadline: float | None = None,
        on_merged: Callable[[], None] | None = None,
    ) -> None:
        """Judge the cases from `start` up to `stop` on the targets of these numbers; merge what is found into `part`.

        `source` gives other cases than the generator. `deadline` is a time.monotonic() to end at; `on_merged` is
        called after each merge. What was merged before an interruption stays in `part`. Processes that somebody ended
        are replaced, and their cases judged again.
        Raises UnjudgedError when they keep ending.
        """
        size = max(_LEAST, min(_MOST, (stop - start) // (self._settings.jobs * 8)))
        starts = iter(range(start, stop, size))
        waiting: deque[tuple[_Chunk, Future[Part]]] = deque()
        broken = 0
        while True:
            while len(waiting) < self._settings.jobs * _AHEAD:
                late = deadline is not None and time.monotonic() >= deadline
                first = None if late or len(part.errors) == len(numbers) else next(starts, None)
                if first is None:
                    break
                state = dict(part.errors), set(part.given_up)
                chunk = _Chunk(numbers, first, min(first + size, stop), hints, source, deadline, *state)
                waiting.append((chunk, self._submit(chunk)))
            if not waiting:
                return
            try:
                found = waiting[0][1].result()
            except BrokenProcessPool:
                broken += 1
                if broken > _REPLACED:
                    raise UnjudgedError(
                        f"The processes of --jobs {self._settings.jobs} keep ending from outside; is there memory for "
                        "so many?"
                    ) from None
                self.close(at_once=True)
                waiting = deque((chunk, self._submit(chunk)) for chunk, _ in waiting)
                continue
            except BaseException:
                self.close(at_once=True)
                raise
            broken = 0
            waiting.popleft()
            part.merge(found)
            if on_merged is not None:
                on_merged()
