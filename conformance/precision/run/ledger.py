"""What a run keeps of its results, and what becomes of a path that raises: its own FAIL, and nobody else's loss."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from conformance.errors import ConformanceError, UnjudgedError
from conformance.precision.model.poison import synchronise
from conformance.precision.paths.base import MisbehaviourError, PrecisionPath
from conformance.precision.report import PrecisionReport, Row, tidy
from conformance.precision.run.machine import Machine, out_of_memory
from conformance.precision.verdicts import Verdict

MESSAGE = 4000  # characters of an exception that are kept
LOST = 70  # exit code of a worker whose card no longer answers

Tell = Callable[[dict[str, Any]], None]


def unsupported(path: PrecisionPath, regime: str, why: str) -> Row:
    """Return the row of a path that says itself that it cannot do this."""
    return Row(path.name, path.dtype, "all", regime, "isolated", str(Verdict.UNSUPPORTED), True, why)


@dataclass(frozen=True)
class Mark:
    """How far a ledger had come."""

    rows: int
    scores: int
    run: dict[str, Any]


class Ledger:
    """The report of a run as it grows; a worker also tells its parent, `tell` being None in a run of one process."""

    def __init__(
        self, report: PrecisionReport, machine: Machine, first_seed: int, tell: Tell | None = None
    ) -> None:
        self.report, self.machine, self.first_seed, self.tell = report, machine, first_seed, tell
        self.layer: int | None = None  # of a checkpoint, the one being judged
        self.seconds = report.run.setdefault("seconds", {"parts": {}, "paths": {}})

    def mark(self) -> Mark:
        """Return how far it has come, so that work which has to start again counts once."""
        return Mark(len(self.report.rows), len(self.report.scores), dict(self.report.run))

    def back(self, mark: Mark) -> None:
        """Forget what came after a mark."""
        del self.report.rows[mark.rows :]
        del self.report.scores[mark.scores :]
        self.report.run = dict(mark.run)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the seconds of a part of the run."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._count("parts", name, started)

    def _count(self, kind: str, name: str, started: float) -> None:
        spent = self.seconds[kind]
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - started

    def at(self, path: PrecisionPath | None, regime: str = "") -> None:
        """Tell which path is about to be called on what; None: no path is."""
        if self.tell:
            self.tell({"at": [path.name, path.dtype, regime] if path else None})

    def judged(self, path: PrecisionPath, regime: str, judge: Callable[[], list[Row]], seed: int) -> None:
        """Keep the rows that a path gets on a regime; what it raises is its FAIL, with the whole message.

        Raises what is no path's: an error of ours, and memory that ran out under a trusted path.
        """
        self.at(path, regime)
        started = time.perf_counter()
        try:
            try:
                rows = judge()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or path.trusted:
                    raise
                self.machine.empty()  # what we keep of others may have been in its way
                rows = judge()
            self.keep(rows, seed)
        except Exception as error:  # a path is other people's code: whatever it raises is its own verdict
            if isinstance(error, ConformanceError) or (out_of_memory(error) and path.trusted):
                raise
            text = (str(error).strip() or type(error).__name__)[:MESSAGE]
            reason = (
                text
                if isinstance(error, MisbehaviourError)
                else f"the path raised {type(error).__name__}: {text}"
            )
            row = Row(path.name, path.dtype, "all", regime, "isolated", str(Verdict.FAIL), False, reason)
            self.keep([row], seed)
            self._card_answers(path, reason)
        self._count("paths", path.name, started)
        self.at(None)

    def _card_answers(self, path: PrecisionPath, reason: str) -> None:
        """End here when the card no longer answers: after an illegal access nothing in this process can be believed."""
        try:
            synchronise(self.machine.device)
        except Exception as error:
            if self.tell:
                os._exit(LOST)  # the parent knows which path it was, and goes on with the others
            raise UnjudgedError(
                f"{path.name} took the card down ({reason.splitlines()[0]}), so that nothing after it can be judged: "
                "run it in a process of its own, without --isolation none"
            ) from error

    def keep(self, rows: list[Row], seed: int) -> None:
        """Keep all rows of the first seed, and of the others those nobody could expect; count every one."""
        surprising = [r for r in rows if not r.good and not r.expected]
        for row in surprising:
            row.metrics["seed"] = seed
        if self.layer is not None:
            for row in rows:
                row.metrics["layer"] = self.layer
        kept = rows if seed == self.first_seed else surprising
        self.report.rows.extend(kept)
        if self.tell and kept:
            self.tell({"rows": [tidy(asdict(row)) for row in kept]})
        flawed = sum(not r.good and r.verdict != Verdict.UNSUPPORTED for r in rows)
        run = self.report.run
        for name, count in (
            ("rows_judged", sum(r.verdict != Verdict.UNSUPPORTED for r in rows)),
            ("rows_unexpected", len(surprising)),
            ("rows_not_good", flawed),
        ):
            run[name] = run.get(name, 0) + count
