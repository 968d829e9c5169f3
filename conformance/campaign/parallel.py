"""Share a campaign out to several processes: each makes its own cases again from their numbers.

Results are merged in the order of the cases, so that the report is the same whatever `jobs` is. The processes are
started once for a campaign: each loads the authority and an engine of its own, which takes as long as a thousand cases.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.util import Finalize

from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings, Workload
from conformance.campaign.tally import Part
from conformance.engines.base import Engine, register, registered
from conformance.generate import Hints
from conformance.processes import Processes
from conformance.targets.base import Target

# Small enough that no process waits long for another at the end, large enough that few batches are short.
_LEAST, _MOST = 64, 512
_AHEAD = 2  # chunks that wait for each process, so that none runs dry

_runner: Runner | None = None
_targets: Sequence[Target] = ()


def _begin(settings: Settings, targets: Sequence[Target], own: Sequence[type[Engine]]) -> None:
    global _runner, _targets
    for engine in own:
        register(engine)
    _runner = Runner(settings)
    _targets = targets
    Finalize(None, _runner.close, exitpriority=10)


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
        self._processes: Processes | None = None

    def close(self, *, at_once: bool = False) -> None:
        """End the processes: those that are idle by themselves, `at_once` those that judge too."""
        if self._processes is not None:
            processes, self._processes = self._processes, None
            if at_once:
                processes.kill()
            else:
                processes.shutdown()

    def _submit(self, chunk: _Chunk) -> Future[Part]:
        if self._processes is None:
            own = registered(self._settings.engines)
            self._processes = Processes(self._settings.jobs, _begin, (self._settings, self._targets, own))
        return self._processes.submit(_run, chunk)

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
        waiting: deque[Future[Part]] = deque()
        while True:
            while len(waiting) < self._settings.jobs * _AHEAD:
                late = deadline is not None and time.monotonic() >= deadline
                first = None if late or len(part.errors) == len(numbers) else next(starts, None)
                if first is None:
                    break
                state = dict(part.errors), set(part.given_up)
                chunk = _Chunk(numbers, first, min(first + size, stop), hints, source, deadline, *state)
                waiting.append(self._submit(chunk))
            if not waiting:
                return
            try:
                found = waiting.popleft().result()
            except BaseException:
                self.close(at_once=True)
                raise
            part.merge(found)
            if on_merged is not None:
                on_merged()
