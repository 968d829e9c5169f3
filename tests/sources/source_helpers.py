"""Small files that the tests of sources write themselves; no upstream template text is kept here."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance.errors import EXIT_USAGE, UsageError
from conformance.sources import resolve

TEXT = "{% for message in messages %}{{ message.content }}{% endfor %}\n"


def sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def build_wheel(folder: Path, package: str, version: str, members: Mapping[str, bytes]) -> Path:
    """Write the smallest wheel that pip accepts."""
    path = folder / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def complaint(target: object, **options: Any) -> str:
    """Return the one sentence that a bad target gets; without the network unless told otherwise."""
    with pytest.raises(UsageError) as caught:
        resolve(str(target), **{"offline": True, **options})
    assert caught.value.exit_code == EXIT_USAGE
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message
