"""`python -m tools.attacks`: judge hostile templates on every engine, and write reports/attacks.md from what came."""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import sys
import time
from pathlib import Path

import msgspec

from conformance.engines.base import engine_names, get_engine
from tools.attacks.report import page
from tools.attacks.run import CASES, Outcome, attack
from tools.attacks.templates import ATTACKS

_KEPT = Path("reports/attacks.json")


def main() -> int:
    """Run the attacks; exit 1 when one was not contained."""
    parser = argparse.ArgumentParser(prog="python -m tools.attacks", description=__doc__)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)}; default: all")
    parser.add_argument(
        "--engine", action="append", metavar="NAME", help="repeatable; default: all that work here"
    )
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument(
        "--write", action="store_true", help="put the outcomes into reports/attacks.*, beside others"
    )
    parser.add_argument("--missing", action="store_true", help="only those that reports/attacks.json lacks")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin none after so long")
    options = parser.parse_args()
    if unknown := [name for name in options.attacks if name not in ATTACKS]:
        parser.error(f"no attack is called {unknown[0]!r}")
    bad = 0
    until = time.monotonic() + 60 * options.minutes
    for engine in options.engine or [name for name in engine_names() if get_engine(name).available() is None]:
        for name in options.attacks or ATTACKS:
            if time.monotonic() > until or (options.missing and (name, engine) in _known()):
                continue
            outcome = attack(ATTACKS[name], engine, cases=options.cases)
            bad += not outcome.contained
            print(f"{'ok ' if outcome.contained else 'BAD'} {name:<28} {engine:<14} {outcome}", flush=True)
            if options.write:
                _keep(outcome)
    return int(bad > 0)


def _known() -> dict[tuple[str, str], Outcome]:
    known = msgspec.json.decode(_KEPT.read_bytes(), type=list[Outcome]) if _KEPT.is_file() else []
    return {(one.attack, one.engine): one for one in known}


def _keep(outcome: Outcome) -> None:
    """Put one outcome into the reports, beside all others; runs may go on side by side, one for each engine."""
    folder = os.open(_KEPT.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        kept = _known() | {(outcome.attack, outcome.engine): outcome}
        rows = sorted(kept.values(), key=lambda one: (list(ATTACKS).index(one.attack), one.engine))
        _KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
        _KEPT.with_suffix(".md").write_text(page(rows), encoding="utf-8")
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
