"""This project and vLLM's library in one environment, installed by real pip: the right one judges, doctor explains."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

import conformance
from conformance.oracles.authorities import find
from conformance.resources import resource

OURS, THEIRS = "openai-harmony==0.0.8", "oss-harmony==0.0.11"
REFERENCE = str(resource("templates", "gpt-oss.jinja"))


class Environment:
    """A virtual environment that sees this one's packages, but for the Harmony libraries, after its own."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        self.site = next((folder / "venv").glob("lib/python*/site-packages"))
        others = folder / "others"
        others.mkdir()
        for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in Path(place).iterdir():
                if "harmony" not in entry.name and entry.suffix != ".pth":
                    (others / entry.name).symlink_to(entry)
        source = Path(conformance.__file__).parent.parent
        (self.site / "others.pth").write_text(f"{others}\n{source}\n", encoding="utf-8")
        self.environment = {
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": "/dev/null",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
            "COLUMNS": "1000",
        }
        self.environment.pop("PYTHONPATH", None)

    def pip(self, *words: str) -> None:
        """Run pip as a user does, on this environment alone."""
        done = subprocess.run(
            [str(self.python), "-P", "-m", "pip", *words, "-q"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr

    def install(self, *wanted: str) -> None:
        self.pip("install", "--no-deps", "--force-reinstall", *wanted)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), "-P", "-m", "conformance.cli", *words],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def check(self, *more: str) -> tuple[dict[str, Any], str]:
        """Judge the reference template, which has to be right, and return the report and standard error."""
        done = self.run("check", REFERENCE, "--engine", "jinja2", "--examples", "150", "--output", "o", *more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "judged by openai-harmony 0.0.8" in done.stdout
        report = json.loads((self.folder / "o" / "report.json").read_text("utf-8"))
        (target,) = report["targets"]
        assert target["right_under"]["harmony"] == 1
        assert target["cases"]["equal"] == target["cases"]["total"] > 100
        assert report["run"].get("layout_failures", 0) == 0
        return report, done.stderr

    def doctor(self) -> tuple[int, dict[str, str]]:
        """Return doctor's exit code and its rows: for each part its state and detail, with single spaces."""
        done = self.run("doctor")
        assert "Traceback" not in done.stderr
        rows = {}
        for line in done.stdout.splitlines()[1:]:
            part, _, rest = line.partition("  ")
            rows[part] = " ".join(rest.split())
        return done.returncode, rows

    def module(self) -> dict[str, str]:
        files = (self.site / "openai_harmony").glob("*.*")
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "-q", "--dest", str(folder)]
    done = subprocess.run([*command, OURS, THEIRS], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot fetch the two libraries here: {(done.stderr.splitlines() or ['?'])[-1]}")
    return folder


@pytest.fixture
def place(tmp_path: Path, wheels: Path) -> Environment:
    return Environment(tmp_path, wheels)


def test_vllms_library_after_ours(place: Environment) -> None:
    place.install(OURS)
    report, err = place.check("--offline")
    assert (report["authority"]["origin"], report["authority"]["version"]) == ("installed", "0.0.8")
    assert err == ""

    place.install(THEIRS)
    before = place.module()
    code, rows = place.doctor()
    assert code == 3
    assert rows["authority"].startswith(
        "missing The installed module openai_harmony is that of oss-harmony 0.0.11"
    )
    assert "conformance authorities fetch openai-harmony" in rows["authority"]
    module = rows["module openai_harmony"]
    assert module.startswith("contested")
    assert "claimed by openai-harmony 0.0.8 and oss-harmony 0.0.11" in module
    assert "the files are those of oss-harmony 0.0.11" in module
    assert f"`python -m pip install --force-reinstall --no-deps {THEIRS}`" in module
    assert "pipx" in module

    refused = place.run("check", REFERENCE, "--offline", "--examples", "20")
    assert refused.returncode == 3
    assert "is that of oss-harmony 0.0.11, not of openai-harmony" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    report, err = place.check()
    authority = report["authority"]
    assert authority["origin"] == "own copy"
    assert (authority["name"], authority["version"]) == ("openai-harmony", "0.0.8")
    assert authority["renders"] == find("openai-harmony").renders
    assert "note: fetched a copy of openai-harmony" in err
    code, rows = place.doctor()
    assert code == 0
    assert rows["authority"].startswith("ok openai-harmony 0.0.8 (own copy), of the package openai-harmony")
    assert rows["module openai_harmony"].startswith("contested")
    assert place.module() == before, "the user's installation was touched"


def test_ours_after_vllms_library(place: Environment) -> None:
    place.install(THEIRS)
    place.install(OURS)
    report, err = place.check("--offline")
    assert report["authority"]["origin"] == "installed"
    assert err == ""
    code, rows = place.doctor()
    assert code == 0
    assert rows["authority"].startswith("ok openai-harmony 0.0.8, of the package openai-harmony")
    module = rows["module openai_harmony"]
    assert "the files are those of openai-harmony 0.0.8" in module
    # What vLLM renders is not what its package says any more, and this gives it back.
    place.install(THEIRS)
    assert "the files are those of oss-harmony 0.0.11" in place.doctor()[1]["module openai_harmony"]


def test_openai_harmony_removed(place: Environment) -> None:
    place.install(OURS)
    place.install(THEIRS)
    place.pip("uninstall", "-y", "openai-harmony")
    assert not (place.site / "openai_harmony" / "__init__.py").exists()
    code, rows = place.doctor()
    assert code == 3
    assert rows["authority"].startswith("missing OpenAI's Harmony library is not installed here")
    assert rows["module openai_harmony"] == "optional not installed"
    refused = place.run("check", REFERENCE, "--offline", "--examples", "20")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert (
        "OpenAI's Harmony library is not installed here; run `conformance authorities fetch" in refused.stderr
    )
    report, _ = place.check()
    assert report["authority"]["origin"] == "own copy"
