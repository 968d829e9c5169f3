"""What has to be done before a command runs that loads other people's modules."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

_PACKAGE = Path(__file__).parent


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
