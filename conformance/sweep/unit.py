"""One piece of a sweep: some templates on one engine, and the record of each."""

from __future__ import annotations

import atexit
import subprocess
import sys
import threading
from typing import Any

import msgspec

from conformance.campaign.check import check
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.errors import ConformanceError, UsageError
from conformance.report.model import CaseCounts, Target
from conformance.sources import Template

# A thread of somebody else's program has no alarm, so that the work is done in a process that can be ended.
_PIECE_S = 3_600.0


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Templates to be judged on one engine, with the seed and number of the conversations."""

    engine: str
    templates: list[Template]
    seed: int
    cases: int
    profile: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversations show a rule, and the id of the smallest that a campaign of this seed met."""

    rule: str
    cause: str
    severity: str
    count: int
    case_id: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine made of one template; nothing in it depends on when, where or beside what it was judged."""

    target: str
    engine: str
    sha256: str
    verdict: str
    harmony: bool = True
    error: str = ""
    cases: CaseCounts = CaseCounts()
    right: float | None = None
    rules: list[Rule] = []
    cut: list[str] = []


def judge(piece: Piece) -> list[Record]:
    """Return a record for every template of a piece; a template that cannot be judged has one that says why."""
    if threading.current_thread() is not threading.main_thread():
        return _elsewhere(piece)
    return [_record(piece, template) for template in piece.templates]


def _record(piece: Piece, template: Template) -> Record:
    settings = Settings(seed=piece.seed, cases=piece.cases, profile=piece.profile, engines=(piece.engine,))
    try:
        (target,) = check([template], settings, shrink=False, runner=_runner(settings)).targets
    except UsageError as error:  # it compiles nowhere, or is no template
        return Record(
            target=template.name,
            engine=piece.engine,
            sha256=template.sha256,
            verdict="unreadable",
            error=str(error),
        )
    except ConformanceError as error:
        return Record(
            target=template.name,
            engine=piece.engine,
            sha256=template.sha256,
            verdict="error",
            error=str(error),
        )
    return _of(target, piece)


_kept: list[Runner] = []


def _runner(settings: Settings) -> Runner:
    """Return the runner of this process for these settings; the one before is closed, for each has an engine."""
    if not _kept or _kept[0].settings != settings:
        _close()
        _kept.append(Runner(settings))
    return _kept[0]


@atexit.register
def _close() -> None:
    while _kept:
        _kept.pop().close()


def _of(target: Target, piece: Piece) -> Record:
    found = [
        Rule(
            rule=each.rule,
            cause=each.cause,
            severity=each.severity,
            count=each.count,
            case_id=each.example.case_id,
        )
        for each in target.divergences
    ]
    return Record(
        target=target.name,
        engine=piece.engine,
        sha256=target.sha256,
        verdict=target.verdict,
        harmony=target.harmony,
        error=target.error or "",
        cases=target.cases,
        right=target.right_under.get(piece.profile),
        rules=sorted(found, key=lambda each: (-each.count, each.rule, each.cause)) if target.harmony else [],
        cut=target.cut,
    )


def _elsewhere(piece: Piece) -> list[Record]:
    """Judge a piece in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "conformance.sweep.unit"],
        input=msgspec.json.encode(piece),
        capture_output=True,
        timeout=_PIECE_S,
    )
    if done.returncode != 0:
        raise RuntimeError(f"a piece of the sweep ended with {done.returncode}: {done.stderr[-300:]!r}")
    found: list[Record] = msgspec.json.decode(done.stdout, type=list[Record])
    return found


def _main() -> None:
    records: list[Any] = judge(msgspec.json.decode(sys.stdin.buffer.read(), type=Piece))
    sys.stdout.buffer.write(msgspec.json.encode(records))


if __name__ == "__main__":
    _main()
