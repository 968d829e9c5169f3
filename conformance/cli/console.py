"""The console of all commands, of the precision track too."""

from __future__ import annotations

from rich.console import Console


def new_console(*, stderr: bool = False, quiet: bool = False, markup: bool = True) -> Console:
    """Return a console on standard output, or on standard error where a report in JSON has the other.

    Without `markup` brackets and colons are what they are, whatever is printed.
    """
    return Console(stderr=stderr, quiet=quiet, markup=markup, emoji=markup)
