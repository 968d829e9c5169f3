"""The reference template against Harmony on one engine, on as many generated cases as asked.

    python -m tests.reference.engines --engine minijinja --cases 100000 --seed 1

Counted are cases that their shape and the engine can carry; cases take turns over all members of all shape families.
What the engine cannot carry is counted by reason. The engine runs in a worker, as in a campaign.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from conformance.conversation import Case, case_id
from conformance.engines import EngineHost, Limits, Rendered, Request, get_engine
from conformance.engines.host import Ticket
from conformance.generate.grammar import case_at
from conformance.oracles.harmony import HarmonyOracle
from conformance.resources import resource
from conformance.shapes import draw, shapes

_BATCH = 64
# Renderings are compared, not timed: a machine that others use too is no fault of the template.
_LIMITS = Limits(time_s=60)


@dataclass
class Result:
    """What a run found; `differing_characters` counts a rendering that failed as all of Harmony's text."""

    cases: int = 0
    differing: int = 0
    differing_characters: int = 0
    inexpressible: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def compare(source: str, engine: str, seed: int, cases: int, *, progress: bool = False) -> Result:
    """Compare a template with Harmony on `cases` cases that the engine can carry."""
    result, oracle = Result(), HarmonyOracle()
    source_of_cases = _expressible(engine, seed, result)
    with EngineHost(engine, limits=_LIMITS) as host:
        waiting: tuple[list[tuple[int, Case, Request]], Ticket] | None = None
        while True:
            batch = list(islice(source_of_cases, min(_BATCH, cases - result.cases)))
            result.cases += len(batch)
            coming = (batch, host.submit(source, [request for _, _, request in batch])) if batch else None
            if waiting is not None:
                _judge(waiting[0], host, waiting[1], oracle, seed, result)
            if coming is None:
                return result
            waiting = coming
            if progress:
                print(f"\r{result.cases} cases, {result.differing} differing", end="", file=sys.stderr)


def _expressible(engine: str, seed: int, result: Result) -> Iterator[tuple[int, Case, Request]]:
    program, choices = get_engine(engine), shapes()
    for index in count():
        case, shape = case_at(seed, index), draw(choices, index)
        if shape.loses(case) is not None:
            continue
        request = shape.request(case)
        reason = program.loses(request)
        if reason is None:
            yield index, case, request
        else:
            result.inexpressible[reason] += 1


def _judge(
    batch: list[tuple[int, Case, Request]],
    host: EngineHost,
    ticket: Ticket,
    oracle: HarmonyOracle,
    seed: int,
    result: Result,
) -> None:
    # While the worker renders, this process asks the oracle.
    expected = [oracle.render(case).text for _, case, _ in batch]
    for (index, case, _), text, outcome in zip(batch, expected, host.collect(ticket), strict=True):
        if outcome == Rendered(text):
            continue
        result.differing += 1
        if isinstance(outcome, Rendered):
            pairs = zip(text, outcome.text, strict=False)
            result.differing_characters += sum(one != other for one, other in pairs)
            result.differing_characters += abs(len(text) - len(outcome.text))
        else:
            result.differing_characters += len(text)
        if len(result.examples) < 20:
            result.examples.append(f"seed {seed} index {index} ({case_id(case)}): {str(outcome)[:200]}")


def main() -> int:
    """Run the comparison and print what it found; ends with 1 when a case differs."""
    parser = argparse.ArgumentParser(description="Compare the reference template with Harmony on an engine.")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--template", default="gpt-oss.jinja", help="file name in templates/")
    options = parser.parse_args()
    start = time.monotonic()
    source = resource("templates", options.template).read_text("utf-8")
    result = compare(source, options.engine, options.seed, options.cases, progress=True)
    spent = time.monotonic() - start
    lost = result.inexpressible.total()
    print(file=sys.stderr)
    print(f"engine         {options.engine} {get_engine(options.engine).version()}")
    print(f"template       {options.template}, seed {options.seed}")
    print(f"cases          {result.cases}")
    print(f"differing      {result.differing} cases, {result.differing_characters} characters")
    print(f"inexpressible  {lost} more, skipped ({lost / max(1, lost + result.cases):.2%})")
    for reason, number in result.inexpressible.most_common():
        print(f"  {number / (lost + result.cases):.2%}  {reason}")
    print(f"time           {spent:.0f} s, {spent / max(1, result.cases) * 1000:.2f} ms a case")
    for example in result.examples:
        print(f"  differs: {example}")
    return 1 if result.differing else 0


if __name__ == "__main__":
    sys.exit(main())
