"""Which branches of a template a campaign reaches: some of its cases run once more, on an engine that notes them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from msgspec.structs import replace

from conformance.campaign.aim import Met, aimed
from conformance.campaign.locate import NOTED_CHARS
from conformance.campaign.runner import Drawn, Runner
from conformance.campaign.steering import slots, with_corners
from conformance.errors import UnjudgedError
from conformance.generate import Hints
from conformance.shapes import AS_SENT, Shape, draw, turns
from conformance.template.branches import PROBED, BranchCoverage, BranchProbe, Seen

# So many conversations are tried for each that is to aim at what the others rarely meet.
_CANDIDATES = 10
# So many cases of either kind, plain and hinted, are run once more.
_PROBED_CASES = 250


class BranchSample:
    """The cases that are probed; those that the campaign draws in this process are kept, not drawn again."""

    def __init__(self, runner: Runner, plain: int, *, probe: BranchProbe | None = None) -> None:
        """`plain` is how many cases, from the first on, are not steered by hints; `probe` is one that goes on."""
        settings = runner.settings
        self._runner = runner
        self._plain = range(0, plain, _stride(plain, runner.choices))
        self._hinted = range(plain, settings.cases, _stride(settings.cases - plain, runner.choices))
        self._known: dict[str, tuple[Seen, list[Met]]] = {}
        self._drawn: dict[int, Drawn] = {}
        self._probe = probe
        self._own: BranchProbe | None = None

    def start(self) -> None:
        """Let the worker that notes branches load while the plain cases are judged, where some will aim at branches."""
        cases = self._runner.settings.cases
        if self._can and slots(with_corners(Hints(), cases), cases):
            self._started().start()

    def keep(self, drawn: Drawn) -> None:
        """Keep a case that all targets are given, if it belongs to the sample."""
        if drawn.index in self._plain:
            self._drawn[drawn.index] = drawn

    def aim(self, template: str, hints: Hints, judged: int) -> Hints:
        """Return the hints with conversations for what `judged` plain ones and the corners of schemas rarely met.

        They take some of the numbers before the corners. For engines that cannot note branches nothing is added.
        """
        numbers = slots(hints, self._runner.settings.cases)
        if not self._can or not numbers:
            return hints
        choices = self._runner.choices
        try:
            seen, known = self._seen(template, hints, judged)
        except UnjudgedError:
            return hints
        kept = aimed(
            template,
            self._started(),
            seen,
            known,
            {index: draw(choices, index) for index in numbers},
            seed=self._runner.settings.seed,
            candidates=len(numbers) * _CANDIDATES,
        )
        return dataclasses.replace(hints, aimed=kept)

    def run(self, template: str, hints: Hints, judged: int) -> BranchCoverage | None:
        """Run the sample of `judged` plain cases, and of those steered by the template's hints, noting branches.

        None for engines that cannot note them.
        """
        if not self._can:
            return None
        try:
            seen, _ = self._seen(template, hints, judged)
            first, last = hints.corners
            rest = [
                self._runner.drawn(index, hints)
                for index in self._hinted
                if not first <= index < last and index not in hints.aimed
            ]
            self._note(template, seen, rest)
        except UnjudgedError:
            return None
        return seen.coverage()

    @property
    def _can(self) -> bool:
        """Whether branches can be noted: requests that were sent say nothing about branches that others need."""
        settings = self._runner.settings
        generated = settings.source is None and AS_SENT.name not in settings.shapes
        return generated and settings.engines[0] in PROBED

    def _seen(self, template: str, hints: Hints, judged: int) -> tuple[Seen, list[Met]]:
        """Return what the plain cases of the sample and the corners met of a template; they run once."""
        if template not in self._known:
            seen = Seen(template)
            indices = [index for index in self._plain if index < judged]
            cases = [self._drawn.get(index) or self._runner.drawn(index) for index in indices]
            cases += [self._runner.drawn(index, hints) for index in range(*hints.corners)]
            self._known[template] = seen, self._note(template, seen, cases)
        return self._known[template]

    def _note(self, template: str, seen: Seen, cases: Sequence[Drawn]) -> list[Met]:
        """Run cases, and return what each met."""
        sent = [item for item in cases if item.lost is None]
        requests = [item.shape.request(item.case) for item in sent]
        found = []
        for item, noted in zip(sent, self._started().noted(template, requests), strict=False):
            seen.add(noted)
            if noted is not None:
                found.append(Met.of(item.case, noted))
        return found

    def _started(self) -> BranchProbe:
        if self._probe is None:
            settings = self._runner.settings
            limits = replace(settings.limits, output_chars=NOTED_CHARS)
            self._probe = self._own = BranchProbe(
                settings.engines[0], limits=limits, relatives=self._runner.hosts.values()
            )
        return self._probe

    def close(self) -> None:
        """End the worker that was started here."""
        if self._own is not None:
            self._own.close()


def _stride(cases: int, choices: tuple[tuple[Shape, ...], ...]) -> int:
    """Return every how many cases one is probed: a number that meets all shapes, which take turns."""
    turn = turns(choices)
    step = max(1, cases // _PROBED_CASES)
    while math.gcd(step, turn) > 1:
        step += 1
    return step
