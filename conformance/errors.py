"""Errors that a user can cause or cure: one sentence saying what, where and what to do."""

from __future__ import annotations

EXIT_CONFORMS = 0
EXIT_DIVERGES = 1
EXIT_USAGE = 2
EXIT_UNJUDGED = 3

_LONGEST = 1500  # characters of a message: what a person reads, and what a name of 100 kB must not exceed


class ConformanceError(Exception):
    """Something went wrong that one sentence can explain; `exit_code` is what the command ends with."""

    exit_code = EXIT_USAGE

    def __str__(self) -> str:
        """Return the sentence, fit for a terminal: strangers' words in it cannot steer one, nor flood it."""
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


class UsageError(ConformanceError):
    """Wrong usage or an unreadable target (exit code 2)."""

    exit_code = EXIT_USAGE


class UnjudgedError(ConformanceError):
    """The target could not be judged: an oracle, a vocabulary, an engine or a GPU is missing (exit code 3)."""

    exit_code = EXIT_UNJUDGED


class NotCompiledError(UnjudgedError):
    """Compiling a template was ended by a limit, or its worker kept ending: nothing is known of it (exit code 3)."""


class GoneError(UnjudgedError):
    """A server or program does not answer, or no more (exit code 3); what it answered before stays judged."""


def printable(text: str, limit: int = 120) -> str:
    """Return a stranger's word fit for a terminal: one line, no control characters, not too long."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
