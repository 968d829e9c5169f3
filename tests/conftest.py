from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Result, Run


@pytest.fixture(autouse=True)
def runs_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the runs of a test apart from those that the developer has in this clone."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("CONFORMANCE_RUNS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_real_use(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge without the public sets of real use, which a developer may have in the cache and CI has not.

    A folder for each test: one that fetches the sets leaves them to no other.
    """
    monkeypatch.setenv("CONFORMANCE_WORKLOAD", str(tmp_path_factory.mktemp("workload")))


@pytest.fixture(scope="module", autouse=True)
def _registered(request: pytest.FixtureRequest) -> Iterator[None]:
    """Register the engine classes that a test module lists in `REGISTERED_ENGINES`, and forget them after it."""
    classes = getattr(request.module, "REGISTERED_ENGINES", ())
    if not classes:
        yield
        return
    from conformance.engines import (
        base,
    )  # GPU machines lack what it imports, and run the precision track's tests

    for engine in classes:
        base.register(engine)
    yield
    for engine in classes:
        del base.ENGINES._known[engine.name]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""
    from conformance.cli import main

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return call


@pytest.fixture
def plain_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with runs kept beside it and a terminal of 80 columns without colours."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return work
