"""What has to be done before a command runs that loads other people's modules.

Imports nothing but what every interpreter has loaded: until the current folder is off the module path, a module of the
library could come from an upload, and until Ctrl-C has its handler it ends in a traceback.
"""

from __future__ import annotations

import os
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # of <linux/prctl.h>
_EXIT_USAGE, _EXIT_UNJUDGED = 2, 3


def distrust_current_folder() -> None:
    """Take the current folder off the module path, unless this package itself is in it.

    `python -m` and an empty entry in PYTHONPATH put it first: a module or a plug-in that an upload brings along would
    run. What stands after the standard library was installed there on purpose, an editable plug-in for example.
    Where the folder has been removed no path means anything: the command ends with a line and exit code 2.
    """
    try:
        here = os.getcwd()
    except OSError:
        os.write(2, b"conformance: the current folder is gone; change to one that exists\n")
        raise SystemExit(_EXIT_USAGE) from None
    if here == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        return
    library = os.path.dirname(os.__file__)
    last = sys.path.index(library) if library in sys.path else len(sys.path)
    kept = [entry for entry in sys.path[:last] if os.path.abspath(entry or here) != here]
    sys.path[:last] = kept


def leave(_number: int, _frame: object) -> None:
    """End this process at Ctrl-C while it loads: what is half imported must not come to its end, nor be told of."""
    os.write(2, b"conformance: interrupted, and nothing is reported\n")
    os._exit(_EXIT_UNJUDGED)


def leave_at_interrupt() -> None:
    """Have Ctrl-C end this process in a line until a command has its own way with it, unless somebody has already."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        import contextlib

        with contextlib.suppress(ValueError):  # another thread is the main one, and has it
            signal.signal(signal.SIGINT, leave)


def close_to_others() -> None:
    """Keep other processes of the same user from reading this one's memory and environment, where the kernel can.

    Code that got out of an engine runs as the user, and so would a debugger: CONFORMANCE_TRACEBACK leaves it open.
    """
    if not os.environ.get("CONFORMANCE_TRACEBACK"):
        _prctl(_PR_SET_DUMPABLE, 0)


def when_parent_ends(number: int) -> None:
    """Have the kernel send this process a signal when the thread that started it ends, where it can (Linux).

    A process that was stopped hears of its parent's end in no other way.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import contextlib
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
