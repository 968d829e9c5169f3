"""The worked examples of CONTRIBUTING.md: their steps are taken in a copy, and end where they should."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from conformance.oracles.profile import profile

ROOT = Path(__file__).parents[2]
_NEEDED = ("conformance", "tools", "templates", "fixtures", "docs", "examples", "README.md", "pyproject.toml")
_STEP = re.compile(
    r"In `(?P<path>[^`]+)`(?P<end>, at the end)?:\n\n(?P<block> *```(?P<kind>\w+)\n.*?\n *```\n)", re.DOTALL
)

_TRY = """
from tools import mutants, renew
score = mutants.run([m for m in mutants.load() if m.rule == "result-cut"], cases=300)
assert score.planted == score.rightly_named == 2, [(o.mutant.name, o.found) for o in score.outcomes]
assert "HT403 result-cut" in renew.rules_page()
assert {path.name for path in renew.stale()} == {"rules.md"}, renew.stale()
"""


def _steps(section: str) -> list[tuple[str, bool, str, str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = text.split(f"## {section}\n")[1].split("\n## ")[0]
    return [
        (
            step["path"],
            bool(step["end"]),
            step["kind"],
            "\n".join(textwrap.dedent(step["block"]).split("\n")[1:-2]) + "\n",
        )
        for step in _STEP.finditer(part)
    ]


def _take(copy: Path, path: str, at_end: bool, kind: str, block: str) -> None:
    """Take one step: add to the end of a file, or behind the lines that a difference shows unchanged."""
    file = copy / path
    text = file.read_text(encoding="utf-8")
    if at_end:
        text = f"{text}\n{block}"
    else:
        assert kind == "diff"
        lines = block.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line.startswith(" "))
        after = "".join(line[1:] for line in lines)
        assert text.count(before) == 1, f"{path} has no such place: {before}"
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


def test_a_newcomer_adds_a_rule_in_three_files(tmp_path: Path) -> None:
    for name in _NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    steps = _steps("A new rule")
    assert len({path for path, *_ in steps}) == len(steps) == 3
    for step in steps:
        _take(tmp_path, *step)
    done = subprocess.run(
        [sys.executable, "-c", _TRY], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_newcomer_tries_a_profile_from_a_file(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = text.split("## A new profile\n")[1].split("\n## ")[0]
    (tmp_path / "mine.toml").write_text(part.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    chosen = profile(str(tmp_path / "mine.toml"))
    assert (chosen.content_type, chosen.preamble_channel) == ("constrain", "analysis")
    assert chosen.differs_in(profile("documented")) == {"content_type", "preamble_channel"}


def test_every_kind_of_addition_has_an_example_and_a_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [a-z ]+ \| `(\w+\.py)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    examples = {path.name for path in (ROOT / "examples" / "plugin" / "toy_conformance").glob("*.py")}
    assert {name for name, *_ in rows} == examples - {"__init__.py"}
    for _, room, test in rows:
        for path in re.findall(r"`((?:conformance|tests)/[\w./]+)`", f"{room} {test}"):
            assert (ROOT / path).exists(), path
        for registry, file in re.findall(r"`([A-Z]+)` in `(\w+\.py)`", room):
            folder = re.search(r"`(conformance/[\w/]+/)`", room)
            assert folder is not None
            assert f"\n{registry}: Registry" in (ROOT / folder[1] / file).read_text(encoding="utf-8")
