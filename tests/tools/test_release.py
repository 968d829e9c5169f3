"""A release needs a section of the changelog, and one place that says the version."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

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
    assert "version" in project["dynamic"]
    assert __version__.count(".") == 2


def test_this_version_has_its_section():
    assert notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)


@pytest.mark.parametrize("repository", ["", "owner/name"])
def test_the_readme_on_a_package_index_has_no_link_to_a_file_beside_it(repository: str):
    pytest.importorskip("hatchling", reason="the build's backend is not installed: pip install -e .[test]")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.readme((ROOT / "README.md").read_text(encoding="utf-8"), repository, "1.2.3")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for link in links)
    assert ("https://github.com/owner/name/blob/v1.2.3/docs/gate.md" in links) == bool(repository)
    assert "gating uploads" in text
