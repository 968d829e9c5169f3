"""The command line: one file a command."""

from __future__ import annotations

import os
from collections.abc import Sequence

from conformance.errors import EXIT_UNJUDGED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    # Imported here, so that machines that lack the other packages can use the guard and the console.
    try:
        from conformance.cli.app import main as run
    except KeyboardInterrupt:
        # What is half imported must not come to its end either; as `guard` says it later.
        os.write(2, b"conformance: interrupted, and nothing is reported\n")
        os._exit(EXIT_UNJUDGED)
    run(arguments)
