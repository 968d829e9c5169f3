"""A release needs a section of the changelog, and one place that says the version."""

from __future__ import annotations

import tomllib
from pathlib import Path

from conformance import __version__
from tools.release_notes import notes

ROOT = Path(__file__).parents[2]
TEXT = """# Changelog

## [Unreleased]

- later

## [0.2.0] - 2027-01-02

### Added

- this

## [0.1.0] - 2026-12-01

- that
"""


def test_the_section_of_a_version_is_found():
    assert notes(TEXT, "0.2.0") == "### Added\n\n- this"
    assert notes(TEXT, "0.1.0") == "- that"
    assert notes(TEXT, "Unreleased") is None
    assert notes(TEXT, "0.2") is None


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    assert __version__.count(".") == 2
