"""A log of requests as the workload: what an application really sends, handed over as it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conformance.as_sent import SentCase
from conformance.conversation import Case
from conformance.errors import UsageError
from conformance.logged.lines import read_log


@dataclass(frozen=True, slots=True)
class FromLog:
    """The requests of a log, each once and in its order; `left_out` lines are none that gpt-oss could be sent."""

    name: str
    requests: tuple[SentCase, ...]
    left_out: int = 0
    shown: bool = False

    @property
    def cases(self) -> int:
        """How many requests there are."""
        return len(self.requests)

    def load(self) -> None:
        """Do nothing: the requests are here."""

    def case(self, seed: int, index: int) -> Case:
        """Return one request; the seed changes nothing."""
        return self.requests[index]


def from_log(path: Path, most: int) -> FromLog:
    """Read a log, `most` of its requests at most; raises UsageError where it holds none that can be judged."""
    log = read_log(path, most)
    if not log.cases:
        raise UsageError(
            f"No line of {path} is a request that gpt-oss can be sent; `conformance requests` says why."
        )
    return FromLog(path.name, tuple(log.cases), log.lines - len(log.cases))
