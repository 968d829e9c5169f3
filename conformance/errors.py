"""Errors that a user can cause or cure: one sentence saying what, where and what to do."""

from __future__ import annotations

EXIT_CONFORMS = 0
EXIT_DIVERGES = 1
EXIT_USAGE = 2
EXIT_UNJUDGED = 3


class ConformanceError(Exception):
    """Something went wrong that one sentence can explain; `exit_code` is what the command ends with."""

    exit_code = EXIT_USAGE


class UsageError(ConformanceError):
    """Wrong usage or an unreadable target (exit code 2)."""

    exit_code = EXIT_USAGE


class UnjudgedError(ConformanceError):
    """The target could not be judged: an oracle, a vocabulary, an engine or a GPU is missing (exit code 3)."""

    exit_code = EXIT_UNJUDGED


class GoneError(UnjudgedError):
    """A server or program does not answer, or no more (exit code 3); what it answered before stays judged."""
