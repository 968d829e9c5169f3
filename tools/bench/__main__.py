"""`python -m tools.bench [TARGET]`: what a campaign costs, as ratios, and what other tools do with the same templates.

Ratios within one run hold where seconds do not: machines are noisy. `nox -s bench` runs this.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from conformance.errors import UsageError
from conformance.sources import resolve
from tools import time_to_find
from tools.bench.beside import beside
from tools.bench.cost import blocks, middle, shared, stages, whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; the exit code is 0 whatever they are."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("target", nargs="?", default="templates/gpt-oss.jinja")
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--faults", type=int, default=12, help="planted faults that the tools look for; 0: none"
    )
    chosen = parser.parse_args(arguments)
    try:
        template = resolve(chosen.target)[0]
    except UsageError as error:
        parser.error(str(error))
    found = blocks(template, chosen.cases, chosen.seed)
    each = 1e6 / chosen.cases
    print(f"{template.name}, {chosen.cases} cases, seed {chosen.seed}; µs of processor a case")
    print(f"  bare authority  {sum(block.oracle for block in found) * each:.0f}")
    print(f"  bare template   {sum(block.template for block in found) * each:.0f}")
    print(f"  campaign        {sum(block.campaign for block in found) * each:.0f}")
    print(f"  campaign / bare {middle(found):.2f}, median of {len(found)} blocks", flush=True)
    spent = stages(min(chosen.cases, 600), chosen.seed)
    print(
        "  stages          " + ", ".join(f"{stage} {cost:.0f}" for stage, cost in spent.items()), flush=True
    )
    jobs = shared(template, chosen.cases, chosen.seed)
    print(f"two jobs: {jobs.gain:.2f} x one, {jobs.two_s:.1f} and {jobs.one_s:.1f} s; judging took", end=" ")
    print(f"{jobs.judging_s:.1f} s of processor, rendering {jobs.rendering_s:.1f}:", end=" ")
    print(f"on two cores {jobs.most:.2f} x is the most", flush=True)
    with_s, without_s, rules = whole(template, chosen.cases, chosen.seed)
    print(f"check: {with_s:.1f} s, {without_s:.1f} s without shrinking, {rules} divergences", flush=True)
    if chosen.faults:
        print(
            "\n| tool | conversations judged a second | planted faults found | median until the first finding |"
        )
        print("|---|---|---|---|")
        for one in beside(chosen.faults, chosen.seed):
            print(one, flush=True)
        print("\nconversations until each planted fault is first called by its name; the latest:")
        time_to_find.main(["--seed", str(chosen.seed)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
