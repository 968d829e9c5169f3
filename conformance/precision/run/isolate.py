"""Paths in processes of their own: what one does to itself, or to its card, ends nobody else's results.

A worker is the ordinary run on some of the paths. It tells, line by line, what it is about to call and what came of
it; when it dies, hangs or runs out of memory, the path that it was calling is that path's FAIL, and the rest goes on.
Ours and libraries' paths share one worker until one of them ends it; anybody else's path has one alone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

from conformance.errors import ConformanceError, UnjudgedError, UsageError
from conformance.precision.config import Config, Progress, command
from conformance.precision.report import PrecisionReport, Row

START_LIMIT_S = 300.0  # to import torch and reach the card
TAIL_BYTES = 600  # of what a worker printed, kept for the message
MEMORY_SHARE = 0.8  # of the machine's memory that a worker on the CPU may take


@dataclass
class Told:
    """What a worker has told so far."""

    at: tuple[str, str, str] | None = None  # path, dtype and regime it is in
    rows: list[Row] = field(default_factory=list)
    report: PrecisionReport | None = None
    error: tuple[str, str] | None = None  # kind and sentence
    printed: bytes = b""
    printed_bytes: int = 0
    began: float = field(default_factory=time.monotonic)
    start_s: float = 0.0  # until it told the first thing
    ended: str = ""  # why it ended before its report


def run_isolated(
    config: Config, groups: list[list[str]], progress: Progress, blank: Callable[[], PrecisionReport]
) -> PrecisionReport:
    """Return one report of all groups of paths, each judged in a process of its own; `blank` gives one without rows.

    Raises UsageError and UnjudgedError as a run does.
    """
    reports: list[PrecisionReport] = []
    started = time.perf_counter()
    for number, group in enumerate(groups):
        first = number == 0
        reports += list(_group(_part(config, group, first), progress))
    if not any(r.environment for r in reports):  # every worker ended before its report
        reports.insert(0, blank())
        reports[0].complete = True
    merged = merge(reports)
    merged.command = command(config)
    merged.run["elapsed_s"] = time.perf_counter() - started
    merged.run["processes"] = len(reports)
    merged.run["kernels"] = list(config.kernels)
    return merged


def _part(config: Config, group: list[str], first: bool) -> Config:
    kernels = tuple(k for k in config.kernels if k in group)
    paths = tuple(p for p in group if p not in kernels)
    whole = {} if first else {"certify_layers": False, "boundary": False, "timing": False}
    return replace(config, paths=paths or ("",), kernels=kernels, isolation="none", **whole)  # type: ignore[arg-type]


def _group(config: Config, progress: Progress) -> Iterator[PrecisionReport]:
    """Yield the reports of a group: one, and one more for each path that ended its worker."""
    while True:
        told = _work(config, progress)
        if told.error:
            kind, sentence = told.error
            raise (UsageError if kind == "usage" else UnjudgedError)(sentence)
        if told.report:
            if told.printed_bytes:
                told.report.run["printed_bytes"] = told.printed_bytes
            told.report.run["seconds"]["parts"]["start of processes"] = told.start_s
            yield told.report
            return
        if told.at is None:
            raise UnjudgedError(f"a worker ended before it called a path ({told.ended}){_tail(told)}")
        name, dtype, regime = told.at
        cut = PrecisionReport({}, {}, [r for r in told.rows if r.path == name], complete=True)
        if not (cut.rows and cut.rows[-1].verdict == "FAIL" and cut.rows[-1].regime == regime):
            # Else it said itself what it did, before its card was lost.
            reason = f"{told.ended}{_tail(told)}"
            cut.rows.append(Row(name, dtype, "all", regime, "isolated", "FAIL", False, reason, {"ended": 1}))
        cut.run = {"rows_judged": len(cut.rows), "rows_unexpected": 1, "rows_not_good": 1}
        yield cut
        left = tuple(p for p in config.paths if p not in (name, "")) or ("",)
        config = replace(config, paths=left, kernels=tuple(k for k in config.kernels if k != name))
        if left == ("",) and not config.kernels:
            return


def _tail(told: Told) -> str:
    text = told.printed.decode("utf-8", "replace").strip()
    return f"; it printed: {text}" if text else ""


def start_server() -> None:
    """Start the process that workers are forked from, which imports torch while this one goes on.

    It touches no card, and a worker is forked from it in milliseconds.
    """
    forkserver.set_forkserver_preload(["conformance.precision.run.preload"])
    forkserver.ensure_running()


def _work(config: Config, progress: Progress) -> Told:
    """Run one worker to its end, its death or its limit."""
    told = Told()
    start_server()
    context = multiprocessing.get_context("forkserver")
    events, theirs = context.Pipe(duplex=False)
    out_read, out_write = os.pipe()
    os.set_inheritable(out_write, True)
    output = Connection(out_read, writable=False)
    process = context.Process(target=_worker, args=(config, theirs, _Sent(out_write)), daemon=True)
    try:
        process.start()
        theirs.close()
        os.close(out_write)
        _listen(process, events, out_read, told, config, progress)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        events.close()
        output.close()
    if told.report is None and told.error is None and not told.ended:
        told.ended = _died(process.exitcode)
    return told


class _Sent:
    """A file descriptor that is duplicated into the worker."""

    def __init__(self, number: int) -> None:
        from multiprocessing.reduction import DupFd

        self.duplicate = DupFd
        self.number = number

    def __getstate__(self) -> Any:
        return self.duplicate(self.number)

    def __setstate__(self, held: Any) -> None:
        self.number = held.detach()


def _listen(
    process: Any, events: Connection, output: int, told: Told, config: Config, progress: Progress
) -> None:
    last = time.monotonic()
    open_output = True
    while True:
        limit = START_LIMIT_S if told.at is None else config.limit_s
        sources: list[Any] = [events, process.sentinel] + ([output] if open_output else [])
        ready = wait(sources, timeout=1.0)
        if output in ready:
            chunk = os.read(output, 1 << 16)
            open_output = bool(chunk)
            told.printed_bytes += len(chunk)
            told.printed = (told.printed + chunk)[-TAIL_BYTES:]
        if events in ready:
            try:
                message = json.loads(events.recv_bytes())
            except (EOFError, OSError):
                process.join(5)
                _drain(output, told)
                return
            last = time.monotonic()
            told.start_s = told.start_s or last - told.began
            _take(message, told, progress)
            if told.report or told.error:
                return
        elif process.sentinel in ready:
            _drain(output, told)
            return
        elif time.monotonic() - last > limit:
            where = "a call of the path" if told.at else "the worker's start"
            told.ended = f"{where} took more than {limit:g} s and was ended"
            _drain(output, told)
            return


def _drain(output: int, told: Told) -> None:
    os.set_blocking(output, False)
    try:
        while chunk := os.read(output, 1 << 16):
            told.printed_bytes += len(chunk)
            told.printed = (told.printed + chunk)[-TAIL_BYTES:]
            if told.printed_bytes > 1 << 28:
                return
    except (BlockingIOError, OSError):
        return


def _take(message: dict[str, Any], told: Told, progress: Progress) -> None:
    if "at" in message:
        told.at = tuple(message["at"]) if message["at"] else None
    elif "rows" in message:
        told.rows += [Row(**row) for row in message["rows"]]
    elif "progress" in message:
        progress(*message["progress"])
    elif "report" in message:
        told.report = PrecisionReport.from_dict(message["report"])
    elif "error" in message:
        told.error = tuple(message["error"])


def _died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"the path ended its process (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"the path's process was ended by {name}{more}"


def _worker(config: Config, events: Connection, output: _Sent) -> None:
    """Run some paths, telling as it goes; everything it prints goes to the parent."""
    os.dup2(output.number, 1)
    os.dup2(output.number, 2)
    os.close(output.number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def tell(message: dict[str, Any]) -> None:
        events.send_bytes(json.dumps(message).encode())

    try:
        from conformance.precision.run.run import Run

        if config.device == "cpu":
            _limit_memory()
        job = Run(config, lambda *what: tell({"progress": what}), tell)
        tell({"report": job.whole().to_dict()})
    except ConformanceError as error:
        tell({"error": ["unjudged" if isinstance(error, UnjudgedError) else "usage", str(error)]})
    sys.stdout.flush()
    os._exit(0)  # a path's own threads and exit handlers are not waited for


def _limit_memory() -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_DATA, (int(whole * MEMORY_SHARE), resource.RLIM_INFINITY))


def merge(reports: list[PrecisionReport]) -> PrecisionReport:
    """Return one report of several, each of which judged other paths; one has the environment."""
    whole = next(r for r in reports if r.environment)
    for other in reports:
        if other is whole:
            continue
        whole.rows += other.rows
        whole.policies += other.policies
        whole.depth += other.depth
        whole.declarations |= other.declarations
        whole.scores += other.scores
        for name, counts in other.histograms.get("paths", {}).items():
            whole.histograms.setdefault("edges", other.histograms["edges"])
            whole.histograms.setdefault("paths", {})[name] = counts
        for key in ("rows_judged", "rows_unexpected", "rows_not_good", "printed_bytes"):
            if key in other.run:
                whole.run[key] = whole.run.get(key, 0) + other.run[key]
        for kind, spent in other.run.get("seconds", {}).items():
            into = whole.run.setdefault("seconds", {}).setdefault(kind, {})
            for name, seconds in spent.items():
                into[name] = into.get(name, 0.0) + seconds
        whole.complete &= other.complete
        if "seconds" in other.reference:
            whole.reference["seconds"] = whole.reference.get("seconds", 0.0) + other.reference["seconds"]
    return whole


def grouped(names: list[tuple[str, bool]], isolation: str) -> list[list[str]]:
    """Return names in groups of a process each, from (name, trusted): the trusted share one unless `each` is asked."""
    if isolation == "each":
        return [[name] for name, _ in names]
    shared = [name for name, trusted in names if trusted]
    return ([shared] if shared else []) + [[name] for name, trusted in names if not trusted]
