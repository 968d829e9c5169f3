"""`fix` leaves a template the cited readings that it follows, unless another profile is asked for."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from conformance.cli.app import app
from conformance.oracles.profile import profile
from conformance.resources import resource
from tools.reading_variants import reading_variant

REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")


def test_a_cited_reading_is_not_repaired_away(tmp_path: Path) -> None:
    file, out = tmp_path / "mine.jinja", tmp_path / "out.jinja"
    text = reading_variant(REFERENCE, profile("later_instructions=heading,recipient=channel"))
    file.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["fix", str(file), "--examples", "150", "-o", str(out)])
    said = " ".join(done.output.split())
    assert done.exit_code == 0, said
    assert "follows cited readings, which stay: later_instructions=heading,recipient=channel" in said
    assert out.read_text(encoding="utf-8") == text
