"""Where the repository's `templates/` and `fixtures/` are, in a clone and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def clone() -> Path | None:
    """Return the root of the clone that this package runs from; None where it is installed from a wheel."""
    root = _PACKAGE.parent
    return root if not (_PACKAGE / "_data").is_dir() and (root / "pyproject.toml").is_file() else None


def resource(*parts: str) -> Path:
    """Return the path of a shipped file, such as `resource("templates", "catalogue.toml")`.

    In a wheel the folders lie inside the package (`conformance/_data`), in a clone beside it.
    """
    packaged = _PACKAGE / "_data"
    base = packaged if packaged.is_dir() else _PACKAGE.parent
    return base.joinpath(*parts)
