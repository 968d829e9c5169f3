"""Servers on the loopback that answer as real ones do, or as badly as can be."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec.structs import replace

from conformance.conversation import Case
from conformance.importers import case_from_request
from conformance.oracles.harmony import HarmonyOracle

Reply = tuple[int, Any, dict[str, str]]
Answer = Callable[[str, str, Any, dict[str, str]], Reply]


def today() -> str:
    """The stand-ins' clock."""
    return datetime.now(UTC).date().isoformat()


def asked(body: dict[str, Any], date: str | None = None) -> Case:
    """Return the conversation in a chat-completions body, on the server's day."""
    case = case_from_request(body)
    mode = "generation" if body.get("add_generation_prompt", True) else "training"
    return replace(case, options=replace(case.options, date=date or today(), mode=mode))


@contextlib.contextmanager
def serving(answer: Answer, *, context: Any = None) -> Iterator[str]:
    """Serve while the block runs; `answer` gets method, path, JSON body and headers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            body = json.loads(raw) if raw else None
            given = answer(self.command, self.path, body, dict(self.headers))
            status, value, headers = given
            if value is HANG:
                self.server.released.wait(20)  # type: ignore[attr-defined]
                self.close_connection = True
                return
            if value is CUT:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"prompt": "half')
                self.close_connection = True
                return
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.released = threading.Event()  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()


HANG, CUT = object(), object()


class Llama:
    """llama-server, with Harmony itself as its template; `edit` changes the text it writes."""

    def __init__(self, edit: Callable[[str], str] = lambda text: text) -> None:
        self.edit = edit
        self.oracle = HarmonyOracle()
        self.prompts = 0
        self.headers: list[dict[str, str]] = []

    def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
        self.headers.append(headers)
        if path == "/props":
            props = {"build_info": "b1-test", "chat_template": "{{ messages }}", "model_alias": "tiny"}
            return 200, props, {}
        if path == "/tokenize":
            return 200, {"tokens": self.oracle.encode(body["content"])}, {}
        if path != "/apply-template":
            return 404, {"error": {"message": "File Not Found"}}, {}
        self.prompts += 1
        return self.prompt(asked(body))

    def prompt(self, case: Case) -> Reply:
        """Answer with the prompt of a conversation."""
        return 200, {"prompt": self.edit(self.oracle.render(case).text)}, {}
