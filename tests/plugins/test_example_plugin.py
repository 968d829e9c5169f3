"""The example plug-in, installed as pip would, is found in every registry and does its work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conformance.resources import resource

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
REFERENCE = resource("templates", "gpt-oss.jinja").read_text("utf-8")
FEW = ("--examples", "12", "--output", "o")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the metadata that an installer makes of the example's pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    site = tmp_path_factory.mktemp("site")
    folder = site / "toy_conformance-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    return site


def run(site: Path, place: Path, *arguments: str, code: int) -> str:
    path = os.pathsep.join(filter(None, [str(site), str(EXAMPLE), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        timeout=300,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def test_source_engine_shape_and_writer(site: Path, tmp_path: Path) -> None:
    run(
        site,
        tmp_path,
        "check",
        "toy://2024-05",
        "--engine",
        "toy",
        "--shape",
        "toy",
        "--format",
        "csv",
        *FEW,
        code=1,
    )
    rows = (tmp_path / "o" / "report.csv").read_text().splitlines()
    assert rows[0] == "target,rule,count"
    assert "toy,system-text,12" in rows
    (target,) = json.loads((tmp_path / "o" / "report.json").read_text())["targets"]
    assert target["source"]["kind"] == "toy"
    assert {name for found in target["divergences"] for name in found["engines"]} == {"toy"}
    assert {name.split("+")[0] for found in target["divergences"] for name in found["shapes"]} == {"toy"}


def test_a_check_brings_its_rule(site: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.jinja").write_text(
        "LISTEN " + "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    words = ("check", "--any", "loud.jinja", "--engine", "jinja2", "--examples", "0", "--format", "json")
    report = json.loads(run(site, tmp_path, *words, code=1))
    assert "toy-shouts" in {found["rule"] for found in report["targets"][0]["divergences"]}


def test_a_fix(site: Path, tmp_path: Path) -> None:
    """Two literals are wrong in one tag: no edit of a single one repairs it before the plug-in's fix is tried."""
    line = "{{- '\\nKnowledge cutoff: 2024-06\\nCurrent date: ' -}}"
    cutoff = "'\\nKnowledge cutoff: 2024\\nCurrent date: '"
    wrong = REFERENCE.replace(line, f"{{{{- {cutoff} if tools else {cutoff} -}}}}")
    assert wrong != REFERENCE
    (tmp_path / "wrong.jinja").write_text(wrong)
    said = run(site, tmp_path, "fix", "wrong.jinja", "--examples", "40", "-o", "right.jinja", code=0)
    assert "toy-cutoff" in said
    assert (tmp_path / "right.jinja").read_text().count("Knowledge cutoff: 2024-06") == 2


def test_a_precision_path(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ("precision", "--preset", "tiny", "--path", "toy-loop", "--regime", "gaussian", "--depth", "0")
    assert "toy-loop" in run(site, tmp_path, *words, "--device", "cpu", code=0)


def test_everything_that_the_example_adds_is_listed(site: Path, tmp_path: Path) -> None:
    assert "toy" in run(site, tmp_path, "engines", "list", code=0)
