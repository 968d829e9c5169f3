"""`conformance authorities`, and `--authority`: the libraries that say what is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import FAST, REFERENCE, sentence
from command_line import Run

from conformance.errors import UsageError
from conformance.oracles import copies
from conformance.oracles.authorities import find, pinned


def have(name: str) -> None:
    try:
        copies.fetch(find(name))
    except UsageError as error:
        pytest.skip(f"{name} cannot be fetched: {error}")


@pytest.mark.parametrize("words", [("authorities",), ("authorities", "list")])
def test_the_list(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.code == 0
    for name, entry in pinned().items():
        assert f"{name}  {entry.distribution} {entry.version}" in result.out
    assert "installed" in result.out


@pytest.mark.parametrize(
    "words",
    [
        ("authorities", "fetch", "x"),
        ("authorities", "compare", "x"),
        ("check", "right.jinja", "--authority", "x"),
        ("scoreboard", "--authority", "x"),
        ("diff", "right.jinja", "--case", "case.json", "--authority", "x"),
    ],
)
def test_an_unknown_authority(run: Run, place: Path, words: tuple[str, ...]) -> None:
    (place / "case.json").write_text('{"messages": [{"role": "user", "content": "Hi"}]}', encoding="utf-8")
    result = run(*words)
    assert result.code == 2
    assert "No authority is called 'x'; choose from openai-harmony, oss-harmony" in sentence(result)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("openai-harmony",), "is what the others are compared with"),
        (("oss-harmony", "--examples", 0), "--examples is 0"),
        (("oss-harmony", "--seed", -1), "--seed is -1"),
    ],
)
def test_a_comparison_that_cannot_be(run: Run, words: tuple[object, ...], told: str) -> None:
    result = run("authorities", "compare", *words)
    assert result.code == 2
    assert told in sentence(result)


def test_a_copy_that_is_not_here_is_unjudged_offline(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for words in (("check", "right.jinja", *FAST), ("authorities", "compare")):
        more = ("--authority", "openai-harmony-0.0.3") if words[0] == "check" else ("openai-harmony-0.0.3",)
        result = run(*words, *more, "--offline")
        assert result.code == 3
        assert "run `conformance authorities fetch openai-harmony-0.0.3`" in sentence(result)


def test_a_comparison_is_kept(run: Run, place: Path) -> None:
    have("openai-harmony-0.0.4")
    result = run("authorities", "compare", "openai-harmony-0.0.4", "--examples", 20, "--output", "kept")
    assert result.code == 0
    assert (place / "kept" / "authorities.md").read_text("utf-8") == result.out
    record = json.loads((place / "kept" / "authorities.json").read_text("utf-8"))
    assert record["schema"] == "conformance-authorities/1"
    assert record["others"][0]["equal"] == record["others"][0]["cases"] == 20


def test_a_case_on_which_the_authority_hangs(run: Run, place: Path) -> None:
    request = {"messages": [{"role": "user", "content": "a" * 300_000}]}
    (place / "case.json").write_text(json.dumps(request), encoding="utf-8")
    (place / "t.jinja").write_text(REFERENCE, encoding="utf-8")
    result = run("diff", "t.jinja", "--case", "case.json", "--engine", "jinja2")
    assert result.code == 3
    assert "openai-harmony took longer than 10 s for a conversation and was ended" in sentence(result)
