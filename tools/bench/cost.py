"""What a campaign costs: beside the bare renders of the same cases, by stage, and with more than one job."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from conformance.campaign.check import check
from conformance.campaign.parallel import Pool
from conformance.campaign.runner import Runner
from conformance.campaign.settings import Settings
from conformance.engines import wire
from conformance.engines.in_process import InProcessHost
from conformance.generate import Hints
from conformance.generate.coverage import CoverageCounter
from conformance.sources import Template

_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Block:
    """Seconds of processor that one block of cases took: the bare authority, the bare template, the campaign."""

    oracle: float
    template: float
    campaign: float

    @property
    def ratio(self) -> float:
        """The campaign as a multiple of the bare renders."""
        return self.campaign / (self.oracle + self.template)


def blocks(template: Template, cases: int, seed: int) -> list[Block]:
    """Return what blocks of cases cost bare and in a campaign, in turns, so that a noisy machine troubles both alike.

    The template runs in this process, so it has to be a trusted one.
    """
    found = []
    with Runner(
        Settings(cases=cases, seed=seed), hosts={"transformers": InProcessHost("transformers")}
    ) as runner:
        host, part = runner.hosts["transformers"], runner.new_part([template])
        runner.run([template], 0, _BLOCK)
        for start in range(0, cases, _BLOCK):
            stop = min(cases, start + _BLOCK)
            drawn = [item for item in map(runner.drawn, range(start, stop)) if item.lost is None]
            requests = [item.shape.request(item.case) for item in drawn]
            times = [time.process_time()]
            for item in drawn:
                runner.judge.oracle.render(item.case)
            times.append(time.process_time())
            host.collect(host.submit(template.text, requests))
            times.append(time.process_time())
            runner.run([template], start, stop, part=part)
            times.append(time.process_time())
            found.append(Block(*(after - before for before, after in pairwise(times))))
    return found


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


@dataclass(frozen=True, slots=True)
class Shared:
    """Cases judged by one job and by two, in seconds, and the processor that the one job and its worker took."""

    one_s: float
    two_s: float
    judging_s: float
    rendering_s: float

    @property
    def gain(self) -> float:
        """How many times as fast two jobs are."""
        return self.one_s / self.two_s

    @property
    def most(self) -> float:
        """How many times as fast they can be on two cores, of which one job already uses part of the second."""
        return 2 * self.judging_s / (self.judging_s + self.rendering_s)


def shared(template: Template, cases: int, seed: int) -> Shared:
    """Return what two jobs gain on the same cases, once all processes are started."""

    def children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = children()
    with Runner(Settings(cases=cases, seed=seed)) as runner:
        runner.run([template], 0, _BLOCK)
    started = children() - before
    before = children()
    with Runner(Settings(cases=cases, seed=seed)) as runner:
        runner.run([template], 0, _BLOCK)
        begin, used = time.monotonic(), time.process_time()
        runner.run([template], _BLOCK, cases)
        one, judging = time.monotonic() - begin, time.process_time() - used
    rendering = children() - before - started
    pool = Pool(Settings(cases=cases, seed=seed, jobs=2), [template])
    try:
        warm = runner.new_part([template])
        pool.run([0], warm, 0, 4 * _BLOCK, hints=Hints())
        part = runner.new_part([template])
        begin = time.monotonic()
        pool.run([0], part, _BLOCK, cases, hints=Hints())
        two = time.monotonic() - begin
    finally:
        pool.close()
    return Shared(one, two, judging, rendering)


def whole(template: Template, cases: int, seed: int) -> tuple[float, float, int]:
    """Return the seconds of a check with and without shrinking, and how many divergences it shows."""

    def timed(work: Callable[[], int]) -> tuple[float, int]:
        begin = time.monotonic()
        made = work()
        return time.monotonic() - begin, made

    settings = Settings(cases=cases, seed=seed)
    with_s, rules = timed(lambda: len(check([template], settings).targets[0].divergences))
    without_s, _ = timed(lambda: len(check([template], settings, shrink=False).targets[0].divergences))
    return with_s, without_s, rules


def middle(found: list[Block]) -> float:
    """Return the median ratio of blocks."""
    return statistics.median(block.ratio for block in found)
