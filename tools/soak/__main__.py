"""`python -m tools.soak --minutes N --seed S`: kill and stop processes of running checks; exit 1 when one lied."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

from tools.soak.run import KINDS, adopt_orphans, soak


def main() -> int:
    """Run checks until the time is over, say what became of each, and print a footer."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=400)
    options = parser.parse_args()
    adopt_orphans()
    begin, random = time.monotonic(), Random(options.seed)
    runs = faults = 0
    ended: Counter[str] = Counter()
    hit: Counter[str] = Counter()
    while time.monotonic() < begin + 60 * options.minutes:
        run = soak(random, KINDS[runs % len(KINDS)], options.cases)
        runs += 1
        ended[run.how] += 1
        hit.update(run.hits)
        faults += len(run.faults)
        print(f"{runs:>4} {run}", flush=True)
    minutes = (time.monotonic() - begin) / 60
    print(
        f"soak: {runs} runs in {minutes:.1f} minutes, seed {options.seed}: "
        f"{', '.join(f'{count} {how}' for how, count in sorted(ended.items()))}; "
        f"hit: {', '.join(f'{count} {what}' for what, count in sorted(hit.items())) or 'nothing'}; "
        f"{faults} faults"
    )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
