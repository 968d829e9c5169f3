"""TOML files: read, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conformance.errors import UsageError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return the content of a TOML file; `what` names the file in errors, such as "the catalogue".

    Raises UsageError when it cannot be read or is no TOML.
    """
    import tomllib  # 5 ms, which most runs are spared

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except RecursionError:
        raise UsageError(f"{what} {path} is nested too deeply") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageError(f"{what} {path} is not valid TOML: {error}") from error
