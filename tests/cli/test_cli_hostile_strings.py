"""What strangers write in names, paths, settings and templates reaches no terminal, log or Markdown as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    "check a renderer": ("check", "renderer:{}"),
    "check a program": ("check", "--command", "/nowhere/{}"),
    "check a workload": ("check", "right.jinja", "--workload", "{}.jsonl", "--offline"),
    "check a baseline": ("check", "right.jinja", "--baseline", "{}.toml", "--offline"),
    "requests": ("requests", "{}.jsonl", "right.jinja"),
    "requests of a target": ("requests", "said.jsonl", "{}.jinja", "--offline"),
    "upload a folder": ("upload", "{}", "me/mine"),
    "upload to": ("upload", ".", "{}"),
    "report": ("report", "{}.json"),
    "settings": ("settings", "{}"),
    "a settings file": ("--settings", "{}.toml", "settings"),
    "workload": ("workload", "show", "{}"),
    "renderers": ("renderers", "fetch", "{}"),
    "renderers command": ("renderers", "command", "{}"),
    "renderers report": ("renderers", "report", "{}"),
    "authorities compare": ("authorities", "compare", "{}"),
    "vectors export": ("vectors", "export", "--feature", "{}"),
    "vectors add": ("vectors", "add", "{}.json"),
    "templates fetch": ("templates", "fetch", "{}"),
    "precision a kernel": ("precision", "--kernel", "{}.py:f"),
    "precision a path": ("precision", "--path", "{}"),
    "precision activations": ("precision", "--activations", "{}.safetensors"),
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
    forms = ["markdown", "github", "gitlab", "junit"]
    written = [word for form in forms for word in ("--format", f"{form}={form}.out")]
    result = run(
        "check", "hostile.jinja", "--engine", "jinja2", "--examples", 12, "--format", "terminal", *written
    )
    assert result.code in (1, 3)  # 3 where a busy machine runs into a limit
    for form, text in [
        ("terminal", result.out),
        *((form, (place / f"{form}.out").read_text("utf-8")) for form in forms),
    ]:
        assert "hostile" in text, form
        assert steering(text) == [], form
    assert steering(result.err) == []


def test_no_log_of_requests_is_told_of_in_its_own_words(run: Run, place: Path) -> None:
    said = "|".join(STRINGS)
    user: dict[str, Any] = {"role": "user", "content": said}
    tool = {
        "name": "f",
        "description": said,
        "parameters": {"type": "object", "properties": {said: {"enum": [said]}}},
    }
    bodies: list[dict[str, Any]] = [
        {"messages": [user], "tools": [{"type": "function", "function": tool}], said: said},
        {"messages": [user | {"role": said}]},
        {"messages": [user | {"name": said}]},
        {"messages": [{"role": "tool", "tool_call_id": said, "content": [{"type": said, said: said}]}]},
        {"messages": [user], "reasoning_effort": said},
        {"input": [{"type": said, said: said}], "tools": [{"type": said}]},
    ]
    lines = [*(json.dumps(body) for body in bodies), said.replace("\n", " ")]
    (place / "said.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="")
    result = run("requests", "said.jsonl", "right.jinja", "--engine", "jinja2")
    assert (result.code, "Severity" in result.out) == (2, True), result.err  # 2: a line is no request
    assert steering(result.out + result.err) == []


def test_a_settings_file_is_told_of_without_its_words(run: Run, place: Path) -> None:
    for number, hostile in enumerate(batches()):
        quoted = "".join(f"\\U{ord(char):08x}" for char in hostile)
        (place / "conformance.toml").write_text(f'[check]\n"{quoted}" = "{quoted}"\n', encoding="utf-8")
        result = run("check", "right.jinja")
        assert result.code == 2, number
        assert steering(result.out + result.err) == []


def test_settings_that_hold_are_shown_without_their_words(run: Run, place: Path) -> None:
    for hostile in batches():
        quoted = "".join(f"\\U{ord(char):08x}" for char in hostile)
        (place / "conformance.toml").write_text(f'[check]\noutput = "{quoted}"\n', encoding="utf-8")
        result = run("settings", "check")
        assert result.code in (0, 2)
        assert steering(result.out + result.err) == []
