"""Fetched template texts in the user's cache, kept by content; safe for concurrent runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from conformance.sources.base import MAX_TEMPLATE_BYTES


class Store:
    """A folder with `objects/SHA256` (the bytes) and `names/SHA256-OF-URI` (which object a URI is).

    Every file is written under a temporary name and renamed, so that a reader sees all of it or nothing;
    every object is checked against its name when read, so that a damaged one counts as absent.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._names = folder / "names"

    def get(self, uri: str, sha256: str | None = None) -> bytes | None:
        """Return the bytes kept for a URI, or those with the given hash; None if they are not here."""
        try:
            digest = sha256 or (self._names / _digest(uri.encode())).read_text("ascii").strip()
            if len(digest) != 64 or not digest.isalnum():
                return None
            with (self._objects / digest).open("rb") as file:
                data = file.read(MAX_TEMPLATE_BYTES + 1)
        except (OSError, ValueError):
            return None
        return data if _digest(data) == digest else None

    def put(self, uri: str, data: bytes) -> None:
        """Keep the bytes for a URI; a cache that cannot be written costs only the next fetch."""
        digest = _digest(data)
        with contextlib.suppress(OSError):
            _write(self._objects / digest, data)
            _write(self._names / _digest(uri.encode()), digest.encode() + b"\n")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    import tempfile  # with what it imports, 10 ms that only fetching needs

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
