"""`conformance upload` against a Hub on the loopback: nothing leaves the machine before the gate has passed."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conformance.cli import main
from conformance.gate.model_card import BEGIN, END
from conformance.resources import resource

FAST = ("--engine", "jinja2", "--examples", "40", "-q")
CARD = "---\nlicense: apache-2.0\n---\n# A model\n"


class Hub(ThreadingHTTPServer):
    """As much of the Hub's protocol as one commit of small files needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.commits: list[dict[str, bytes]] = []
        self.failure: int | None = None


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.asked.append(self.path.partition("?")[0])
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.server.failure is not None:
            return self.reply(self.server.failure, {"error": "go away"})
        if self.path.startswith("/api/repos/create"):
            return self.reply(200, {"url": f"{address}/org/name", "id": "org/name"})
        if self.path == "/api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.reply(200, {"files": files})
        assert "/commit/" in self.path
        lines = [json.loads(line) for line in body.splitlines()]
        self.server.commits.append(
            {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
        )
        url = f"{address}/org/name/commit/0123456789abcdef0123456789abcdef01234567"
        return self.reply(200, {"success": True, "commitOid": url[-40:], "commitUrl": url, "hookOutput": ""})

    def do_GET(self) -> None:
        self.reply(404, {"error": "not here"})

    def reply(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFORMANCE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(resource("templates", "gpt-oss.jinja"), folder / "chat_template.jinja")
    (folder / "README.md").write_text(CARD)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (folder / "part").mkdir()
    (folder / "part" / "weights.txt").write_text("1 2 3")
    return folder


def _upload(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["upload", *map(str, arguments), *FAST])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_folder_that_passes_goes_up_in_one_commit(hub: Hub, model: Path):
    assert _upload(model, "org/name") == 0
    (commit,) = hub.commits
    assert sorted(commit) == ["README.md", "chat_template.jinja", "part/weights.txt"]
    assert commit["chat_template.jinja"] == (model / "chat_template.jinja").read_bytes()
    assert commit["README.md"].decode() == CARD, "the card is left alone unless that is asked for"


def test_a_folder_that_does_not_pass_is_not_even_announced(hub: Hub, model: Path, capsys):
    text = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").write_text(text.replace("# Instructions", "# Instruction"))
    assert _upload(model, "org/name") == 1
    assert hub.asked == []
    assert "was not uploaded" in capsys.readouterr().err


def test_the_result_is_put_into_the_card_that_goes_up_and_replaced_by_the_next(hub: Hub, model: Path):
    assert _upload(model, "org/name", "--card") == 0
    card = hub.commits[0]["README.md"].decode()
    assert card.startswith(CARD)
    assert card.count(BEGIN) == 1
    assert "openai-harmony" in card
    assert (model / "README.md").read_text() == CARD
    (model / "README.md").write_text(card + "\nBelow.\n")
    assert _upload(model, "org/name", "--card") == 0
    again = hub.commits[1]["README.md"].decode()
    assert again.count(BEGIN) == again.count(END) == 1
    assert again.rstrip().endswith("Below.")


def test_a_dry_run_uploads_nothing(hub: Hub, model: Path):
    assert _upload(model, "org/name", "--dry-run") == 0
    assert hub.asked == []


def test_a_link_to_a_private_file_is_not_published(hub: Hub, model: Path, tmp_path: Path, capsys):
    (tmp_path / "id_rsa").write_text("private")
    (model / "notes.txt").symlink_to(tmp_path / "id_rsa")
    assert _upload(model, "org/name") == 2
    assert "link out of its folder" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_hub_that_refuses_is_one_sentence(hub: Hub, model: Path, capsys, status: int):
    hub.failure = status
    assert _upload(model, "org/name") == 2
    said = capsys.readouterr().err.splitlines()
    assert str(status) in said[-1]
    assert ("hf auth login" in said[-1]) == (status != 500)
    assert hub.commits == []


@pytest.mark.parametrize("repo", ["name", "a/b/c", "../x", "https://huggingface.co/org/name"])
def test_a_name_that_is_none_is_refused_before_anything_is_judged(hub: Hub, model: Path, capsys, repo: str):
    assert _upload(model, repo) == 2
    assert "ORG/NAME" in capsys.readouterr().err
