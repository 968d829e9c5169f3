"""The console of all commands, and plain lines on it."""

from __future__ import annotations

from rich.console import Console


def new_console(*, stderr: bool = False, quiet: bool = False, markup: bool = True) -> Console:
    """Return a console on standard output, or on standard error where a report in JSON has the other.

    Without `markup` brackets and colons are what they are, whatever is printed.
    """
    return Console(stderr=stderr, quiet=quiet, markup=markup, emoji=markup)


def say(console: Console, text: str) -> None:
    """Print a line as it is: brackets are brackets, and it breaks where the terminal breaks it."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
