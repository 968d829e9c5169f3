from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import NEWLINES, NO_HARMONY, REFERENCE


@pytest.fixture(autouse=True)
def place(plain_terminal: Path) -> Path:
    """A folder to work in, with three templates."""
    (plain_terminal / "right.jinja").write_text(REFERENCE, encoding="utf-8")
    (plain_terminal / "newlines.jinja").write_text(NEWLINES, encoding="utf-8")
    (plain_terminal / "other.jinja").write_text(NO_HARMONY, encoding="utf-8")
    return plain_terminal
