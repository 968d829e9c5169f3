"""Where runs are kept, and which is the newest."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from platformdirs import user_state_path

from conformance.errors import UsageError

_KEPT_RUNS = 20
_NEWEST = "newest"


def runs_folder() -> Path:
    """Return where runs are kept: `reports/runs` in a clone, else the user's state folder."""
    if Path("reports").is_dir() and Path("templates", "catalogue.toml").is_file():
        return Path("reports", "runs")
    return user_state_path("chat-template-conformance") / "runs"


def new_run_folder(label: str) -> Path:
    """Make and return the folder of a new run; old runs beyond the newest twenty are removed.

    Raises UsageError when it cannot be made.
    """
    folder = runs_folder()
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in label)[:60].strip(
        ".-"
    )
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{safe or 'run'}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"Cannot write to {folder}: {error.strerror or error}; name another folder with --output."
        ) from None
    for old in sorted(_runs(folder))[:-_KEPT_RUNS]:
        # Another run may clear up at the same time, and what the user put there stays.
        with contextlib.suppress(OSError):
            for file in old.iterdir():
                file.unlink(missing_ok=True)
            old.rmdir()
    return path


def remember_run(folder: Path) -> None:
    """Note where the newest run lies, since `--output` may put it anywhere; losing the note costs a path."""
    with contextlib.suppress(OSError):
        runs_folder().mkdir(parents=True, exist_ok=True)
        (runs_folder() / _NEWEST).write_text(str(folder.resolve()), encoding="utf-8")


def newest_run() -> Path:
    """Return the folder of the newest run that has a report.

    Raises UsageError when there is none.
    """
    with contextlib.suppress(OSError, ValueError):
        noted = Path((runs_folder() / _NEWEST).read_text(encoding="utf-8"))
        if (noted / "report.json").is_file():
            return noted
    done = [run for run in _runs(runs_folder()) if (run / "report.json").is_file()]
    if not done:
        raise UsageError(
            "No run is kept here yet; run `conformance check TARGET` first, or name a case file."
        )
    return max(done)


def _runs(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
