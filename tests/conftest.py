from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.engines import base


@pytest.fixture(autouse=True)
def runs_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the runs of a test apart from those that the developer has in this clone."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("CONFORMANCE_RUNS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_real_use(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge without the public sets of real use, which a developer may have in the cache and CI has not."""
    monkeypatch.setenv("CONFORMANCE_WORKLOAD", str(tmp_path_factory.getbasetemp() / "no-workload"))


@pytest.fixture(scope="module", autouse=True)
def _registered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Register the engine classes that a test module lists in `REGISTERED_ENGINES`, and forget them after it."""
    classes = getattr(request.module, "REGISTERED_ENGINES", ())
    for engine in classes:
        base.register(engine)
    yield
    for engine in classes:
        del base.ENGINES._known[engine.name]
