from __future__ import annotations

from pathlib import Path

import pytest
from cli_helpers import NEWLINES, NO_HARMONY, REFERENCE, Result, Run

from conformance.cli import main


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with runs kept beside it and a terminal of 80 columns without colours."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    (work / "right.jinja").write_text(REFERENCE, encoding="utf-8")
    (work / "newlines.jinja").write_text(NEWLINES, encoding="utf-8")
    (work / "other.jinja").write_text(NO_HARMONY, encoding="utf-8")
    return work


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return call
