"""The official JSON Schema of SARIF 2.1.0, from a package that ships it: @microsoft/jest-sarif on npm."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
_MEMBER = "package/lib/schemas/sarif-2.1.0-rtm.5.json"
_SHA256 = "2d99159ae54a3eea97f81781cff48780548657c35949f4b7f25e99a2ba4de4f8"


@functools.cache
def sarif_schema() -> dict[str, Any] | str:
    """Return the schema, or why it cannot be had here; it is fetched once and kept with the fetched templates."""
    kept = user_cache_path("chat-template-conformance", appauthor=False) / "test" / f"{_SHA256}.json"
    if not kept.is_file():
        if (npm := shutil.which("npm")) is None:
            return "npm is not installed, which fetches the schema"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [npm, "pack", "--silent", _PACKAGE], cwd=folder, capture_output=True, check=False
            )
            tarballs = list(Path(folder).glob("*.tgz"))
            if done.returncode or not tarballs:
                return f"npm cannot fetch {_PACKAGE}"
            with tarfile.open(tarballs[0]) as archive:
                member = archive.extractfile(_MEMBER)
                assert member is not None
                data = member.read()
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
    data = kept.read_bytes()
    assert hashlib.sha256(data).hexdigest() == _SHA256
    schema: dict[str, Any] = json.loads(data)
    return schema
