"""`conformance fix` as a user sees it: diff, table, files, exit codes, and what is never touched."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
from pathlib import Path

import gguf
import pytest
from cli_helpers import NEWLINES, REFERENCE, normal, sentence, with_fault
from command_line import Run
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from conformance.campaign.judge import Judge
from conformance.cli import fix_report
from conformance.fixes import base
from conformance.fixes.repair import Compared, Repair
from conformance.fixes.trial import Results, Seen
from conformance.registry import Registry

FEW = ("--examples", 20)
FINAL = "{{- '<|start|>assistant<|channel|>final<|message|>' ~ content ~"
NO_FINAL = with_fault(FINAL, FINAL.replace("<|channel|>final", ""))
# A fault in a place that no fix finds: the loop over the messages leaves items out.
LOOP = "{%- for message in messages -%}\n  {%- set role ="
# Two things are wrong in one expression, so that no single edit ends it.
TWICE = with_fault(FINAL, FINAL.replace("~ content ~", "~ content|upper|reverse ~"))
LEFT = TWICE.replace(LOOP, LOOP.replace("messages -%}", "messages if message -%}"))


@pytest.fixture(autouse=True)
def templates(place: Path) -> None:
    (place / "no-final.jinja").write_text(NO_FINAL, encoding="utf-8")


def report(out: str) -> str:
    """Return what follows the diff."""
    return normal(out[out.index("\n\n   ") :] if "\n\n   " in out else out).replace(
        str(_reference()), "PLACE"
    )


def _reference() -> Path:
    return fix_report.resource(*fix_report.NAME.split("/"))


def write_gguf(path: Path, template: str | None) -> str:
    """Write a small GGUF file with an array and a tensor; return its hash."""
    import numpy as np

    writer = gguf.GGUFWriter(path, "gpt-oss")
    if template is not None:
        writer.add_chat_template(template)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_tensor("w", np.arange(12, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_small_repair(run: Run, snapshot: SnapshotAssertion) -> None:
    before = Path("no-final.jinja").read_bytes()
    result = run("fix", "no-final.jinja", *FEW, "-o", "fixed.jinja")
    assert (result.code, result.err) == (0, "")
    assert Path("no-final.jinja").read_bytes() == before
    assert result.out.startswith("--- a/no-final.jinja\n+++ b/no-final.jinja\n@@ ")
    assert report(result.out) == snapshot
    assert all(len(line) <= 80 for line in report(result.out).splitlines())
    assert run("check", "fixed.jinja", "--seed", 9, *FEW).code == 0


@pytest.mark.long
def test_what_is_not_repaired_is_told_with_reasons(
    run: Run, place: Path, snapshot: SnapshotAssertion
) -> None:
    assert LEFT != TWICE
    (place / "left.jinja").write_text(LEFT, encoding="utf-8")
    result = run("fix", "left.jinja", *FEW, "-o", "fixed.jinja")
    assert (result.code, result.err) == (1, "")
    assert report(result.out) == snapshot
    assert not Path("fixed.jinja").exists()


@pytest.mark.long
def test_a_rule_without_a_fix_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "FIXES", Registry("fix", "nowhere"))
    Path("twice.jinja").write_text(TWICE, encoding="utf-8")
    result = run("fix", "twice.jinja", *FEW)
    assert result.code == 1
    assert "Not repaired text-altered: there is no fix for it." in result.out
    assert "The reference template renders exactly as Harmony" in result.out


def test_the_output_is_a_patch(run: Run, place: Path) -> None:
    programs = [words for words in (["patch", "-p1"], ["git", "apply"]) if shutil.which(words[0])]
    if not programs:
        pytest.skip("neither patch nor git is there to apply it")
    result = run("fix", "no-final.jinja", *FEW, "-o", "fixed.jinja")
    for words in programs:
        (place / "no-final.jinja").write_text(NO_FINAL, encoding="utf-8")
        subprocess.run(words, input=result.out.encode(), check=True, capture_output=True, cwd=place)
        assert Path("no-final.jinja").read_bytes() == Path("fixed.jinja").read_bytes()


@pytest.mark.long
def test_a_terminal_gets_no_control_characters(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = NO_FINAL.replace(
        "<|start|>assistant<|message|>' ~ content", "\x1b[2J<|start|>assistant<|message|>' ~ content"
    )
    (place / "hostile.jinja").write_text(hostile, encoding="utf-8")
    assert "\x1b[2J" in run("fix", "hostile.jinja", *FEW).out, "a pipe gets the text as it is"
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda _: True))
    out = run("fix", "hostile.jinja", *FEW).out
    assert "\ufffd[2J" in out
    assert "\x1b[2J" not in out


def test_a_template_that_conforms(run: Run) -> None:
    result = run("fix", "right.jinja", *FEW, "-o", "fixed.jinja")
    said = "right conforms in 20 conversations; there is nothing to repair.\nWrote fixed.jinja, unchanged\n"
    assert result == (0, said, "")
    assert Path("fixed.jinja").read_bytes() == Path("right.jinja").read_bytes()


def test_another_family(run: Run) -> None:
    result = run("fix", "other.jinja", *FEW, "-o", "fixed.jinja")
    assert (result.code, result.err) == (1, "")
    assert result.out.startswith("other does not write Harmony, so there is nothing to repair it towards.\n")
    assert "Where the model is gpt-oss after all, the reference template renders exactly" in result.out
    assert result.out.endswith("fixed.jinja was not written.\n")
    assert not Path("fixed.jinja").exists()


def test_an_output_that_is_no_file_stays_what_it_is(run: Run, place: Path) -> None:
    os.mkfifo(place / "pipe")
    result = run("fix", "no-final.jinja", *FEW, "-o", "pipe")
    assert (result.code, result.out) == (2, "")
    assert "pipe is no regular file" in result.err
    assert (place / "pipe").is_fifo()


@pytest.mark.long
def test_an_output_that_is_a_link_stays_one_and_keeps_its_mode(run: Run, place: Path) -> None:
    (place / "kept.jinja").write_text("old", encoding="utf-8")
    (place / "kept.jinja").chmod(0o600)
    (place / "link.jinja").symlink_to("kept.jinja")
    run("fix", "no-final.jinja", *FEW, "-o", "link.jinja")
    assert (place / "link.jinja").is_symlink()
    assert "<|channel|>final" in (place / "kept.jinja").read_text(encoding="utf-8")
    assert (place / "kept.jinja").stat().st_mode & 0o777 == 0o600


@pytest.mark.long
def test_a_name_with_blanks_and_quotes_goes_through_patch(run: Run, place: Path) -> None:
    for name in ("my chat.jinja", 'a "b".jinja'):
        (place / name).write_text(NO_FINAL, encoding="utf-8")
        out = run("fix", name, *FEW, "-o", "out.jinja").out
        subprocess.run(["patch", "-p1", "--quiet"], input=out.encode(), cwd=place, check=True)
        assert (place / name).read_bytes() == (place / "out.jinja").read_bytes()


def test_no_conversation_was_judged(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "answer", lambda *_: None)
    result = run("fix", "no-final.jinja", *FEW)
    assert (result.code, result.out) == (
        3,
        "No conversation was judged, so nothing is known about this template.\n",
    )


def test_a_model_folder_with_several_templates(run: Run, place: Path) -> None:
    folder = place / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    (folder / "chat_template.jinja").write_text(NO_FINAL, encoding="utf-8")
    (folder / "additional_chat_templates" / "rag.jinja").write_text(NEWLINES, encoding="utf-8")
    result = run("fix", "model", *FEW, "-o", "fixed.jinja")
    # What is repaired is right; its sibling is not, and that counts.
    assert result.code == 1
    # The repair comes first, and what it leaves behind it.
    lines = result.out.splitlines()
    assert lines[0] == "--- a/model/chat_template.jinja"
    assert lines[-1] == "Only model is repaired. model#rag stays wrong; `--template` chooses it."
    assert (folder / "chat_template.jinja").read_text("utf-8") == NO_FINAL
    for name in ("chat_template.jinja", "new.jinja"):
        assert "belongs to the target" in sentence(run("fix", "model", *FEW, "-o", f"model/{name}"))


def test_a_named_template_is_chosen_and_written_in_place(run: Run, place: Path) -> None:
    folder = place / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    own = folder / "additional_chat_templates" / "rag.jinja"
    (folder / "chat_template.jinja").write_text(REFERENCE, encoding="utf-8")
    own.write_text(NO_FINAL, encoding="utf-8")
    result = run("fix", "model", *FEW, "--template", "rag", "--in-place")
    assert (result.code, result.err) == (0, "")
    assert "Only model#rag is repaired. model conforms; `--template` chooses it." in result.out
    assert own.read_text("utf-8") == REFERENCE
    assert "has no template 'tool'; it has model, model#rag" in sentence(
        run("fix", "model", "--template", "tool")
    )
    assert "name two places" in sentence(run("fix", "model", "--in-place", "-o", "x.jinja"))


def test_findings_of_the_package_count(run: Run, place: Path) -> None:
    folder = place / "package"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(NO_FINAL, encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt_oss", "eos_token_id": 7}', encoding="utf-8")
    result = run("fix", "package", *FEW, "-o", "fixed.jinja")
    assert result.code == 1
    assert "Not repaired HT" in result.out
    assert "config.json" in result.out
    assert Path("fixed.jinja").read_text("utf-8") == REFERENCE


@pytest.mark.long
def test_only_some_rules_and_all_shapes(run: Run, place: Path) -> None:
    both = NEWLINES.replace(FINAL, FINAL.replace("<|channel|>final", ""))
    (place / "both.jinja").write_text(both, encoding="utf-8")
    result = run(
        "fix", "both.jinja", "--examples", 60, "--rule", "final-channel-missing", "-o", "fixed.jinja"
    )
    assert result.code == 1
    assert Path("fixed.jinja").read_text("utf-8") == NEWLINES
    result = run("fix", "no-final.jinja", "--examples", 60, "--shape", "all", "-o", "shapes.jinja")
    assert (result.code, Path("shapes.jinja").read_text("utf-8")) == (0, REFERENCE)


def test_what_a_repair_removes_is_said_and_what_that_does_to_injection() -> None:
    refused = Seen("rejected", frozenset({"template-rejected"}), (), True)
    plain = Seen("equal", frozenset(), ("harmony",), True)
    forged = Seen("equal", frozenset(), ("harmony",), True, frozenset({"injected-special-token"}))
    main = Compared(0, Results((refused, refused, forged, plain)), Results((forged, forged, forged, plain)))
    result = Repair("new", main, main, gone=["line 7 refuses 'No tags, please.'"])
    written = io.StringIO()
    console = Console(file=written, width=200)
    fix_report.print_repair(console, result, "harmony")
    out = written.getvalue()
    assert "No longer there: line 7 refuses 'No tags, please.'." in out
    assert "HT701 injected-special-token, which only a server can prevent: 25 % before, 75 % after." in out


def test_a_gguf_file(run: Run, place: Path) -> None:
    digest = write_gguf(place / "m.gguf", NO_FINAL)
    result = run("fix", "m.gguf", *FEW, "-o", "fixed.gguf")
    # The tokens of this little file stay wrong, which no repair of the template changes.
    assert (result.code, result.err) == (1, "")
    assert "Not repaired HT852" in result.out
    assert "Wrote fixed.gguf" in result.out
    assert hashlib.sha256(Path("m.gguf").read_bytes()).hexdigest() == digest
    reader = gguf.GGUFReader("fixed.gguf")
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert reader.tensors[0].data.tolist() == list(range(12))
    Path("again.jinja").write_text(reader.fields["tokenizer.chat_template"].contents(), encoding="utf-8")
    assert "there is nothing to repair" in run("fix", "again.jinja", "--seed", 9, *FEW).out
    assert sorted(path.name for path in place.iterdir() if path.suffix != ".jinja") == [
        "fixed.gguf",
        "m.gguf",
    ]


def test_the_template_of_a_gguf_file_as_text(run: Run, place: Path) -> None:
    write_gguf(place / "m.gguf", NO_FINAL)
    result = run("fix", "m.gguf", *FEW, "-o", "fixed.jinja")
    assert result.code == 1
    assert result.out.startswith("--- a/m.jinja\n")
    assert Path("fixed.jinja").read_text("utf-8").startswith(REFERENCE[:40])


def test_a_gguf_file_without_room(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write_gguf(place / "m.gguf", NO_FINAL)
    usage = shutil.disk_usage(place)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    result = run("fix", "m.gguf", *FEW, "-o", "fixed.gguf")
    assert result.code == 2
    assert sentence(result).startswith("there is no room for fixed.gguf in .")
    assert not Path("fixed.gguf").exists()
    assert hashlib.sha256(Path("m.gguf").read_bytes()).hexdigest() == digest


def test_shards(run: Run, place: Path) -> None:
    """Only the first shard has the template; no other name would be found beside its fellows."""
    first, second = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
    write_gguf(place / first, NO_FINAL)
    write_gguf(place / second, None)
    for name in (first, second):
        assert "belongs to the target" in sentence(run("fix", second, *FEW, "-o", name)), name
    message = sentence(run("fix", first, *FEW, "-o", "fixed.gguf"))
    assert "first of 2 shards; name a file ending in -00001-of-00002.gguf" in message
    (place / "new").mkdir()
    assert run("fix", first, *FEW, "-o", f"new/{first}").code == 1
    assert gguf.GGUFReader(f"new/{first}").tensors[0].name == "w"


@pytest.mark.parametrize(
    ("target", "output", "said"),
    [
        ("no-final.jinja", "no-final.jinja", "no-final.jinja belongs to the target, which is never changed"),
        ("no-final.jinja", "./no-final.jinja", "belongs to the target"),
        ("no-final.jinja", "link.jinja", "link.jinja belongs to the target"),
        ("no-final.jinja", "missing/fixed.jinja", "make it, or name another file with -o"),
        ("no-final.jinja", ".", ". is a folder; name a file with -o"),
        ("no-final.jinja", "fixed.gguf", "no-final does not come from a GGUF file"),
        ("m.gguf", "m.gguf", "m.gguf belongs to the target"),
        ("m.gguf", "old.gguf", "old.gguf is there already; name a new file with -o"),
        ("syntax.jinja", "fixed.jinja", "syntax is not a Jinja template"),
        ("broken.gguf", "fixed.gguf", "broken.gguf is cut off"),
        ("magic.gguf", "fixed.gguf", "magic.gguf is not a GGUF file"),
        ("gone.jinja", "fixed.jinja", "no such file or folder: gone.jinja"),
    ],
)
def test_bad_input_is_refused_before_the_work(
    run: Run, place: Path, target: str, output: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "link.jinja").symlink_to("no-final.jinja")
    (place / "syntax.jinja").write_text("one\n{% if %}\n")
    write_gguf(place / "m.gguf", NO_FINAL)
    shutil.copy(place / "m.gguf", place / "old.gguf")
    (place / "broken.gguf").write_bytes((place / "m.gguf").read_bytes()[:500])
    (place / "magic.gguf").write_bytes(b"GGUX" + bytes(100))
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    result = run("fix", target, *FEW, "-o", output)
    assert (result.code, result.out) == (2, "")
    assert said in sentence(result)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_gguf_file_whose_tensors_are_cut_off(run: Run, place: Path) -> None:
    """Its metadata is whole, so that only the copying finds out."""
    write_gguf(place / "m.gguf", NO_FINAL)
    data = (place / "m.gguf").read_bytes()
    (place / "m.gguf").write_bytes(data[:-40])
    result = run("fix", "m.gguf", *FEW, "-o", "fixed.gguf")
    assert result.code == 2
    assert "m.gguf is cut off: it ends before the data of w do" in sentence(result)
    assert not Path("fixed.gguf").exists()


@pytest.mark.parametrize(
    ("options", "said"), [(["--examples", 0], "--examples is 0"), (["--seed", -1], "--seed is -1")]
)
def test_options(run: Run, options: list[object], said: str) -> None:
    result = run("fix", "no-final.jinja", *options)
    assert result.code == 2
    assert said in sentence(result)
