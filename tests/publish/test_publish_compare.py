"""What a change makes better or worse."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.cli import main
from conformance.resources import resource

REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")
WORSE = REFERENCE.replace("Knowledge cutoff: 2024-06", "Knowledge cutoff: 2023")
FAST = ("--engine", "jinja2", "--examples", "40")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments, *FAST])
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().out


def test_compare_tells_better_from_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.jinja").write_text(REFERENCE)
    Path("new.jinja").write_text(WORSE)
    code, text = run(capsys, "old.jinja", "new.jinja")
    assert code == 1
    assert "## ❌ Worse: new against old" in text
    assert "| new | HT101 system-text | wording | 0 % | 100 % |" in text
    assert "Smallest conversation that shows HT101" in text
    code, text = run(capsys, "new.jinja", "old.jinja")
    assert code == 0
    assert "| gone | HT101 system-text | wording | 100 % | 0 % |" in text
    assert run(capsys, "new.jinja", "new.jinja")[0] == 0
