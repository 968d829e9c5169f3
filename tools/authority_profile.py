"""Compares another authority with the profile that stands for it, characters and tokens, on generated cases.

    python -m tools.authority_profile oss-harmony --cases 100000 --seed 1 --jobs 2

Two oracles answer: the other library, given what it is always given, and the default one, whose text is read as the
profile says. The exit code is 1 when a case differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from conformance.conversation import Case
from conformance.generate import case_at
from conformance.oracles.authorities import find
from conformance.oracles.harmony import HarmonyOracle, OracleRefusedError
from conformance.oracles.load import obtain

_BATCH = 2_500


@dataclass
class Compared:
    """How many cases were compared, the indices that differ, and those that both refused."""

    cases: int = 0
    differing: list[int] = field(default_factory=list)
    refused: int = 0
    unexplained: int = 0

    def add(self, other: Compared) -> None:
        """Add what another part found."""
        self.cases += other.cases
        self.differing += other.differing
        self.refused += other.refused
        self.unexplained += other.unexplained


def compare(name: str, seed: int, first: int, cases: int) -> Compared:
    """Compare an authority with its profile on a range of cases; `unexplained` counts texts without regions."""
    theirs, ours = HarmonyOracle("harmony", name), HarmonyOracle(find(name).profile)
    found = Compared()
    for index in range(first, first + cases):
        case = case_at(seed, index)
        left, right = _answer(theirs, case), _answer(ours, case)
        found.cases += 1
        found.refused += left is None and right is None
        if left != right:
            found.differing.append(index)
    found.unexplained = theirs.layout_failures + ours.layout_failures
    return found


def _answer(oracle: HarmonyOracle, case: Case) -> tuple[str, list[int]] | None:
    try:
        rendering = oracle.render(case)
    except OracleRefusedError:
        return None
    return rendering.text, rendering.tokens


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and print what it found."""
    parser = argparse.ArgumentParser(prog="tools.authority_profile")
    parser.add_argument("authority")
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args(arguments)
    obtain(chosen.authority)
    starts = range(0, chosen.cases, _BATCH)
    sizes = [min(_BATCH, chosen.cases - start) for start in starts]
    total = Compared()
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn")) as pool:
        for part in pool.map(partial(compare, chosen.authority, chosen.seed), starts, sizes):
            total.add(part)
            print(f"\r{total.cases:,} cases, {len(total.differing)} differing", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(
        f"{chosen.authority} against profile {find(chosen.authority).profile}: {total.cases:,} cases of seed "
        f"{chosen.seed}, {len(total.differing)} differing, {total.refused} refused by both, "
        f"{total.unexplained} without regions"
    )
    for index in total.differing[:10]:
        print(f"  case {index}")
    return 1 if total.differing else 0


if __name__ == "__main__":
    sys.exit(main())
