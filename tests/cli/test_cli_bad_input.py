"""Bad input: one sentence that says what, where and what to do, the right exit code, no traceback."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from cli_helpers import FAST, sentence
from command_line import Run

from conformance.oracles import vocabulary

GGUF = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0)

FILES: dict[str, tuple[bytes, str]] = {
    "utf16.jinja": (b"\xff\xfea\0", "utf16.jinja is not UTF-8: byte 0xff at offset 0"),
    "latin.jinja": (b"abc\xffd", "latin.jinja is not UTF-8: byte 0xff at offset 3"),
    "syntax.jinja": (b"one\n{% if %}\n", "line 2"),
    "tag.jinja": (b"{% \x1b[31m %}", "is not a Jinja template"),
    "empty.jinja": (b"", "empty.jinja is an empty template"),
    "blank.jinja": (b" \n\n", "blank.jinja is an empty template"),
    "magic.gguf": (b"GGUX" + GGUF[4:], "magic.gguf is not a GGUF file"),
    "cut.gguf": (GGUF[:13], "cut.gguf is cut off"),
    "bare.gguf": (GGUF, "bare.gguf"),
    "long-key.gguf": (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**62) + b"abc", "long-key.gguf"),
    "absurd.gguf": (
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**63 - 1),
        "absurd.gguf claims 9223372036854775807",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files(run: Run, place: Path, name: str) -> None:
    data, words = FILES[name]
    (place / name).write_bytes(data)
    result = run("check", name, *FAST)
    assert (result.code, result.out) == (2, "")
    assert words in sentence(result)


FOLDERS = {
    "bare": ("config.json", "{}", "bare has no chat template"),
    "cut": (
        "tokenizer_config.json",
        '{"chat_template": ',
        "tokenizer_config.json in cut is not valid JSON",
    ),
    "odd": ("tokenizer_config.json", '{"chat_template": 7}', "odd"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders(run: Run, place: Path, name: str) -> None:
    file, text, words = FOLDERS[name]
    (place / name).mkdir()
    (place / name / file).write_text(text)
    result = run("check", name, *FAST)
    assert result.code == 2
    assert words in sentence(result)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "gone.jinja"], "no such file or folder: gone.jinja"),
        (["check", "openai-gpt-oss-12b"], "did you mean openai-gpt-oss-120b"),
        (["check", ""], "the target '' is empty"),
        (["check", "https://huggingface.co/openai/gpt-oss-20b"], "write hf://openai/gpt-oss-20b"),
        (["check", "s3://bucket"], "nothing can load s3://bucket"),
        (["check", "hf://"], "hf:// is no Hub target"),
        (["check", "hf://org/name", "--offline"], "hf://org/name"),
        (["check", "wheel://trl/x"], "wheel://trl/x is no wheel target"),
        (["check", "one\x1b[31m\ntwo"], "neither a file, nor a folder"),
        (["check"], "Name a target, or a program with --command; see `conformance check --help`"),
        (["check", "right.jinja", "--examples", "0"], "--examples is 0; give at least 1"),
        (["check", "right.jinja", "--examples", "many"], "--examples"),
        (["check", "right.jinja", "--seconds", "-1"], "--seconds is -1; give a positive number"),
        (["check", "right.jinja", "--seconds", "nan"], "--seconds is nan"),
        (["check", "right.jinja", "--jobs", "0"], "--jobs is 0"),
        (["check", "right.jinja", "--seed", "-1"], "--seed is -1"),
        (["check", "right.jinja", "--engine", "foo"], "No engine is called 'foo'; choose from"),
        (["check", "right.jinja", "--shape", "foo"], "No shape is called 'foo'; choose from hf"),
        (["check", "right.jinja", "--profile", "foo"], "No profile is called 'foo'; choose from harmony"),
        (["check", "right.jinja", "--format", "foo"], "There is no report format 'foo'; choose from"),
        (["check", "right.jinja", "--fail-on", "foo"], "--fail-on"),
        (["check", "right.jinja", "--bogus"], "No such option: --bogus"),
        (
            ["check", "right.jinja", "--output", "/dev/null/x"],
            "Cannot make the folder /dev/null/x: not a dir",
        ),
        (
            ["check", "right.jinja", "--output", "other.jinja"],
            "Cannot make the folder other.jinja: file exists",
        ),
        (["check", "gone.jinja", "gone2.jinja"], "gone.jinja: no such file or folder"),
        (["scoreboard", "--output", "/dev/null/x"], "Cannot make the folder /dev/null/x"),
        (["scoreboard", "--examples", "0"], "--examples is 0"),
        (["explain", "one-of-layou"], "did you mean one-of-layout"),
        (["explain", "nothing-like-it"], "`conformance explain` lists them all"),
        (["templates", "show", "nope"], "the catalogue has no template 'nope'"),
        (["templates", "fetch", "nope"], "the catalogue has no template 'nope'"),
        (["replay", "abc123"], "No run is kept here yet"),
        (["replay", "abc123", "--run", "/dev/null/x"], "Cannot read /dev/null/x"),
        (["replay", "abc123", "--run", "."], "Cannot read report.json"),
        (["replay", "right.jinja"], "name the target with --target"),
        (["diff", "right.jinja"], "Missing option '--case'"),
        (["diff", "right.jinja", "--case", "gone.json"], "Cannot read the case gone.json"),
        (["schema"], "Missing argument"),
        (["schema", "foo"], "foo"),
        (["nonsense"], "No such command 'nonsense'; see `conformance --help`"),
    ],
)
def test_arguments(run: Run, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert words in sentence(result)


CASES = {
    "nan": ('{"conversation":{"messages":[],"tools":[{"name":"f","parameters":{"default":NaN}}]}}', "NaN"),
    "kind": ('{"conversation":{"messages":[{"kind":"alien","text":"a"}]}}', "alien"),
    "role": ('{"messages":[{"role":"alien","content":"a"}]}', "messages[0].role is 'alien'"),
    "list": ("[]", "is neither a case"),
    "cut": ("{", "cannot be read: input data was truncated"),
    "image": ('{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}', "reads text parts only"),
    "surrogate": ('{"messages":[{"role":"user","content":"\\ud800"}]}', "surrogate"),
    "result": ('{"messages":[{"role":"tool","content":"a"}]}', "messages[0]"),
}


@pytest.mark.parametrize("name", CASES)
def test_case_files(run: Run, place: Path, name: str) -> None:
    text, words = CASES[name]
    (place / "case.json").write_text(text)
    result = run("diff", "right.jinja", "--case", "case.json", "--engine", "jinja2")
    assert (result.code, result.out) == (2, "")
    assert "case.json" in sentence(result)
    assert words in sentence(result)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a report"),
        ("\x00", "is not a report"),
        ("{}", "it has no schema"),
        ('{"schema":"conformance-report/9"}', "this version reads conformance-report/1 only"),
        ('{"schema":"conformance-report/1"}', "is a broken report"),
    ],
)
def test_broken_reports(run: Run, place: Path, text: str, words: str) -> None:
    (place / "report.json").write_text(text)
    result = run("replay", "abc123", "--run", "report.json")
    assert result.code == 2
    assert words in sentence(result)


def test_an_unknown_case_id(run: Run) -> None:
    run("check", "newlines.jinja", *FAST, "--cards", 0)
    assert "The report has no case 'ffffffff'" in sentence(run("replay", "ffffffff"))
    assert "The report has no target 'x'" in sentence(run("replay", "ffffffff", "--target", "x"))


def test_a_missing_vocabulary_is_not_a_verdict(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conformance.oracles import load

    monkeypatch.setattr(load, "_loaded", {})
    monkeypatch.setenv(vocabulary.VARIABLE, str(place))
    result = run("check", "right.jinja", *FAST)
    assert (result.code, result.out) == (3, "")
    assert "o200k_base.tiktoken there is missing" in sentence(result)
    assert run("doctor").code == 3


def test_a_folder_where_the_report_belongs(run: Run, place: Path) -> None:
    (place / "o" / "report.json").mkdir(parents=True)
    result = run("check", "right.jinja", *FAST, "--format", "json", "--output", "o")
    assert result.code == 2
    assert sentence(result) == (
        "Cannot write o/report.json: is a directory; choose another --output. What was found is on standard output "
        "instead."
    )
    assert json.loads(result.out)["targets"][0]["name"] == "right"
    footer = json.loads((place / "o" / "events.jsonl").read_text().splitlines()[-1])
    assert footer["event"] == "footer"


def test_no_place_for_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_RUNS", "/dev/null/state")
    result = run("check", "right.jinja", *FAST)
    assert result.code == 2
    assert "name another folder with --output" in sentence(result)
    assert run("check", "right.jinja", *FAST, "--output", "o").code == 0
