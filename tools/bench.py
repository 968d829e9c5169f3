"""Time a campaign as a ratio to the bare renders of the same cases, in one process and one run.

Ratios hold where seconds do not: machines are noisy. `nox -s bench` runs this.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from conformance.campaign.check import check
from conformance.campaign.runner import Runner, Settings
from conformance.engines import wire
from conformance.engines.in_process import InProcessHost
from conformance.errors import UsageError
from conformance.generate.coverage import CoverageCounter
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


def stages(cases: int, seed: int) -> dict[str, float]:
    """Return the processor's time for a case, in microseconds, of each stage in the process that judges."""
    with Runner(
        Settings(cases=cases, seed=seed), hosts={"transformers": InProcessHost("transformers")}
    ) as runner:
        judge, counter = runner.judge, CoverageCounter()
        begin = time.process_time()
        found: dict[str, float] = {}

        def done(stage: str) -> None:
            nonlocal begin
            found[stage] = (time.process_time() - begin) / cases * 1e6
            begin = time.process_time()

        drawn = [runner.drawn(index) for index in range(cases)]
        done("generation")
        for item in drawn:
            counter.add(item.case)
        done("features")
        requests = [item.shape.request(item.case) for item in drawn]
        done("shapes")
        for request in requests:
            wire.encode(request)
        done("wire")
        for item in drawn:
            judge.oracle.layout(item.case)
        done("our layout")
        for item in drawn:
            judge.oracle.render(item.case)
        done("authority, layout included")
    return found


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
    spent = stages(chosen.cases, chosen.seed)
    print(
        "  a case costs  "
        + ", ".join(f"{stage} {cost:.0f}" for stage, cost in spent.items())
        + " µs of processor"
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
