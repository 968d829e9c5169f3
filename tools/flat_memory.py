"""`python -m tools.flat_memory --cases N`: check the reference; exit 1 when memory grew after 10,000 cases."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

from conformance.campaign.check import check
from conformance.campaign.listener import Silent
from conformance.campaign.settings import Settings
from conformance.resources import resource
from conformance.sources import Provenance, Template
from conformance.targets.base import Target

# Generators, caches and the allocator's arenas have their size by then.
SETTLED = 10_000
GROWTH_MB = 50


class Watch(Silent):
    """Notes the resident memory, in MB, of the judging process and of the processes below it, every so many cases."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._begin = time.monotonic()
        self.noted: list[tuple[int, int, int]] = []

    def progress(self, target: Target, done: int, total: int) -> None:
        """Look at the memory when enough cases were judged since the last look."""
        if not self.noted or done >= self.noted[-1][0] + self._every or done == total:
            self.look(done)

    def look(self, done: int) -> None:
        """Note and print the memory after so many cases."""
        parents = {pid: (parent, resident) for pid, parent, resident in _processes()}
        own = int(Path("/proc/self").readlink().name)
        below = {own}
        for pid in sorted(parents):
            if parents[pid][0] in below:
                below.add(pid)
        judging = parents[own][1] >> 20
        rest = sum(parents[pid][1] for pid in below - {own}) >> 20
        self.noted.append((done, judging, rest))
        seconds = time.monotonic() - self._begin
        print(f"{done:>10,} cases  {judging:>5} MB  workers {rest:>5} MB  {seconds:>6.0f} s", flush=True)


def _processes() -> list[tuple[int, int, int]]:
    """Return id, parent and resident bytes of all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                pages = int((entry / "statm").read_text().split()[1])
            except (OSError, ValueError, IndexError):
                continue  # it has ended
            found.append((int(entry.name), parent, pages * 4096))
    return found


def main() -> int:
    """Print the memory as the check goes on, and at its end what it grew by."""
    parser = argparse.ArgumentParser(prog="python -m tools.flat_memory", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, help="end early, and say how many cases it were")
    parser.add_argument("--engine", default="jinja2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    text = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    target = Template(
        "gpt-oss",
        text,
        digest,
        Provenance(kind="file", location="gpt-oss.jinja"),
        harmony=True,
    )
    settings = Settings(
        seed=options.seed, cases=options.cases, engines=(options.engine,), seconds=options.seconds
    )
    watch = Watch(SETTLED)
    report = check([target], settings, watch)
    watch.look(report.run.cases)
    counts = report.targets[0].cases
    settled = next((noted for noted in watch.noted if noted[0] >= SETTLED), None)
    if settled is None:
        print(f"only {report.run.cases:,} cases: too few to say anything")
        return 1
    grew = [max(noted[part] for noted in watch.noted) - settled[part] for part in (1, 2)]
    print(
        f"{report.run.cases:,} cases of the reference on {options.engine}, seed {options.seed}: "
        f"{counts.equal:,} equal, {counts.inexpressible:,} inexpressible, {counts.different:,} different; after the "
        f"first {settled[0]:,} memory grew by at most {grew[0]} MB, that of the workers by {grew[1]} MB"
    )
    return int(max(grew) > GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
