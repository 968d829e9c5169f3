from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def place(plain_terminal: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and a plain terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    return plain_terminal
