"""Opens the files of a model that a stranger packed: no link leads out of its folder, and nothing blocks.

A cache of the Hugging Face Hub is the exception that people really have: files of a snapshot there are links to
`blobs/` of the same model (`models--ORG--NAME/snapshots/REVISION/chat_template.jinja -> ../../blobs/HASH`).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from conformance.errors import UsageError

# What is under these is put there by the system, so that `<(command)` and `/dev/stdin` are as good as files.
_SYSTEM = ("/dev/", "/proc/")


def open_inside(path: Path, location: str, root: Path | None = None) -> BinaryIO:
    """Open a file that is, links followed, inside `root`, the model's folder (default: the file's own).

    Raises UsageError when a link leads elsewhere or the file is a pipe or a device, OSError for the rest.
    """
    if os.path.normpath(path.absolute()).startswith(_SYSTEM):
        return path.open("rb")
    real = path.resolve(strict=True)
    if not real.is_relative_to(_allowed((root or path.parent).resolve())):
        raise UsageError(
            f"{location} is a link out of its folder, to {real}; links are followed inside a model only: put the "
            "file itself there, or name it as the target"
        )
    # Whoever swaps the file for a link or a pipe after that look gains nothing.
    descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{location} is a pipe or a device, not a file; save what it gives as a file")
    return os.fdopen(descriptor, "rb")


def _allowed(folder: Path) -> Path:
    """Return the folder that links may lead to: the model's own, in a Hub cache the one with its blobs."""
    for above in (folder, *folder.parents):
        if above.name == "snapshots" and above.parent.name.startswith("models--"):
            return above.parent
    return folder
