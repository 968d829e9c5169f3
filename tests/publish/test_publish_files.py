"""The action, the GitLab job and the pre-commit hook: their own shell steps, run as those services run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conformance.resources import clone, resource

ROOT = clone()
pytestmark = pytest.mark.skipif(ROOT is None, reason="action.yml and its like are in the repository alone")
REFERENCE = resource("templates", "gpt-oss.jinja").read_text(encoding="utf-8")


def read(name: str) -> Any:
    assert ROOT is not None
    return yaml.safe_load((ROOT / name).read_text())


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with a right and a wrong template, and a name that a shell would expand."""
    for name, text in (
        ("right.jinja", REFERENCE),
        ("wrong one.jinja", "x"),
        ("wrong.jinja", REFERENCE.replace("2024-06", "2023")),
    ):
        (tmp_path / name).write_text(text)
    return tmp_path


def bash(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "arguments", "code"),
    [
        ("right.jinja", "", 0),
        ("wrong.jinja\nright.jinja", "", 1),
        ("wrong.jinja", "--ignore HT101", 0),
        ("$(touch${IFS}executed) ; *", "", 2),
    ],
)
def test_the_actions_own_step(
    targets: str, arguments: str, code: int, workspace: Path, tmp_path: Path
) -> None:
    step = next(step for step in read("action.yml")["runs"]["steps"] if step.get("id") == "check")
    given = {name: f"<{name}>" for name in step["env"]}
    given |= {
        "ENVIRONMENT": sys.prefix,
        "OUTPUT": str(tmp_path / "out"),
        "TARGETS": targets,
        "BASELINE": "",
        "FAIL_ON": "error",
        "ARGUMENTS": f"{arguments} --engine jinja2 --examples 20",
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    done = bash(step["run"], workspace, given)
    assert done.returncode == code, done.stderr
    assert not (workspace / "executed").exists()
    if code < 2:
        assert "## Chat template conformance" in (tmp_path / "summary").read_text()
        assert (tmp_path / "out" / "report.sarif").is_file()
        assert ("::error file=wrong.jinja" in done.stdout) == (code == 1)
    outputs = (tmp_path / "outputs").read_text()
    for output in read("action.yml")["outputs"].values():
        name = re.search(r"steps\.check\.outputs\.(\w+)", output["value"])
        assert name is not None
        assert f"{name[1]}=" in outputs


def test_gitlabs_own_script(workspace: Path) -> None:
    job = read("ci/gitlab.yml")["conformance"]
    script = "\n".join(line for line in job["script"] if not line.startswith("pip "))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    given = {
        "PATH": path,
        "CONFORMANCE_TARGETS": "wrong.jinja",
        "CONFORMANCE_ARGUMENTS": "--engine jinja2 --examples 20",
    }
    done = bash(script, workspace, given)
    assert done.returncode == 1, done.stderr
    for file in job["artifacts"]["reports"].values():
        assert (workspace / file).is_file()


def test_the_hook_takes_template_files_and_runs_check() -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    assert hook["entry"].startswith("conformance check ")
    for name, taken in {
        "chat_template.jinja": True, "a/tokenizer_config.json": True, "a/config.json": False, "x.py": False,
    }.items():  # fmt: skip
        assert bool(re.search(hook["files"], name)) is taken


@pytest.mark.parametrize(("template", "code"), [("right.jinja", 0), ("wrong.jinja", 1), ("nowhere.jinja", 2)])
def test_nox_ends_with_checks_own_exit_code(template: str, code: int, workspace: Path) -> None:
    if shutil.which("nox", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("nox is not installed")
    assert ROOT is not None
    # Without a virtual environment: installing is pip's matter, and the session's own code is what runs here.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "--no-venv", "--no-install"),
            *("-s", "conformance", "--", str(workspace / template), "--engine", "jinja2", "--examples", "20"),
        ],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
