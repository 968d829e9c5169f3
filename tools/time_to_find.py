"""How many conversations it takes until a planted fault is first caught: `python -m tools.time_to_find`."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from conformance.campaign.judge import Answer
from conformance.campaign.runner import Drawn, Runner
from conformance.campaign.settings import Settings
from conformance.campaign.steering import plain_cases, steered
from conformance.engines.in_process import InProcessHost
from conformance.generate import Hints
from tools.mutants import Mutant, as_template, load, reference_text

ENGINE = "jinja2"


class Search:
    """Looks for planted faults in the cases of one campaign; the authority is asked once for each case."""

    def __init__(self, runner: Runner, cases: int) -> None:
        self._runner = runner
        self._cases = cases
        self._reference = reference_text()
        self._plain = plain_cases(cases)
        self._known: dict[int, tuple[Drawn, Answer | None]] = {}

    def first(self, mutant: Mutant) -> int | None:
        """Return the number, from 1, of the first conversation that shows the fault under its name; None for none."""
        text = as_template(mutant, self._reference).text
        host = self._runner.hosts[ENGINE]
        hints: Hints | None = None
        for index in range(self._cases):
            if index < self._plain:
                item, answer = self._plainly(index)
            else:
                hints = hints or steered(text, self._cases)
                item = self._runner.drawn(index, hints)
                answer = self._runner.judge.answer(item.case) if item.lost is None else None
            if answer is None:
                continue
            (outcome,) = host.collect(host.submit(text, [item.shape.request(item.case)]))
            judged = self._runner.judge.judge(answer, outcome, confirm=False)
            if any(found.rule == mutant.rule for found in judged.found):
                return index + 1
        return None

    def _plainly(self, index: int) -> tuple[Drawn, Answer | None]:
        if index not in self._known:
            item = self._runner.drawn(index)
            self._known[index] = item, self._runner.judge.answer(item.case) if item.lost is None else None
        return self._known[index]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print for each planted fault when it was caught, and the shares; exit 1 when one never was."""
    parser = argparse.ArgumentParser(prog="python -m tools.time_to_find", description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    planted = [mutant for mutant in load() if mutant.engine is None]
    with Runner(
        Settings(cases=options.cases, seed=options.seed, engines=(ENGINE,)),
        hosts={ENGINE: InProcessHost(ENGINE)},
    ) as runner:
        search = Search(runner, options.cases)
        found = {mutant.name: search.first(mutant) for mutant in planted}
    for name, first in sorted(found.items(), key=lambda item: item[1] or options.cases + 1)[::-1][:25]:
        print(f"{first or 'never':>6}  {name}")
    caught = [first for first in found.values() if first is not None]
    within = [sum(first <= limit for first in caught) for limit in (20, 100, 300, options.cases)]
    print(
        f"{len(found)} planted faults, seed {options.seed}: median {statistics.median(caught):g} conversations, within "
        f"20: {within[0]}, 100: {within[1]}, 300: {within[2]} ({within[2] / len(found):.1%}), "
        f"{options.cases:,}: {within[3]}"
    )
    return int(len(caught) < len(found))


if __name__ == "__main__":
    sys.exit(main())
