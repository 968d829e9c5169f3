"""The command line: one file a command."""

from __future__ import annotations

import os
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Imported here, so that machines that lack the other packages can use the guard and the console.
    try:
        from conformance.cli.app import main as run
    except KeyboardInterrupt:
        os._exit(130)  # before anything was begun; what is half imported must not come to its ends either
    run(arguments)
