"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.rules import rule
from tools.renew import stale

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_nothing_that_is_generated_is_stale():
    assert stale() == [], "run `nox -s renew`"


def test_the_set_up_commands_stand_in_the_readme():
    text = README.read_text(encoding="utf-8")
    assert "python -m pip install nox && python -m nox -s conformance" in text
    assert "python -m nox -s tests" in text
    assert "nox -s tests" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# CONTRIBUTING's example adds a rule.
_DOCUMENTS = [
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")] if path.name != "CONTRIBUTING.md"
]


def test_rules_named_in_the_documents_exist():
    texts = [path.read_text(encoding="utf-8") for path in _DOCUMENTS]
    codes = {code for text in texts for code in re.findall(r"\bH[TP]\d{3}\b", text)}
    assert len(codes) > 20, "the documents name rules by their codes"
    for code in codes:
        assert rule(code).code == code


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"^conformance ([a-z]+)", README.read_text("utf-8"), re.M)))
)
def test_commands_in_the_readme_exist(command):
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", command, "--help"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
