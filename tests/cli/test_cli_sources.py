"""One template through every kind of source, from the command line to the verdict."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import pytest
from cli_helpers import FAST, NEWLINES, REFERENCE, sentence, subprocess_run
from command_line import Run

from conformance.sources import catalogue

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Judged = Callable[[str], list[dict[str, object]]]


@pytest.fixture
def judged(run: Run) -> Judged:
    """Check a right template of a source; return where the report says it came from."""

    def check(target: str) -> list[dict[str, object]]:
        result = run("check", target, *FAST, "--format", "json", "--output", "o")
        assert (result.code, result.err) == (0, "")
        return [found["source"] for found in json.loads(result.out)["targets"]]

    return check


def test_file(judged: Judged) -> None:
    (source,) = judged("right.jinja")
    assert (source["kind"], source["location"]) == ("file", "right.jinja")


def test_model_folder_with_two_templates(run: Run, place: Path) -> None:
    (place / "model").mkdir()
    named = [{"name": "default", "template": REFERENCE}, {"name": "tool_use", "template": NEWLINES}]
    (place / "model" / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    result = run("check", "model", *FAST, "--cards", 0)
    assert result.code == 1
    assert "model  conforms" in result.out
    assert "tool_use  diverges" in result.out


def test_gguf(judged: Judged, place: Path) -> None:
    writer = gguf.GGUFWriter(place / "model.gguf", "gpt-oss")
    writer.add_chat_template(REFERENCE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    (source,) = judged("model.gguf")
    assert source["kind"] == "gguf"


@pytest.fixture
def index(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip sees, with one wheel in it."""
    folder = place / "index"
    folder.mkdir()
    info = "tiny_wheel-1.2.dist-info"
    with zipfile.ZipFile(folder / "tiny_wheel-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/t.jinja", REFERENCE)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny_wheel\nVersion: 1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    return folder


def test_wheel(judged: Judged, index: Path) -> None:
    target = "wheel://tiny-wheel==1.2/tiny/t.jinja"
    (source,) = judged(target)
    assert (source["kind"], source["location"]) == ("wheel", target)
    shutil.rmtree(index)
    assert judged(target) == [source]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("wheel://tiny-wheel==1.2/tiny/u.jinja", "has no file tiny/u.jinja"),
        ("wheel://nobody==1/t.jinja", "offers a wheel of nobody==1"),
    ],
)
def test_a_wheel_or_member_that_nobody_has(run: Run, index: Path, target: str, words: str) -> None:
    result = run("check", target, *FAST)
    assert result.code == 2
    assert words in sentence(result)


class _Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/org/model"):
            siblings = [{"rfilename": "chat_template.jinja", "size": len(REFERENCE.encode())}]
            body = json.dumps({"id": "org/model", "sha": COMMIT, "siblings": siblings}).encode()
            self.answer(body, {"Content-Type": "application/json"})
        elif self.path.endswith("chat_template.jinja"):
            self.answer(REFERENCE.encode(), {"X-Repo-Commit": COMMIT, "ETag": f'"{COMMIT}"'})
        else:
            self.send_error(404)

    def answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_hub(place: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HOME": str(place / "hub"),
        "NO_PROXY": "127.0.0.1",
    }
    try:
        done = subprocess_run("check", "hf://org/model", *FAST, "--output", "o", env=environment)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (done.returncode, done.stderr) == (0, b"")
    (target,) = json.loads((place / "o" / "report.json").read_text())["targets"]
    assert (target["source"]["kind"], target["source"]["revision"]) == ("hub", COMMIT)


def test_catalogue_name(run: Run) -> None:
    name = "unsloth-package"
    if not catalogue.is_cached(name):
        pytest.skip(f"{name} is not cached here; `conformance templates fetch {name}` gets it")
    result = run("check", name, *FAST, "--cards", 0, "--offline", "--output", "o")
    assert result.code == 1
    assert f"{name}  diverges" in result.out
    (target,) = json.loads(Path("o/report.json").read_text())["targets"]
    assert target["sha256"] == catalogue.find(name).sha256


def test_a_pipe() -> None:
    if sys.platform == "win32":
        pytest.skip("no /dev/stdin")
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "check", "/dev/stdin", *FAST],
        input=REFERENCE.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
