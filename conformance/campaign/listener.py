"""Who is told what a campaign finds while it runs."""

from __future__ import annotations

from typing import Protocol

from conformance.report.model import Divergence
from conformance.report.model import Target as Result
from conformance.targets.base import Target


class Listener(Protocol):
    """Is told what a campaign finds while it runs; the event log and the progress bar listen."""

    def started(self, target: Target, cases: int) -> None:
        """A target's campaign begins."""

    def progress(self, target: Target, done: int, total: int) -> None:
        """So many conversations of a target are judged."""

    def found(self, target: Target, divergence: Divergence) -> None:
        """A rule was seen for the first time, or its case was shrunk."""

    def finished(self, result: Result) -> None:
        """A target's result is complete."""


class Silent:
    """A listener that does nothing."""

    def started(self, target: Target, cases: int) -> None:
        """Do nothing."""

    def progress(self, target: Target, done: int, total: int) -> None:
        """Do nothing."""

    def found(self, target: Target, divergence: Divergence) -> None:
        """Do nothing."""

    def finished(self, result: Result) -> None:
        """Do nothing."""
