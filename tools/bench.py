"""Time a campaign as a ratio to the bare renders of the same cases, in one process and one run.

Ratios hold where seconds do not: machines are noisy. `nox -s bench` runs this.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from conformance.campaign.check import check
from conformance.campaign.runner import Runner, Settings
from conformance.engines.in_process import InProcessHost
from conformance.errors import UsageError
from conformance.sources import Template, resolve


def _seconds(begin: float) -> float:
    return time.perf_counter() - begin


def measure(template: Template, cases: int, seed: int) -> dict[str, float]:
    """Return seconds for the bare oracle and template renders and for the campaign over the same cases.

    The template runs in this process, so it has to be a trusted one.
    """
    with Runner(
        Settings(cases=cases, seed=seed), hosts={"transformers": InProcessHost("transformers")}
    ) as runner:
        drawn = [item for item in map(runner.drawn, range(cases)) if item.lost is None]
        requests = [item.shape.request(item.case) for item in drawn]
        host = runner.hosts["transformers"]
        host.collect(host.submit(template.text, requests[:1]))
        begin = time.perf_counter()
        for item in drawn:
            runner.judge.oracle.render(item.case)
        oracle = _seconds(begin)
        begin = time.perf_counter()
        host.collect(host.submit(template.text, requests))
        engine = _seconds(begin)
        begin = time.perf_counter()
        part = runner.run([template], 0, cases)
        campaign = _seconds(begin)
    return {
        "oracle": oracle,
        "template": engine,
        "campaign": campaign,
        "different": part.tallies[0].counts["different"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios for one template; the exit code is 0 whatever they are."""
    parser = argparse.ArgumentParser(prog="tools.bench", description=__doc__)
    parser.add_argument("target", nargs="?", default="openai-gpt-oss-120b")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="the median round is printed")
    chosen = parser.parse_args(arguments)
    try:
        template = resolve(chosen.target)[0]
    except UsageError as error:
        parser.error(str(error))
    rounds = [measure(template, chosen.cases, chosen.seed) for _ in range(chosen.rounds)]
    rounds.sort(key=lambda found: found["campaign"] / (found["oracle"] + found["template"]))
    found = rounds[len(rounds) // 2]
    bare = found["oracle"] + found["template"]
    print(
        f"{template.name}: {chosen.cases} cases, {found['different']:.0f} differing, median of {chosen.rounds} rounds"
    )
    print(f"  bare oracle    {found['oracle']:.2f} s")
    print(f"  bare template  {found['template']:.2f} s")
    ratios = ", ".join(f"{r['campaign'] / (r['oracle'] + r['template']):.2f}" for r in rounds)
    print(
        f"  campaign       {found['campaign']:.2f} s = {found['campaign'] / bare:.2f} x bare (rounds: {ratios})"
    )
    begin = time.perf_counter()
    report = check([template], Settings(cases=chosen.cases, seed=chosen.seed))
    whole = _seconds(begin)
    begin = time.perf_counter()
    check([template], Settings(cases=chosen.cases, seed=chosen.seed), shrink=False)
    without = _seconds(begin)
    rules = len(report.targets[0].divergences)
    print(f"  check in a worker, with shrinking {whole:.2f} s, without {without:.2f} s, {rules} rules")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
