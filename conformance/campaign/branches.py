"""Which branches of a template a campaign reaches: some of its cases run once more, on an engine that notes them."""

from __future__ import annotations

import math

from msgspec.structs import replace

from conformance.campaign.locate import NOTED_CHARS
from conformance.campaign.runner import Drawn, Runner
from conformance.errors import UnjudgedError
from conformance.generate import Hints
from conformance.shapes import AS_SENT, Shape, turns
from conformance.template.branches import PROBED, BranchCoverage, BranchProbe

# So many cases of either kind, plain and hinted, are run once more.
_PROBED_CASES = 250


class BranchSample:
    """The cases that are probed; those that the campaign draws in this process are kept, not drawn again."""

    def __init__(self, runner: Runner, plain: int) -> None:
        """`plain` is how many cases, from the first on, are not steered by hints."""
        settings = runner.settings
        self._runner = runner
        self._plain = range(0, plain, _stride(plain, runner.choices))
        self._hinted = range(plain, settings.cases, _stride(settings.cases - plain, runner.choices))
        self._drawn: dict[int, Drawn] = {}
        self._probe: BranchProbe | None = None

    def keep(self, drawn: Drawn) -> None:
        """Keep a case that all targets are given, if it belongs to the sample."""
        if drawn.index in self._plain:
            self._drawn[drawn.index] = drawn

    def run(self, template: str, hints: Hints, judged: int) -> BranchCoverage | None:
        """Run the sample of `judged` plain cases, and of those steered by the template's hints, noting branches.

        None for engines that cannot note them.
        """
        settings = self._runner.settings
        if settings.engines[0] not in PROBED or AS_SENT.name in settings.shapes:
            return None  # requests that were sent say nothing about branches that others need
        indices = [index for index in self._plain if index < judged]
        cases = [self._drawn.get(index) or self._runner.drawn(index) for index in indices]
        cases += [self._runner.drawn(index, hints) for index in self._hinted]
        requests = [item.shape.request(item.case) for item in cases if item.lost is None]
        if self._probe is None:
            self._probe = BranchProbe(
                settings.engines[0], limits=replace(settings.limits, output_chars=NOTED_CHARS)
            )
        try:
            return self._probe.run(template, requests)
        except UnjudgedError:
            return None

    def close(self) -> None:
        """End the worker."""
        if self._probe is not None:
            self._probe.close()


def _stride(cases: int, choices: tuple[tuple[Shape, ...], ...]) -> int:
    """Return every how many cases one is probed: a number that meets all shapes, which take turns."""
    turn = turns(choices)
    step = max(1, cases // _PROBED_CASES)
    while math.gcd(step, turn) > 1:
        step += 1
    return step
