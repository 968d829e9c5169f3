"""What has to be done before a command runs that loads other people's modules."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import sysconfig
from pathlib import Path

_PR_SET_DUMPABLE = 4  # of <linux/prctl.h>
_PACKAGE = Path(__file__).parent


def close_to_others() -> None:
    """Keep other processes of the same user from reading this one's memory and environment, where the kernel can.

    Code that got out of an engine runs as the user, and so would a debugger: CONFORMANCE_TRACEBACK leaves it open.
    """
    if sys.platform == "linux" and not os.environ.get("CONFORMANCE_TRACEBACK"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def distrust_current_folder() -> None:
    """Take the current folder off the module path, unless this package itself is in it.

    `python -m` and an empty entry in PYTHONPATH put it first: a module or a plug-in that an upload brings along would
    run. What stands after the standard library was installed there on purpose, an editable plug-in for example.
    """
    here = os.getcwd()
    if Path(here) == _PACKAGE.parent:
        return
    library = sysconfig.get_path("stdlib")
    last = sys.path.index(library) if library in sys.path else len(sys.path)
    kept = [entry for entry in sys.path[:last] if os.path.abspath(entry or here) != here]
    sys.path[:last] = kept
