"""The command line: one file a command."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.launch import leave_at_interrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    leave_at_interrupt()
    # Imported here, so that machines that lack the other packages can use the guard and the console.
    from conformance.cli.app import main as run

    run(arguments)
