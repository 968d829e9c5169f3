"""Which distribution really owns the installed module `openai_harmony`: by its files, not by what metadata claims.

Several distributions install this one module. The last one installed wins, and the metadata of the others stays.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conformance.oracles.authorities import MODULE, pinned

_COMPILED = (".so", ".pyd", ".dylib")


@dataclass(frozen=True, slots=True)
class Installed:
    """The live module: its folder, its owner, and everyone who claims it.

    `distribution` and `version` are those whose record holds the hashes of the live files, empty when none does;
    `sha256` is the hash of the compiled file. `claims` names all distributions that say they installed the module,
    as `name version`.
    """

    folder: Path
    distribution: str
    version: str
    sha256: str
    claims: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.distribution:
            return f"{self.distribution} {self.version}"
        return "an altered library" if self.claims else "a library of unknown origin"


def installed(*, all_claims: bool = False) -> Installed | None:
    """Return the module that an import would load, without importing it; None when there is none.

    With `all_claims` every distribution here is asked, which takes a second where there are many; otherwise the known
    ones are, and the others only where none of those owns the files.
    """
    folder = _folder()
    if folder is None:
        return None
    live = {path.name: path.read_bytes() for path in _files(folder)}
    hashes = {name: hashlib.sha256(data).digest() for name, data in live.items()}
    compiled = next((hashes[name].hex() for name in hashes if name.endswith(_COMPILED)), "")
    known = list(dict.fromkeys(entry.distribution for entry in pinned().values()))
    claims, owner = _claims(known, folder, hashes)
    if all_claims or owner is None:
        claimed = importlib.metadata.packages_distributions().get(MODULE, [])
        claims, owner = _claims(dict.fromkeys([*known, *claimed]), folder, hashes)
    name, version = owner or ("", "")
    return Installed(folder, name, version, compiled, claims)


def _folder() -> Path | None:
    try:
        spec = importlib.util.find_spec(MODULE)
    except (ImportError, ValueError):
        return None
    # A folder that only lacks what was uninstalled is a namespace package without a file of its own.
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name == "__init__.py" or path.name.endswith(_COMPILED):
            yield path


def _claims(
    names: Iterable[str], folder: Path, hashes: dict[str, bytes]
) -> tuple[list[str], tuple[str, str] | None]:
    """Return who claims the files in a folder, and the one whose record they all match."""
    claims: list[str] = []
    owner = None
    for name in names:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        recorded = {
            file.name: file.hash.value if file.hash is not None and file.hash.mode == "sha256" else ""
            for file in distribution.files or []
            if file.parts[:1] == (MODULE,) and len(file.parts) == 2 and file.name in hashes
            if Path(str(distribution.locate_file(file))).parent.resolve() == folder.resolve()
        }
        if not recorded:
            continue
        claims.append(f"{name} {distribution.version}")
        if all(recorded.get(file) == _as_recorded(digest) for file, digest in hashes.items()):
            owner = name, distribution.version
    return claims, owner


def _as_recorded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
