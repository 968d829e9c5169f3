"""`fix` leaves a template the cited readings that it follows, unless another profile is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.million import compare
from typer.testing import CliRunner

from conformance.cli.app import app
from conformance.fixes.base import fixes
from conformance.fixes.readings import reading_variant
from conformance.fixes.reference import written_under
from conformance.oracles.profile import profile
from conformance.resources import resource
from conformance.template.parts import Source

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


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("no_arguments=none", "tool-definitions"),
        ("thinking_inference=documented", "assistant-and-results"),
        ("recipient=channel,result_recipient=channel", "assistant-and-results"),
    ],
)
def test_sections_are_written_as_the_profile_reads_the_format(said: str, fix: str) -> None:
    chosen = profile(said)
    (section,) = (each for each in fixes() if each.name == fix)
    with written_under(chosen):
        text = section.apply(Source(reading_variant(REFERENCE, chosen)))
    assert text != reading_variant(REFERENCE, chosen)
    result = compare(text, 3, 0, 60, profile=said)
    assert result.differing == 0, result.examples
