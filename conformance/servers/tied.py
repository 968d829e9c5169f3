"""Run a program that ends when its starter does: `python -m conformance.servers.tied COMMAND…`.

The tie is standard input: who starts this holds the other end, and the system closes it with the starter.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

_SECONDS = 10.0


def main(command: Sequence[str]) -> int:
    """Run a command to its end, or to that of standard input; returns its exit code."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as process:

        def watch() -> None:
            # Not by sys.stdin: its lock, held here, would be missed when the interpreter ends.
            while os.read(0, 4096):
                pass
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS)
                return
            process.kill()

        threading.Thread(target=watch, daemon=True).start()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
