"""The precision track's report inside the common one, checked against the published schema."""

from __future__ import annotations

import json

import pytest

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed, as on GPU machines")
typer_testing = pytest.importorskip("typer.testing")
pytest.importorskip("torch")

from conformance.precision.cli import app  # noqa: E402


def test_the_common_report_is_valid(tmp_path):
    from conformance.report.model import report_schema

    done = typer_testing.CliRunner().invoke(
        app, ["--short", "--isolation", "none", "--device", "cpu", "--output", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, report_schema())
    assert report["precision"]["rows"], "rows are what the report is for"
    assert {"path", "dtype", "stage", "regime", "verdict", "metrics"} <= set(report["precision"]["rows"][0])
    assert report["targets"] == []
