"""Where runs are kept: their folder, a new one for each run, and which is the newest.

Only folders that this program named and that hold nothing but its files are ever removed, and no link is followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_state_path

from conformance.errors import UsageError
from conformance.report.files import open_folder, write_file
from conformance.resources import clone

FOLDER_VARIABLE = "CONFORMANCE_RUNS"
KEPT_RUNS = 20
_NEWEST = "newest"
_NAME = re.compile(r"\d{8}-\d{6}-\d{1,10}-[\w.-]+")
OUR_FILES = re.compile(r"events\.jsonl|report\.[a-z0-9.-]+", re.ASCII)


def runs_folder() -> Path:
    """Return where runs are kept: `reports/runs` of the clone that is running, else the user's state folder.

    The environment variable `CONFORMANCE_RUNS` names another folder. The current folder has no say: it may be a
    stranger's upload.
    """
    return _place()[0].joinpath(*_place()[1])


def _place() -> tuple[Path, tuple[str, ...]]:
    """Return a folder that the user vouches for, and the folders below it that must not be links."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).absolute(), ()
    root = clone()
    if root is not None:
        return root, ("reports", "runs")
    return user_state_path(), ("chat-template-conformance", "runs")


@contextlib.contextmanager
def _opened() -> Iterator[int]:
    base, parts = _place()
    descriptor = open_folder(base.joinpath(*parts), below=base)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def new_run_folder(label: str, keep: int = KEPT_RUNS) -> Path:
    """Make and return the folder of a new run; of all runs the newest `keep` stay, older ones are removed.

    Raises UsageError when it cannot be made.
    """
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in label)[:60].strip(
        ".-"
    )
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{safe or 'run'}"
    try:
        with _opened() as folder:
            name = _made(folder, name)
            for old in sorted(_runs(folder) - {name})[: 1 - keep or None]:
                # Another run may clear up at the same time, and what the user put there stays.
                with contextlib.suppress(OSError):
                    _remove(folder, old)
    except OSError as error:
        raise UsageError(
            f"Cannot write to {runs_folder()}: {error.strerror or error}; name another folder with --output."
        ) from None
    return runs_folder() / name


def _made(folder: int, name: str) -> str:
    """Make a folder of this name, or of one like it where a run of the same second has it."""
    for number in range(1000):
        tried = f"{name}.{number}" if number else name
        with contextlib.suppress(FileExistsError):
            os.mkdir(tried, dir_fd=folder)
            return tried
    raise FileExistsError(f"{name} is there already")


def _runs(folder: int) -> set[str]:
    """Return the names of folders, links not among them, that this program gave."""
    with os.scandir(folder) as entries:
        return {
            entry.name
            for entry in entries
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        }


def _remove(folder: int, name: str) -> None:
    """Remove a run whose files are all ours; any other is left as it is."""
    run = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        with os.scandir(run) as entries:
            found = list(entries)
        if all(OUR_FILES.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) for entry in found):
            for entry in found:
                os.unlink(entry.name, dir_fd=run)
            os.rmdir(name, dir_fd=folder)
    finally:
        os.close(run)


def remember_run(folder: Path) -> None:
    """Note where the newest run lies, since `--output` may put it anywhere; losing the note costs a path."""
    base, parts = _place()
    with contextlib.suppress(OSError, UsageError):
        write_file(base.joinpath(*parts, _NEWEST), os.fsencode(folder.resolve()), below=base)


def kept_runs() -> list[Path]:
    """Return the folders of all kept runs that have a report, the newest first.

    Raises UsageError when there is none.
    """
    found: list[Path] = []
    with contextlib.suppress(OSError, UsageError), _opened() as folder:
        with contextlib.suppress(OSError):
            found.append(Path(os.fsdecode(_read(folder, _NEWEST))))
        found += [runs_folder() / name for name in sorted(_runs(folder), reverse=True)]
    found = [run for run in dict.fromkeys(found) if (run / "report.json").is_file()]
    if not found:
        raise UsageError(
            "No run is kept here yet; run `conformance check TARGET` first, or name a case file."
        )
    return found


def _read(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{name} is no file")
        return file.read(1 << 16)
