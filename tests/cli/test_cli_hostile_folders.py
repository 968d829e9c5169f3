"""Uploads that reach for the user's files: links, pipes, a false clone, plug-ins, engines that a report names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_helpers import FAST, REFERENCE, sentence, subprocess_run
from command_line import Run
from gguf import GGUFWriter

from conformance.cli import runs
from conformance.engines.base import get_engine
from conformance.errors import UsageError
from conformance.report import json_file
from conformance.resources import clone

SECRET = "root:x:0:0:a secret of this machine"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user's outside of what is judged."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def test_an_upload_that_looks_like_a_clone_gets_no_run_and_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_RUNS", "")
    upload, precious = tmp_path / "upload", tmp_path / "precious"
    (upload / "templates").mkdir(parents=True)
    (upload / "templates" / "catalogue.toml").touch()
    (upload / "reports").mkdir()
    for number in range(25):
        (precious / f"project{number}").mkdir(parents=True)
        (precious / f"project{number}" / "file").touch()
    (upload / "reports" / "runs").symlink_to(precious)
    monkeypatch.chdir(upload)
    assert runs.runs_folder() == clone() / "reports" / "runs"
    monkeypatch.setattr(runs, "clone", lambda: None)
    run = runs.new_run_folder("upload")
    assert run.is_relative_to(tmp_path / "state")
    assert len(list(precious.iterdir())) == 25


@pytest.mark.parametrize("link", ["reports", "reports/runs"])
def test_a_link_in_the_way_to_the_runs_is_refused(
    link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_RUNS", "")
    monkeypatch.setattr(runs, "clone", lambda: tmp_path / "clone")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "clone" / link).parent.mkdir(parents=True)
    (tmp_path / "clone" / link).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        runs.new_run_folder("x")
    runs.remember_run(tmp_path)
    assert not list(elsewhere.iterdir())


def test_only_folders_that_are_wholly_ours_are_removed(runs_elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "report.json").touch()
    (runs_elsewhere / "20200101-000000-1-link").symlink_to(tmp_path / "kept")
    for name, file in [
        ("20200101-000000-1-ours", "report.json"),
        ("20200101-000000-2-mixed", "thesis.tex"),
        ("photos", "report.json"),
    ]:
        (runs_elsewhere / name).mkdir()
        (runs_elsewhere / name / file).touch()
    (runs_elsewhere / "20200101-000000-3-linked").mkdir()
    (runs_elsewhere / "20200101-000000-3-linked" / "report.json").symlink_to(tmp_path / "kept/report.json")
    made = [runs.new_run_folder("new") for _ in range(runs.KEPT_RUNS + 5)]
    left = {path.name for path in runs_elsewhere.iterdir()}
    assert "20200101-000000-1-ours" not in left
    assert left >= {
        "20200101-000000-1-link", "20200101-000000-2-mixed", "photos", "20200101-000000-3-linked",
        made[-1].name,
    }  # fmt: skip
    assert (tmp_path / "kept" / "report.json").exists()


def test_the_note_of_the_newest_run_replaces_a_link_and_never_follows_it(
    runs_elsewhere: Path, secret: Path, run: Run
) -> None:
    (runs_elsewhere / "newest").symlink_to(secret)
    assert run("check", "newlines.jinja", *FAST, "--output", "out").code == 1
    assert secret.read_text() == SECRET


@pytest.mark.parametrize("name", ["events.jsonl", "report.json"])
def test_a_link_in_the_output_folder_is_refused_before_anything_runs(
    name: str, place: Path, secret: Path, run: Run
) -> None:
    (place / "out").mkdir()
    (place / "out" / name).symlink_to(secret)
    result = run("check", "newlines.jinja", *FAST, "--output", "out")
    assert result.code == 2
    assert f"out/{name}: it is a link" in sentence(result)
    assert [path.name for path in (place / "out").iterdir()] == [name]
    assert secret.read_text() == SECRET


def test_a_second_name_of_a_file_keeps_what_it_says(place: Path, secret: Path, run: Run) -> None:
    (place / "out").mkdir()
    for name in ("events.jsonl", "report.json"):
        os.link(secret, place / "out" / name)
    assert run("check", "newlines.jinja", *FAST, "--output", "out").code == 1
    assert secret.read_text() == SECRET


def test_a_scoreboard_follows_no_link(place: Path, secret: Path, run: Run) -> None:
    (place / "reports").mkdir()
    (place / "reports" / "scoreboard.json").symlink_to(secret)
    result = run("scoreboard", "--offline", *FAST)
    assert result.code == 2
    assert "scoreboard.json: it is a link" in sentence(result)
    assert secret.read_text() == SECRET


@pytest.mark.parametrize(
    "member", ["chat_template.jinja", "tokenizer_config.json", "additional_chat_templates/rag.jinja"]
)
def test_a_template_that_is_a_link_out_of_its_folder_is_refused(
    member: str, place: Path, secret: Path, run: Run
) -> None:
    if member.endswith("json"):
        secret.write_text(json.dumps({"chat_template": SECRET}))
    model = place / "model"
    (model / member).parent.mkdir(parents=True)
    (model / member).symlink_to(secret)
    for target in ("model", f"model/{member}"):
        result = run("check", target, *FAST, "--output", "out")
        assert result.code == 2
        assert f"is a link out of its folder, to {secret}" in sentence(result)
        assert SECRET not in result.out + result.err
        assert not any(SECRET in file.read_text() for file in place.glob("out/*"))


def test_a_folder_of_templates_that_is_a_link_is_refused(place: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "rag.jinja").write_text(SECRET)
    (place / "model").mkdir()
    (place / "model" / "additional_chat_templates").symlink_to(tmp_path / "private")
    result = run("check", "model", *FAST)
    assert result.code == 2
    assert "is a link out of its folder" in sentence(result)


def test_a_gguf_file_that_is_a_link_out_of_its_folder_is_refused(
    place: Path, tmp_path: Path, run: Run
) -> None:
    writer = GGUFWriter(tmp_path / "private.gguf", "gpt-oss")
    writer.add_chat_template(SECRET)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (place / "model.gguf").symlink_to(tmp_path / "private.gguf")
    result = run("check", "model.gguf", *FAST)
    assert result.code == 2
    assert "is a link out of its folder" in sentence(result)


def test_a_cache_of_the_hub_and_links_inside_a_model_work(place: Path, run: Run) -> None:
    model = place / "hub" / "models--org--name"
    snapshot = model / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "blobs" / "abcd").write_text(REFERENCE)
    (snapshot / "chat_template.jinja").symlink_to("../../blobs/abcd")
    # The cache itself may lie on another disk.
    shutil.move(place / "hub", place / "disk")
    (place / "hub").symlink_to(place / "disk")
    cached = f"hub/models--org--name/{snapshot.relative_to(model)}"
    for target in (cached, f"{cached}/chat_template.jinja"):
        assert run("check", target, *FAST).code == 0
    (place / "mounted" / "..data").mkdir(parents=True)
    (place / "mounted" / "..data" / "chat_template.jinja").write_text(REFERENCE)
    (place / "mounted" / "chat_template.jinja").symlink_to("..data/chat_template.jinja")
    assert run("check", "mounted", *FAST).code == 0


def test_a_blob_that_is_a_link_out_of_the_cache_is_refused(place: Path, secret: Path, run: Run) -> None:
    model = place / "models--org--name"
    (model / "snapshots" / "0123abcd").mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "blobs" / "abcd").symlink_to(secret)
    (model / "snapshots" / "0123abcd" / "chat_template.jinja").symlink_to("../../blobs/abcd")
    result = run("check", "models--org--name/snapshots/0123abcd", *FAST)
    assert result.code == 2
    assert "is a link out of its folder" in sentence(result)


def test_a_pipe_on_disk_does_not_block(place: Path, run: Run) -> None:
    os.mkfifo(place / "pipe.jinja")
    result = run("check", "pipe.jinja", *FAST)
    assert result.code == 2
    assert "is a pipe or a device" in sentence(result)


def test_what_the_shell_pipes_in_is_read(place: Path) -> None:
    with (place / "right.jinja").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "conformance", "check", "/dev/stdin", *FAST],
            stdin=file,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ["os:abort", "planted:Engine"])
def test_replay_runs_no_engine_that_a_report_names(engine: str, place: Path, run: Run) -> None:
    assert run("check", "newlines.jinja", *FAST, "--output", "out").code == 1
    content = (place / "out" / "report.json").read_text()
    report = json_file.read(place / "out")
    case = report.targets[0].divergences[0].example.case_id
    (place / "out" / "report.json").write_text(content.replace('"engine": "jinja2"', f'"engine": "{engine}"'))
    (place / "planted.py").write_text("open('executed', 'w')\n")
    done = subprocess_run("replay", case, "--run", "out")
    assert done.returncode == 2, done.stderr
    assert f"No engine is called '{engine}'" in done.stderr.decode()
    assert not (place / "executed").exists()
    with pytest.raises(UsageError, match="There is no engine"):
        get_engine(engine)


@pytest.mark.parametrize(
    ("group", "command", "path"),
    [
        ("engines", ("engines", "list"), None),
        ("engines", ("engines", "list"), ""),
        ("engines", ("engines", "list"), "."),
        ("sources", ("check", "nothing-here", *FAST), "."),
        ("report_writers", ("check", "newlines.jinja", "--format", "evil", *FAST), "."),
        ("checks", ("check", "newlines.jinja", "--any", *FAST), "."),
        ("engines", ("check", "newlines.jinja", "--engine", "evil"), "."),
        ("shapes", ("check", "newlines.jinja", "--shape", "evil", *FAST), "."),
        ("fixes", ("fix", "newlines.jinja", "--examples", "10"), "."),
    ],
)
def test_a_plugin_in_the_current_folder_is_not_found(
    group: str, command: tuple[str, ...], path: str | None, place: Path
) -> None:
    (place / "evil.py").write_text("open('executed', 'w')\n")
    (place / "evil-1.dist-info").mkdir()
    (place / "evil-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (place / "evil-1.dist-info" / "entry_points.txt").write_text(f"[conformance.{group}]\nevil = evil:x\n")
    environment = {} if path is None else {"PYTHONPATH": f"{path}{os.pathsep}"}
    done = subprocess_run(*command, env=environment)
    assert b"evil" not in done.stdout.replace(b"'evil'", b"")
    assert not (place / "evil.py").with_name("executed").exists()
    # With -m alone too, where the folder of the script is the current one.
    subprocess.run(
        [sys.executable, "-m", "conformance", *command],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert not (place / "executed").exists()


def test_a_module_in_the_current_folder_is_not_imported(place: Path) -> None:
    for name in ("typer", "msgspec", "jinja2"):
        (place / f"{name}.py").write_text("open('executed', 'w')\nraise SystemExit(9)\n")
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "check", "newlines.jinja", *FAST],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert not (place / "executed").exists()
