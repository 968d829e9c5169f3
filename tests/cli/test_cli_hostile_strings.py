"""What strangers write in names, paths, settings and templates reaches no terminal, log or Markdown as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run
from hostile_strings import STRINGS, batches, steering

COMMANDS: dict[str, tuple[str, ...]] = {
    "check a target": ("check", "{}.jinja", "--offline"),
    "check several": ("check", "{}.jinja", "b{}.gguf", "--offline"),
    "check an engine": ("check", "right.jinja", "--engine", "{}"),
    "check a shape": ("check", "right.jinja", "--shape", "{}"),
    "check a profile": ("check", "right.jinja", "--profile", "{}"),
    "check an authority": ("check", "right.jinja", "--authority", "{}"),
    "check a format": ("check", "right.jinja", "--format", "{}"),
    "check a server": ("check", "http://127.0.0.1:9/{}", "--server", "{}"),
    "check a rule": ("check", "right.jinja", "--select", "{}"),
    "check an option": ("check", "right.jinja", "--{}"),
    "scoreboard": ("scoreboard", "--engine", "{}"),
    "compare": ("compare", "{}.jinja", "{}.jinja", "--offline"),
    "diff": ("diff", "right.jinja", "--case", "{}.json"),
    "replay": ("replay", "{}"),
    "fix": ("fix", "{}.jinja"),
    "audit": ("audit", "{}.jinja", "--offline"),
    "sweep": ("sweep", "run", "{}"),
    "sweep report": ("sweep", "report", "--output", "{}"),
    "explain": ("explain", "{}"),
    "schema": ("schema", "{}"),
    "templates": ("templates", "show", "{}"),
    "authorities": ("authorities", "fetch", "{}"),
    "engines": ("engines", "fetch", "{}"),
    "vectors": ("vectors", "check", "--vectors", "{}", "--command", "true"),
    "precision": ("precision", "--checkpoint", "{}"),
    "a command": ("{}",),
}


@pytest.fixture(autouse=True)
def place(plain_terminal: Path) -> Path:
    (plain_terminal / "right.jinja").write_text("x", encoding="utf-8")
    return plain_terminal


@pytest.mark.parametrize("command", list(COMMANDS))
def test_no_command_prints_a_strangers_word_as_it_is(run: Run, command: str) -> None:
    for hostile in batches():
        result = run(*(argument.replace("{}", hostile) for argument in COMMANDS[command]))
        assert result.code in (1, 2, 3)
        assert steering(result.out + result.err) == [], hostile


def test_no_report_prints_what_a_template_says_as_it_is(run: Run, place: Path) -> None:
    said = [text.encode("unicode_escape").decode().replace("'", "") for text in STRINGS]
    raises = "".join(
        f"{{%- if messages|length == {number + 1} -%}}{{{{- raise_exception('{text}') -}}}}{{%- endif -%}}"
        for number, text in enumerate(said[::7])
    )
    never = "".join(f"{{%- if false -%}}{text}{{%- endif -%}}" for text in STRINGS if "{" not in text)
    (place / "hostile.jinja").write_text(
        f"{raises}{{%- for m in messages -%}}<|start|>{{{{ m.role }}}}{''.join(said[:9])}{{%- endfor -%}}{never}",
        encoding="utf-8",
        newline="",
    )
    forms = ("markdown", "github", "gitlab", "junit")
    wanted = [word for form in forms for word in ("--format", f"{form}={form}.out")]
    result = run(
        "check", "hostile.jinja", "--engine", "jinja2", "--examples", 12, "--format", "terminal", *wanted
    )
    assert result.code in (1, 3)  # 3 where a busy machine runs into a limit
    assert steering(result.out + result.err) == []
    for said in (result.out, *((place / f"{form}.out").read_text(encoding="utf-8") for form in forms)):
        assert "hostile" in said
        assert steering(said) == []


def test_a_settings_file_is_told_of_without_its_words(run: Run, place: Path) -> None:
    for number, hostile in enumerate(batches()):
        quoted = "".join(f"\\U{ord(char):08x}" for char in hostile)
        (place / "conformance.toml").write_text(f'[check]\n"{quoted}" = "{quoted}"\n', encoding="utf-8")
        result = run("check", "right.jinja")
        assert result.code == 2, number
        assert steering(result.out + result.err) == []
