"""`python -m tools.gpu_evidence PART FOLDER`.

`timed` runs the commands one after the other, since what they take is part of what is shown. `planted` runs every
fault in both exposures and the right variants over seeds on all cards, `seeds` the right variants of a tiny layer on
the processor's cores, `beside` the commands whose time does not matter. What runs out of time is named and leaves the
rest whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.gpu_evidence.beside import beside
from tools.gpu_evidence.planted import SEEDS_TINY, planted, seeds
from tools.gpu_evidence.timed import timed


def main() -> None:
    """Read the arguments and do one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("timed", "planted", "seeds", "beside"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=535.0, help="for everything (default 535)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="of timed: a step; of planted: a pattern of staged:NAME, fused:NAME or right:NAME; of beside: a report",
    )
    parser.add_argument("--preset", default=None, help="gpt-oss-20b for planted, tiny for seeds")
    parser.add_argument("--device", default="cuda", help="of planted")
    parser.add_argument("--limit", type=int, default=None, help="of planted: so many of each kind, to try it")
    parser.add_argument("--first", type=int, default=0, help="of seeds")
    parser.add_argument("--count", type=int, default=SEEDS_TINY, help="of seeds")
    parser.add_argument("--workers", type=int, default=1, help="of seeds and beside: cores")
    parser.add_argument("--card", type=int, action="append", default=[], help="of beside; repeatable")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.part == "timed":
        timed(given.folder, given.seconds, given.only)
    elif given.part == "beside":
        beside(given.folder, given.card, given.workers, given.seconds, given.only)
    elif given.part == "seeds":
        seeds(given.folder, given.preset or "tiny", given.first, given.count, given.workers, given.seconds)
    else:
        planted(
            given.folder, given.preset or "gpt-oss-20b", given.device, given.seconds, given.limit, given.only
        )


if __name__ == "__main__":
    main()
