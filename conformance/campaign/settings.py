"""What a campaign is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from conformance.conversation import Case
from conformance.engines.base import GENERATED_LIMITS, Limits
from conformance.generate import Hints
from conformance.oracles.authorities import DEFAULT

DEFAULT_CASES = 2_000


class Workload(Protocol):
    """Conversations of real use, beside the generated ones; `cases` is how many it has, None for any number.

    It travels to other processes, and gives the same case for the same seed and index in each.
    """

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def cases(self) -> int | None:
        """How many cases it has."""

    @property
    def shown(self) -> bool:
        """Whether its conversations may be shown as examples; those of a log are somebody's own."""

    def load(self) -> None:
        """Read what the cases are made of, which the first case would wait for otherwise."""

    def case(self, seed: int, index: int) -> Case:
        """Return one case."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign runs: how many cases of which seed, in which shapes, engines and profile, judged by whom.

    `seconds` ends the campaign early, and `at_least` says how many cases are enough then (None: all); `jobs` is the
    number of processes that judge, `replayed` are cases that come before the generated ones, each once for every
    family of shapes. `date` is the day of all cases where the target has a clock of its own. `workload` says how much
    what is found weighs in real use; `source`, where it is given, is where all cases come from. With `anonymised`
    no example has a word of the case that it is made of.
    """

    seed: int = 0
    cases: int = DEFAULT_CASES
    profile: str = "harmony"
    authority: str = DEFAULT
    shapes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ("transformers",)
    seconds: float | None = None
    at_least: int | None = None
    jobs: int = 1
    limits: Limits = GENERATED_LIMITS
    hints: Hints = field(default_factory=Hints)
    replayed: tuple[Case, ...] = ()
    date: str | None = None
    anonymised: bool = False
    workload: Workload | None = None
    source: Workload | None = None

    @property
    def weighed(self) -> int:
        """How many conversations of the workload are judged: a quarter as many as are generated, or all it has."""
        if self.workload is None:
            return 0
        wanted = -(-self.cases // 4)
        return wanted if self.workload.cases is None else min(self.workload.cases, self.cases)
