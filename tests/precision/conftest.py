"""The precision tests need torch; without it they are skipped with the reason, never passed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[precision]'")


@pytest.fixture(autouse=True)
def _quiet():
    """Small tensors: one thread is faster than two that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _few_scored_tokens(monkeypatch):
    """In this process the constants are looked for on fewer tokens than a run takes: most tests are about others."""
    monkeypatch.setattr("conformance.precision.run.layer.SCORED_TOKENS", 64)


@pytest.fixture(scope="session")
def cpu():
    return torch.device("cpu")


@pytest.fixture
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU: torch sees no CUDA device here")
    return torch.device("cuda", 0)
