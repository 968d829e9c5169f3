"""`conformance vectors` as its users see it: export, add, check, exit codes and bad input."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from vector_helpers import fake_command

from conformance.cli import main
from conformance.conversation import case_id
from conformance.errors import UsageError
from conformance.oracles.authorities import find
from conformance.oracles.copies import fetch
from conformance.renderers.process import Renderer
from conformance.resources import resource
from conformance.shapes import shapes
from conformance.vectors.export import grow
from conformance.vectors.files import Family, default_folder, read_folder

NODE = shutil.which("node")
EXAMPLE = default_folder() / "example" / "renderer.mjs"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["vectors", *words])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def folder(few: Path, tmp_path: Path) -> Path:
    shutil.copytree(few, tmp_path / "vectors")
    return tmp_path / "vectors"


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "ends.jsonl"
    text = path.read_text("ascii")
    assert old in text
    path.write_text(text.replace(old, new, 1), "ascii")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('{"id":"', '{"id":"0', "line 1 is not a vector"),
        ('"text":"Hi"', '"text":"Ho"', "run `conformance vectors export`"),
        ('"why":', '"reason":"","why":', "unknown field `reason`"),
        ('{"id"', '{"id', "line 1 is not a vector: JSON is malformed"),
        ('"name":"harmony"', '"name":"documented"', "are those of 'harmony'"),
        ('"mode":"training"', '"mode":"train"', "'train'"),
        ("<|start|>assistant", "<|start|>assistents", "wrong itself: its text"),
        ('"tokens":[', '"tokens":[1,', "wrong itself: its tokens"),
        ("Hello.", "\\ud800", "surrogate"),
    ],
)
def test_a_broken_vector_file_is_one_sentence(
    capsys: pytest.CaptureFixture[str], folder: Path, old: str, new: str, said: str
) -> None:
    edit(folder, old, new)
    command = fake_command("good", "none", folder)
    if "malformed" in said or "surrogate" in said:
        command = "true"
    code, out, err = run(capsys, "check", "--vectors", str(folder), "--command", command)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_the_same_vector_twice_is_refused(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    shutil.copy(folder / "ends.jsonl", folder / "again.jsonl")
    code, _, err = run(capsys, "export", "--check", "--vectors", str(folder))
    assert code == 2
    assert "is already in" in err


def test_export_repairs_what_is_derived_and_check_says_what(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert run(capsys, "export", "--vectors", str(folder))[0] == 0
    before = (folder / "ends.jsonl").read_bytes()
    edit(folder, '"flags":[', '"flags":["hostile",')
    code, out, _ = run(capsys, "export", "--check", "--vectors", str(folder))
    assert code == 1
    assert "ends.jsonl, line 1 (vector " in out
    assert "): flags differ; run `conformance vectors export`." in out
    assert run(capsys, "export", "--vectors", str(folder))[0] == 0
    assert (folder / "ends.jsonl").read_bytes() == before
    assert run(capsys, "export", "--check", "--vectors", str(folder))[0] == 0


def test_export_completes_what_an_author_wrote(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = {"conversation": {"messages": [{"kind": "user", "text": "Hi"}]}, "why": "It is small."}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line) + "\n")
    assert run(capsys, "export", "--vectors", str(tmp_path), "--output", str(tmp_path / "out"))[0] == 0
    (family,) = read_folder(tmp_path / "out")
    (vector,) = family.vectors
    assert vector.text.endswith("<|start|>user<|message|>Hi<|end|><|start|>assistant")
    assert vector.origin == "written"
    assert (tmp_path / "out" / "builtin-tools.json").is_file()


def test_add_promotes_a_case_once(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"messages": [{"role": "user", "content": "New here?"}]}))
    where = ("--vectors", str(folder))
    code, out, _ = run(capsys, "add", str(request), "--why", "Seen in a report.", *where)
    assert code == 0
    assert "reported.jsonl" in out
    reported = read_folder(folder)[1].vectors[0]
    assert (reported.why, reported.origin) == ("Seen in a report.", "reported")
    code, _, err = run(capsys, "add", str(request), *where)
    assert code == 2
    assert f"already the vector {reported.id} in reported.jsonl" in err
    code, out, _ = run(capsys, "add", str(request), "--profile", "constrain", *where)
    assert code == 0
    assert "Reported" in out


def test_what_was_added_is_replayed_first(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that shows in one conversation only is found by the smallest campaign, in every family of shapes."""
    monkeypatch.setattr("conformance.vectors.files.default_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    user = "{{- '<|start|>user' ~"
    text = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    assert text.count(user) == 1
    fault = f"{{{{- '!' if message['content'] == 'Rare words.' else '' -}}}}{user}"
    (tmp_path / "rare.jinja").write_text(text.replace(user, fault), encoding="utf-8")
    words = (
        "check",
        "rare.jinja",
        "--engine",
        "jinja2",
        "--examples",
        "20",
        "--format",
        "json",
        "--output",
        "o",
    )

    def differing() -> int:
        with pytest.raises(SystemExit):
            main(list(words))
        capsys.readouterr()
        (target,) = json.loads(Path("o/report.json").read_text())["targets"]
        return int(target["cases"]["different"])

    assert differing() == 0
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"messages": [{"role": "user", "content": "Rare words."}]}))
    assert run(capsys, "add", str(request), "--vectors", str(folder))[0] == 0
    assert differing() == len(shapes())
    report = json.loads(Path("o/report.json").read_text())["targets"][0]
    assert {shape for found in report["divergences"] for shape in found["shapes"]} >= {"hf", "openai"}


def test_add_promotes_what_a_campaign_found(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_RUNS", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    text = resource("templates", "gpt-oss.jinja").read_text("utf-8")
    (tmp_path / "t.jinja").write_text(text.replace("Knowledge cutoff: 2024-06", "Knowledge cutoff: 2024"))
    with pytest.raises(SystemExit):
        main(["check", "t.jinja", "--engine", "jinja2", "--examples", "10", "--cards", "0"])
    capsys.readouterr()
    (path,) = (tmp_path / "state").rglob("report.json")
    (target,) = json.loads(path.read_text())["targets"]
    found = next(each["example"] for each in target["divergences"] if each["rule"] == "system-text")
    where = ("--vectors", str(folder))
    assert run(capsys, "add", found["case_id"], *where)[0] == 0
    assert case_id(read_folder(folder)[1].vectors[0].case) == found["case_id"]
    code, _, err = run(capsys, "add", "ffffffffffff", *where)
    assert code == 2
    assert "has no case 'ffffffffffff'" in err


def test_a_broken_vector_file_stops_a_check(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.vectors.files.default_folder", lambda: folder)
    edit(folder, '"why":', '"reason":"","why":')
    with pytest.raises(SystemExit) as ended:
        main(["check", str(resource("templates", "gpt-oss.jinja")), "--output", str(folder / "o")])
    assert ended.value.code == 2
    assert "unknown field `reason`" in capsys.readouterr().err


FAULTS = [
    ("crashes", "HT801 template-crashed", "it exited with code 1: RuntimeError"),
    ("half", "HT801 template-crashed", "after half a line"),
    ("hangs", "HT805 resource-limit", "does it flush its output"),
    ("floods", "HT805 resource-limit", "more than 16 MB without ending its line"),
]


@pytest.mark.parametrize(("mode", "name", "said"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_renderer_that_fails_once_is_reported_and_the_rest_judged(
    capsys: pytest.CaptureFixture[str],
    few: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    name: str,
    said: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    command = fake_command(mode, read_folder(few)[0].vectors[1].id, few)
    code, out, err = run(capsys, "check", "--vectors", str(few), "--command", command, "--limit", "3")
    assert (code, err) == (1, "")
    assert name in out
    assert said in out
    assert "diverges: 4 of 5 conversations right" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "either a case file or --generated"),
        (["add", "no-such-file.json"], "Cannot read the case"),
        (["add", "CASE", "--family", "../x"], "A family is a file name"),
        (["add", "CASE", "--profile", "none"], "No profile is called"),
        (["add", "--generated", "-1"], "0 or more"),
        (["check", "--command", "true", "--family", "nope"], "--family nope; choose from ends"),
        (["check", "--command", "true", "--profile", "nope"], "--profile nope; choose from"),
        (["check", "--command", "true", "--id", "zz"], "begins with 'zz'"),
        (["check", "--command", ""], "--command is empty"),
        (["check", "--command", "no-such-program-here"], "Cannot start the renderer"),
        (["check", "--command", "true", "--limit", "0"], "--limit is 0"),
        (["check", "--command", "true", "--limit", "nan"], "--limit is nan"),
        (["check", "--command", "true", "--limit", "inf"], "--limit is inf"),
        (["check", "--command", "true", "--format", "nope"], "no report format 'nope'"),
    ],
)
def test_wrong_usage_is_one_sentence(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    case = tmp_path / "case.json"
    case.write_text('{"conversation": {"messages": [{"kind": "user", "text": "Yo"}]}}')
    words = [str(case) if word == "CASE" else word for word in words]
    code, _, err = run(capsys, *words, "--vectors", str(folder))
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_folder_without_vectors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "export", "--check", "--vectors", str(tmp_path))
    assert code == 2
    assert "There are no vectors in" in err


def test_what_an_interrupt_left_unasked_is_no_pass(
    capsys: pytest.CaptureFixture[str], few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = Renderer.ask
    asked: list[str] = []

    def ask(self: Renderer, *rest: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append("one more")
        return answered(self, *rest)

    monkeypatch.setattr(Renderer, "ask", ask)
    command = fake_command("right", "none", few)
    code, out, _ = run(capsys, "check", "--vectors", str(few), "--command", command)
    assert code == 3
    assert "conforms" not in out
    assert "Incomplete: ended after 2 vectors." in out


def test_check_reports_as_check_does(
    capsys: pytest.CaptureFixture[str], few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    vector = read_folder(few)[0].vectors[2]
    command = fake_command("wrong-effort", vector.id, few)
    folder = tmp_path / "out"
    words = ("check", "--vectors", str(few), "--command", command, "--output", str(folder))
    code, printed, out = run(capsys, *words, "--format", "terminal", "--format", "json")
    assert code == 1
    assert printed == (folder / "report.json").read_text()
    assert "HT103 reasoning-effort" in out
    assert f"case {vector.id}" in out
    # The command is pasted as it is, so it may be longer than the terminal is wide.
    again = f"Reproduce with conformance vectors check --id {vector.id} --command {shlex.quote(command)}"
    assert again in out.replace("\n", "")
    assert "diverges: 4 of 5 conversations right" in out
    report = json.loads((folder / "report.json").read_text())
    assert report["schema"] == "conformance-report/1"
    assert report["targets"][0]["source"]["kind"] == "renderer"
    assert report["targets"][0]["divergences"][0]["example"]["case_id"] == vector.id
    assert len((folder / "results.jsonl").read_text().splitlines()) == 5
    assert '"event":"footer"' in (folder / "events.jsonl").read_text().splitlines()[-1]
    assert run(capsys, *words, "--fail-on", "never")[0] == 0
    assert run(capsys, *words, "--id", read_folder(few)[0].vectors[0].id)[0] == 0


def test_json_goes_to_standard_output_without_a_folder(capsys: pytest.CaptureFixture[str], few: Path) -> None:
    command = fake_command("good", "none", few)
    code, out, _ = run(capsys, "check", "--vectors", str(few), "--command", command, "--format", "json")
    assert code == 0
    assert json.loads(out)["targets"][0]["verdict"] == "conforms"


def test_a_renderer_that_never_answers_exits_with_3(capsys: pytest.CaptureFixture[str], few: Path) -> None:
    code, _, err = run(capsys, "check", "--vectors", str(few), "--command", "false")
    assert code == 3
    assert "The renderer never answered: it exited with code 1" in err


def test_generated_vectors_are_chosen_the_same_way_every_time(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    first, second = (grow(where, 4, seed=3) for where in (folder, other))
    assert first == second
    assert len(first) == 4
    assert [family.name for family in read_folder(folder)] == ["ends", "generated"]
    again = grow(folder, 2, seed=3)
    assert not {vector.id for vector in again} & {vector.id for vector in first}


@pytest.mark.skipif(NODE is None, reason="node is missing; the example renderer is JavaScript")
def test_the_example_renderer_passes_all_vectors(
    capsys: pytest.CaptureFixture[str], shipped: tuple[Family, ...]
) -> None:
    code, out, _ = run(capsys, "check", "--command", shlex.join([str(NODE), str(EXAMPLE)]))
    assert code == 0, out
    total = sum(len(family.vectors) for family in shipped)
    assert f"{total} equal" in out


@pytest.mark.skipif(NODE is None, reason="node is missing; the example renderer is JavaScript")
def test_a_fault_in_the_example_renderer_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    shutil.copytree(EXAMPLE.parent, folder / "example")
    shutil.copy(default_folder() / "builtin-tools.json", folder)
    code = (folder / "example" / "schema.mjs").read_text()
    assert code.count('`${typeText(schema.get("items"), indent)}[]`') == 1
    broken = code.replace(': "Array<any>"', ': "any[]"')
    (folder / "example" / "schema.mjs").write_text(broken)
    command = shlex.join([str(NODE), str(folder / "example" / "renderer.mjs")])
    status, out, _ = run(capsys, "check", "--family", "tools", "--command", command)
    assert status == 1
    assert "HT211 array-without-items" in out
    assert "1 rule" in out or "array-without-items" in out


def test_another_authority_has_vectors_of_its_own(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    calls = (default_folder() / "calls.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "calls.jsonl").write_text("".join(calls[:4]), encoding="utf-8")
    words = ("export", "--vectors", str(folder), "--authority", "oss-harmony")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "say with --output where those of oss-harmony go" in err
    try:
        fetch(find("oss-harmony"))
    except UsageError as error:
        pytest.skip(f"oss-harmony cannot be fetched: {error}")
    code, _, err = run(capsys, *words, "--output", str(tmp_path / "theirs"))
    assert (code, err) == (0, "")
    judge = json.loads((tmp_path / "theirs" / "authority.json").read_text("utf-8"))
    assert judge["name"] == "oss-harmony"
    ours, theirs = (
        [vector for family in read_folder(place) for vector in family.vectors if vector.conversation.calls()]
        for place in (folder, tmp_path / "theirs")
    )
    assert ours
    assert theirs
    assert all("<|channel|>commentary to=functions." in vector.text for vector in theirs)
    assert all(vector.profile.recipient == "channel" for vector in theirs)
