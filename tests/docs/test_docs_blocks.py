"""The code in the documentation runs: what a reader copies does what the page says.

Blocks of a page run in their order, in one folder with the files of `examples/first-template`. A block that cannot
run here says so in its first line, for readers too: `# not run by the tests: REASON`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from conformance.resources import resource

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "first-template"
NOT_RUN = re.compile(r"# not run by the tests: \w.+")
_BLOCK = re.compile(r"^( *)```([a-z]*)([^\n]*)\n(.*?)^\1```$", re.M | re.S)
_LANGUAGES = {"sh", "python", "toml", "json", "text", "diff"}
# These name programs of this project; what else stands in a block is the reader's shell.
_PROGRAMS = ("conformance", "cp")
# So few conversations show all three faults of the example, and the pages take seconds instead of minutes.
_FEW = """
engine = ["jinja2"]
examples = 20
"""


class Block(NamedTuple):
    page: Path
    language: str
    options: str
    text: str

    @property
    def runs(self) -> bool:
        return not NOT_RUN.match(self.text)


def pages() -> list[Path]:
    made = {"rules.md", "profiles.md"}
    own = [path for path in sorted(ROOT.glob("docs/*.md")) if path.name not in made]
    return [ROOT / "README.md", EXAMPLE / "README.md", *own]


def blocks(page: Path) -> list[Block]:
    found = []
    for indent, language, options, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = [line.removeprefix(indent) for line in text.splitlines()]
        found.append(Block(page, language, options, "\n".join(lines)))
    return found


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _with_blocks() -> list[Path]:
    return [page for page in pages() if any(block.runs for block in blocks(page))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with the files that the pages speak of."""
    for name in ("chat_template.jinja", "request.json"):
        shutil.copy(EXAMPLE / name, tmp_path / name)
    shutil.copy(resource("templates", "gpt-oss.jinja"), tmp_path / "right.jinja")
    model = tmp_path / "model"
    model.mkdir()
    shutil.copy(EXAMPLE / "chat_template.jinja", model / "chat_template.jinja")
    (tmp_path / "other.jinja").write_text("{% for message in messages %}{{ message.role }}\n{% endfor %}")
    (tmp_path / "requests.jsonl").write_text(
        json.dumps(json.loads((EXAMPLE / "request.json").read_text())) + "\n"
    )
    (tmp_path / "few.toml").write_text(_FEW)
    monkeypatch.setenv("CONFORMANCE_SETTINGS", str(tmp_path / "few.toml"))
    monkeypatch.setenv("CONFORMANCE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def _now_and_then(page: Path) -> object:
    """Every command of a page starts Python and its workers: the longer pages run with the long tests."""
    short = {"README.md", "reading-a-report.md", "kernels.md"}
    return (
        page if page.name in short and page.parent != EXAMPLE else pytest.param(page, marks=pytest.mark.long)
    )


@pytest.mark.parametrize("page", [_now_and_then(page) for page in _with_blocks()], ids=_named)
def test_what_a_page_shows_runs(page: Path, folder: Path):
    for block in blocks(page):
        if not block.runs:
            continue
        if block.language == "sh":
            for line in block.text.splitlines():
                _run(line, folder, page)
        elif block.language == "python":
            _run_python(block, folder)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def _run(line: str, folder: Path, page: Path) -> None:
    command, _, said = line.partition("#")
    words = shlex.split(command)
    if not words or words[0] not in _PROGRAMS:
        return  # the set-up commands, which CI itself runs
    if words[0] == "conformance":
        command = command.replace("conformance", f"{shlex.quote(sys.executable)} -m conformance.cli", 1)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    told = re.search(r"exit code (\d)", said)
    wanted = int(told[1]) if told else 0
    assert done.returncode == wanted, f"{page.name}: {line}\n{done.stdout[-3000:]}{done.stderr}"


def _run_python(block: Block, folder: Path) -> None:
    named = re.match(r'"""(\w+\.py): ', block.text) or re.search(r'title="([\w.]+)"', block.options)
    file = folder / (named[1] if named else "example.py")
    file.write_text(block.text, encoding="utf-8")
    if "import torch" in block.text:
        pytest.importorskip("torch", reason="this block needs torch")
    done = subprocess.run(
        [sys.executable, str(file)], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{block.page.name}: {done.stderr}"


def test_every_block_says_what_it_is():
    """Else a command in a block without a language would be run by nobody, and nobody would know."""
    for page in pages():
        for block in blocks(page):
            assert block.language in _LANGUAGES, f"{page.name}: {block.text[:60]}"
            if block.language == "text":
                assert not block.text.startswith("conformance "), f"{page.name}: a command is no output"


def test_most_pages_have_code_that_runs():
    assert len(_with_blocks()) > 10


def test_the_pages_are_all_in_the_site():
    """`nox -s docs` builds it strictly; this holds without mkdocs too."""
    listed = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert listed == {path.name for path in ROOT.glob("docs/*.md")}


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "docs" / "rules.md", ROOT / "docs" / "profiles.md"], ids=_named
)
def test_links_between_pages_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            # What lies beside docs/ is not in the site, and its strict build would fail.
            assert page.parent.name != "docs" or not target.startswith("../"), f"{page.name}: {target}"


def test_the_readme_is_one_screen():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 70
    assert lines[2].startswith("!["), "it opens with a picture of a real report"
    assert all((ROOT / path).is_file() for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", "\n".join(lines)))
