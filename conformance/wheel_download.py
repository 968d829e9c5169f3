"""A wheel fetched by the user's own pip, hence from wherever that is configured to look; nothing is installed."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from conformance.errors import UsageError, printable

# What Python's zipfile and its decompressors raise over a damaged archive, beside OSError.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError,
)  # fmt: skip

PIP_SECONDS = 600
_NETWORK = ("Retrying (", "ConnectionError", "Could not fetch URL", "timed out", "Temporary failure")


def download(package: str, version: str, folder: Path) -> Path:
    """Download one wheel into a folder with the user's pip; raises UsageError saying what pip said."""
    requirement = f"{package}=={version}"
    command = [
        *_pip(),
        *("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder), requirement),
    ]
    try:
        # Decoded by us: pip writes in whatever encoding the locale has.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"pip did not fetch {requirement} within {PIP_SECONDS} s; check the network"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot start pip to fetch {requirement}: {error.strerror or error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise UsageError(_pip_failure(requirement, (done.stderr + done.stdout).decode("utf-8", "replace")))


def _pip() -> list[str]:
    """Return the command of this Python's pip, else of the one on the path (uv makes venvs without)."""
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        # -P: a file pip.py in the working folder, perhaps a stranger's, is not run.
        return [sys.executable, "-P", "-m", "pip"]
    other = shutil.which("pip") or shutil.which("pip3")
    if other is None:
        raise UsageError(
            "wheels are fetched with pip, which this Python does not have; "
            f"run `{Path(sys.executable).name} -m ensurepip`"
        )
    return [other]


def _pip_failure(requirement: str, output: str) -> str:
    if "no such option: --" in output:
        return f"your pip is too old to fetch {requirement}; run `pip install --upgrade pip`"
    if any(word in output for word in _NETWORK):
        return (
            f"pip cannot reach its package index to fetch {requirement}; check the network and pip's settings"
        )
    if "No matching distribution" in output:
        return f"no index in your pip configuration offers a wheel of {requirement}; see `pip config list`"
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    return f"pip cannot fetch {requirement}: {printable((errors or ['it gave no reason'])[-1], 300)}"
