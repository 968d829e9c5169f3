"""`python -m tools.fuzz [READER…] --mutations N --seed S`: read mutated files; exit 1 when a reader broke."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.fuzz.readers import READERS
from tools.fuzz.run import fuzz


def main() -> int:
    """Fuzz the readers asked for, all by default, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}; default: all")
    parser.add_argument("--mutations", type=int, default=2_000, help="mutated files for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that broke a reader")
    options = parser.parse_args()
    if unknown := [name for name in options.readers if name not in READERS]:
        parser.error(f"no reader is called {unknown[0]!r}; known are {', '.join(READERS)}")
    broken = 0
    for name in options.readers or READERS:
        result = fuzz(name, READERS[name], options.mutations, options.seed)
        print(result, flush=True)
        for number, fault in enumerate(result.faults):
            broken += 1
            print(f"  {json.dumps(fault.what)}", flush=True)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{name}-{number}").write_bytes(fault.data)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
