from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from source_helpers import TEXT, complaint, sha256

from conformance.package_checks.folder import read_folder
from conformance.package_checks.judge import judge
from conformance.sources import Provenance, resolve
from conformance.sources.hub import snapshot

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """As much of the Hub's protocol as fetching small files needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.sizes: dict[str, int] = {}
        self.revisions = {"main", "v1", COMMIT}
        self.failure: tuple[int, str] | None = None
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(path)
        parts = path.strip("/").split("/")
        if self.server.failure:
            return self.reply(self.server.failure[0], {"X-Error-Code": self.server.failure[1]})
        if parts[:2] == ["api", "models"]:
            repo, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main"
        else:
            repo, revision = "/".join(parts[:2]), parts[3] if len(parts) > 3 else "main"
        if repo not in self.server.repos:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        if revision not in self.server.revisions:
            return self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        files = self.server.repos[repo]
        if parts[0] == "api":
            siblings = [
                {"rfilename": name, "size": self.server.sizes.get(name, len(data))}
                for name, data in files.items()
            ]
            card = {"license": "apache-2.0"}
            body = {"id": repo, "sha": COMMIT, "siblings": siblings, "cardData": card}
            return self.reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        name = "/".join(parts[4:])
        if name not in files:
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        etag = {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256(files[name])}"'}
        return self.reply(200, etag, files[name])

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_only_the_small_files_are_fetched_and_the_cache_works_offline(hub: Hub, cache: Path) -> None:
    """End to end with huggingface_hub against a server on this machine."""
    hub.repos["org/model"] = {
        "chat_template.jinja": TEXT.encode(),
        "additional_chat_templates/rag.jinja": b"R",
        "tokenizer_config.json": b'{"chat_template": "old"}',
        "model.safetensors": bytes(1000),
        "docs/chat_template.jinja": b"not this one",
    }
    default, rag = resolve("hf://org/model", cache=cache)
    assert (default.name, default.text) == ("org-model", TEXT)
    assert (rag.name, rag.text) == ("org-model#rag", "R")
    expected = Provenance("hub", "hf://org/model", COMMIT, "chat_template.jinja", "apache-2.0")
    assert default.source == expected
    assert not [path for path in hub.requests if "safetensors" in path or "docs" in path]

    hub.requests.clear()
    offline = resolve("hf://org/model", cache=cache, offline=True)
    assert [(t.name, t.text, t.source.revision) for t in offline] == [
        ("org-model", TEXT, COMMIT),
        ("org-model#rag", "R", COMMIT),
    ]
    assert not hub.requests

    hub.failure = (503, "")
    again, _ = resolve("hf://org/model", cache=cache)
    assert again.text == TEXT
    assert again.note == "from the local cache: the Hub could not be reached"


def test_the_configurations_that_package_checks_read_are_fetched_too(hub: Hub, cache: Path) -> None:
    generation = b'{"eos_token_id": 200002}'
    hub.repos["org/model"] = {
        "chat_template.jinja": TEXT.encode(),
        "config.json": b'{"model_type": "gpt_oss"}',
        "generation_config.json": generation,
        "tokenizer.json": bytes(1000),
    }
    (template,) = resolve("hf://org/model", cache=cache)
    assert not [path for path in hub.requests if "tokenizer.json" in path]
    folder = snapshot("hf://org/model", template.source.revision, cache / "huggingface")
    assert folder is not None
    assert (folder / "generation_config.json").read_bytes() == generation
    assert snapshot("hf://org/another", None, cache / "huggingface") is None
    package = read_folder(folder, "hf://org/model", fetched=True)
    found = {finding.rule: finding for finding in judge(package)}
    assert found["stop-tokens"].checked
    assert found["bos-added"].message.endswith("was not fetched from the Hub")
    assert not found["bos-added"].checked


def test_a_revision(hub: Hub, cache: Path) -> None:
    hub.repos["org/model"] = {"tokenizer_config.json": b'{"chat_template": "T"}'}
    (template,) = resolve("hf://org/model@v1", cache=cache)
    assert (template.text, template.source.location) == ("T", "hf://org/model@v1")
    assert resolve("hf://org/model@v1", cache=cache, offline=True)[0].text == "T"
    assert "the model has no such revision" in complaint("hf://org/model@v9", cache=cache, offline=False)


def test_what_the_hub_refuses_or_lacks(hub: Hub, cache: Path) -> None:
    def says(target: str) -> str:
        return complaint(target, cache=cache, offline=False)

    assert "the Hub has no such model, or it is private" in says("hf://org/absent")
    hub.repos["org/gguf"] = {"m-Q4.gguf": b"GGUF", "README.md": b""}
    assert "only GGUF files; download one (such as m-Q4.gguf)" in says("hf://org/gguf")
    hub.repos["org/none"] = {"tokenizer_config.json": b"{}"}
    assert "hf://org/none has no chat template" in says("hf://org/none")
    hub.repos["org/broken"] = {"tokenizer_config.json": b"{"}
    assert "tokenizer_config.json in hf://org/broken is not valid JSON" in says("hf://org/broken")
    hub.repos["org/huge"] = {"chat_template.jinja": b"x"}
    hub.sizes["chat_template.jinja"] = 2**40
    assert "far more than such files need" in says("hf://org/huge")
    hub.repos["org/many"] = {f"additional_chat_templates/{n}.jinja": b"x" for n in range(65)}
    assert "has 65 template files" in says("hf://org/many")
    hub.failure = (403, "GatedRepo")
    assert "is gated: accept its terms" in says("hf://org/none")
    hub.failure = (429, "")
    assert "the Hub refused with HTTP status 429" in says("hf://org/none")
    hub.failure = (500, "")
    message = says("hf://org/never-seen")
    assert "the Hub cannot be reached (HTTP status 500) and it is not in the local cache" in message


def test_the_network_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = complaint("hf://org/model", cache=cache, offline=False)
    assert "hf://org/model: the Hub cannot be reached (ConnectError)" in message
    message = complaint("hf://org/model", cache=cache)
    assert "the network is switched off and it is not in the local cache" in message


@pytest.mark.parametrize("target", ["hf://", "hf://org", "hf://org/a/b", "hf://org/a@", "hf://o rg/a"])
def test_bad_targets(target: str) -> None:
    assert "is no Hub target; write hf://org/name" in complaint(target)
