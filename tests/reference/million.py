"""The long run: the reference template against Harmony on as many generated cases as asked.

    python -m tests.reference.million --cases 1000000 --seed 1 --jobs 2
    python -m tests.reference.million --cases 200000 --seed 1 --jobs 2 --shape all
    python -m tests.reference.million --cases 100000 --profile vllm --profile oss-harmony

Counted are cases that their shape can carry; cases take turns over all members of the shape families that are drawn
by default, or of those named. A seventh of them is rendered a second time, by a copy of the template that counts its
branches. With profiles, the variant of the template for each is compared with the oracle under it.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

# Run as a module from the root of the clone, or imported by pytest from this folder.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from template_branches import BranchCounter

from conformance.conversation import case_id
from conformance.engines.base import Rendered
from conformance.engines.in_process import InProcessHost
from conformance.fixes.readings import reading_variant
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.oracles.profile import profile as named
from conformance.resources import resource
from conformance.shapes import draw, shapes

Branch = tuple[int, str]
_BATCH = 5_000
_COUNT_EVERY = 7  # without a common divisor with the number of shapes, which take turns


@dataclass
class Result:
    """What a run found; `never_run` are the branches that no counted case took."""

    cases: int = 0
    inexpressible: int = 0
    differing: int = 0
    unsure: int = 0
    examples: list[str] = field(default_factory=list)
    never_run: set[Branch] | None = None

    def add(self, other: Result) -> None:
        """Take in another run's counts."""
        self.cases += other.cases
        self.inexpressible += other.inexpressible
        self.differing += other.differing
        self.unsure += other.unsure
        self.examples.extend(other.examples)
        if other.never_run is not None:
            missing = other.never_run if self.never_run is None else self.never_run & other.never_run
            self.never_run = missing


@lru_cache(maxsize=64)
def tools(profile: str = "harmony") -> tuple[InProcessHost, HarmonyOracle]:
    """Load the engine and the oracle of a profile once a process."""
    return InProcessHost("transformers"), HarmonyOracle(profile)


def compare(
    source: str,
    seed: int,
    first: int,
    cases: int,
    *,
    names: tuple[str, ...] = (),
    count_branches: bool = False,
    profile: str = "harmony",
) -> Result:
    """Compare a template with Harmony, under a profile, on `cases` expressible cases, from index `first` on."""
    host, oracle = tools(profile)
    choices = shapes(names)
    counter = BranchCounter(source) if count_branches else None
    unsure_before = oracle.layout_failures
    result, index = Result(), first
    while result.cases < cases:
        case, shape = case_at(seed, index), draw(choices, index)
        index += 1
        if shape.loses(case):
            result.inexpressible += 1
            continue
        result.cases += 1
        expected = oracle.render(case).text
        request = shape.request(case)
        outcome = host.render(source, request)
        if not isinstance(outcome, Rendered) or outcome.text != expected:
            result.differing += 1
            if len(result.examples) < 5:
                result.examples.append(
                    f"seed {seed} index {index - 1} ({case_id(case)}) in {shape.name} under {profile}"
                )
        if counter is not None and index % _COUNT_EVERY == 0:
            text = counter.render(
                request.date,
                messages=request.messages,
                tools=request.tools,
                add_generation_prompt=request.add_generation_prompt,
                **request.kwargs,
            )
            assert text == expected, "counting branches changed the text"
    result.unsure = oracle.layout_failures - unsure_before
    result.never_run = None if counter is None else set(counter.never_run())
    return result


def _batch(name: str, seed: int, number: int, cases: int, names: tuple[str, ...], said: str) -> Result:
    source = resource("templates", name).read_text("utf-8")
    if said != "harmony":
        variant = reading_variant(source, named(said))
        return compare(variant, seed, number * 2 * _BATCH, cases, names=names, profile=said)
    # Batches lie two lengths apart: a batch that skips inexpressible cases stays clear of the next one.
    return compare(source, seed, number * 2 * _BATCH, cases, names=names, count_branches=True)


def main() -> int:
    """Run the comparison and print what it found; ends with 1 when a case differs."""
    parser = argparse.ArgumentParser(description="Compare the reference template with Harmony.")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--template", default="gpt-oss.jinja", help="file name in templates/")
    parser.add_argument("--shape", action="append", default=[], help="shape family or member; repeatable")
    parser.add_argument("--profile", action="append", default=[], help="profile to follow; repeatable")
    options = parser.parse_args()
    start, total = time.monotonic(), Result()
    sizes = [min(_BATCH, options.cases - done) for done in range(0, options.cases, _BATCH)]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(_batch, options.template, options.seed, number, size, tuple(options.shape), said)
            for said in options.profile or ["harmony"]
            for number, size in enumerate(sizes)
        ]
        for done in as_completed(waiting):
            total.add(done.result())
            spent = time.monotonic() - start
            print(
                f"\r{total.cases} cases, {total.differing} differing, {spent:.0f} s", end="", file=sys.stderr
            )
    print(file=sys.stderr)
    print(f"template       {options.template}, seed {options.seed}, {options.jobs} jobs")
    print(f"profiles       {', '.join(options.profile) or 'harmony'}")
    print(f"cases          {total.cases}")
    print(f"inexpressible  {total.inexpressible} more, skipped")
    print(f"differing      {total.differing}")
    print(f"time           {time.monotonic() - start:.0f} s")
    for example in total.examples[:20]:
        print(f"  differs: {example}")
    missing = sorted(total.never_run or ())
    print(f"branches never run  {len(missing)}")
    for line, side in missing:
        print(f"  line {line}: {side}")
    return 1 if total.differing else 0


if __name__ == "__main__":
    sys.exit(main())
