"""What the tool says about itself, and output into pipes, full disks and other encodings."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import FAST, normal, subprocess_run
from command_line import Run
from syrupy.assertion import SnapshotAssertion

from conformance import __version__
from conformance.cli.app import COMMANDS
from conformance.cli.lazy import LazyCommands
from conformance.rules import catalogue as rules
from conformance.sources import catalogue

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}


def test_help_of_check(run: Run, snapshot: SnapshotAssertion) -> None:
    result = run("check", "--help")
    assert result.code == 0
    assert normal(result.out) == snapshot


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Usage: conformance" in result.out


@pytest.mark.parametrize("arguments", [(), ("templates",)])
def test_no_command_is_wrong_usage_and_prints_the_help(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.err) == (2, "")
    assert "Commands:" in result.out


def test_the_list_says_of_a_command_what_its_own_help_says() -> None:
    for name, command in LazyCommands(COMMANDS).items():
        assert command.help == COMMANDS[name].help


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"conformance {__version__}\n", "")


def test_explain(run: Run, snapshot: SnapshotAssertion) -> None:
    by_slug = run("explain", "default-comment-placement")
    assert by_slug.code == 0
    assert normal(by_slug.out) == snapshot
    assert run("explain", "HT203") == run("explain", "ht203") == by_slug
    family = run("explain", "HT20")
    assert ("HT201" in family.out, "HT209" in family.out, "HT210" in family.out) == (True, True, False)
    listed = run("explain").out
    assert all(rule.slug in listed for rule in rules())


def test_templates_list(run: Run) -> None:
    result = run("templates", "list")
    assert (result.code, result.err) == (0, "")
    for entry in catalogue.entries():
        assert f"{entry.name}  {entry.sha256[:12]}" in result.out


def test_templates_fetch(run: Run) -> None:
    if not catalogue.is_cached("unsloth-package"):
        pytest.skip("unsloth-package is not cached here; `conformance templates fetch` gets it")
    assert run("templates", "fetch", "unsloth-package") == (0, "unsloth-package  was cached\n", "")


def test_a_template_is_shown_byte_by_byte_whatever_the_locale() -> None:
    entry = catalogue.find("openai-gpt-oss-120b")
    if not catalogue.is_cached(entry.name):
        pytest.skip(f"{entry.name} is not cached here; `conformance templates fetch` gets it")
    done = subprocess_run("templates", "show", entry.name, env=ASCII)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hashlib.sha256(done.stdout).hexdigest() == entry.sha256


@pytest.mark.parametrize("which", ["case", "report"])
def test_schema(run: Run, which: str) -> None:
    assert json.loads(run("schema", which).out)["$id"] == f"conformance-{which}/1"


def test_doctor(run: Run) -> None:
    result = run("doctor")
    assert result.code == 0
    for part in (
        "conformance",
        "authority",
        "openai_harmony",
        "vocabulary",
        "engine jinja2",
        "engine transformers",
        "catalogue",
    ):
        assert part in result.out


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [
        ("conformance explain one-of", 2, "one-of-layout"),
        ("conformance check unsloth-p", 2, "unsloth-package"),
        ("conformance check x --profile doc", 4, "documented"),
        ("conformance check x --engine jin", 4, "jinja2"),
        ("conformance scor", 1, "scoreboard"),
    ],
)
def test_completion(run: Run, monkeypatch: pytest.MonkeyPatch, words: str, number: int, offered: str) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(number))
    monkeypatch.setenv("_CONFORMANCE_COMPLETE", "complete_bash")
    assert run().out.split() == [offered]


def test_completion_script(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else typer asks which shell started the tests, and there may be none.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert "_CONFORMANCE_COMPLETE=complete_bash" in run("--show-completion", "bash").out


def test_plain_ascii_where_the_locale_has_no_more(place: Path) -> None:
    (place / "zürich.jinja").write_bytes((place / "newlines.jinja").read_bytes())
    done = subprocess_run("check", "zürich.jinja", *FAST, "--output", "o", env=ASCII)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.isascii()
    request = {"messages": [{"role": "system", "content": "Grüße \U0001f389"}]}
    (place / "request.json").write_text(json.dumps(request))
    done = subprocess_run("diff", "newlines.jinja", "--case", "request.json", "--engine", "jinja2", env=ASCII)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.isascii()


@pytest.mark.parametrize("columns", ["30", "40", "200"])
def test_narrow_and_wide_terminals(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = run("check", "newlines.jinja", *FAST, "--output", "o")
    assert (result.code, result.err) == (1, "")
    assert "newlines" in result.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("check", "newlines.jinja", *FAST, "--output", "o"), 1), (("explain",), 0), (("--help",), 0)],
)
def test_a_reader_that_leaves_early_does_not_change_the_exit_code(
    arguments: tuple[str, ...], code: int
) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess_run(*arguments, stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize("arguments", [("explain",), ("check", "right.jinja", *FAST, "--output", "o")])
def test_a_full_disk_is_one_sentence(arguments: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess_run(*arguments, stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr == b"conformance: Cannot write to standard output: no space left on device.\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = ["transformers", "openai_harmony", "hypothesis", "torch", "jinja2", "huggingface_hub", "gguf"]
    code = f"import sys, conformance.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
