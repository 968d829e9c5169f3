from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in import Llama, serving


@pytest.fixture(autouse=True)
def place(plain_terminal: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, a terminal of 100 columns, and a client that does not wait."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CONFORMANCE_API_KEY", raising=False)
    monkeypatch.setattr("conformance.servers.client._PAUSES", (0.0,))
    return plain_terminal


@pytest.fixture
def llama() -> Iterator[tuple[str, Llama]]:
    """A stand-in for llama-server that is right, and its address."""
    server = Llama()
    with serving(server) as address:
        yield address, server
