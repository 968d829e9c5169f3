"""Answers of servers as a reader of files: what each protocol makes of any bytes that come back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from conformance.engines.base import Request
from conformance.errors import ConformanceError
from conformance.servers.base import read as spelled
from conformance.servers.client import Access, Answer, Client, _decoded
from conformance.servers.protocols import get_protocol, protocol_names

_REQUEST = Request([{"role": "user", "content": "hi"}], None, {}, True, "2025-06-28")
SEEDS: tuple[object, ...] = (
    {"prompt": "<|start|>user<|message|>hi<|end|>", "data": [{"id": "m", "max_model_len": 4096}]},
    {"tokens": [200006, 1428], "token_ids": [200006], "count": 2, "version": "1", "model_id": "m"},
    [{"text": "hi", "id": 1, "start": 0, "stop": 2}],
    {"_debug_info": {"rendered_template": "x"}, "models": [{"name": "m"}], "chat_template": "{{ 1 }}"},
    {"error": {"message": "no", "type": "BadRequest", "code": 400}, "detail": "no"},
)


class _Told(Client):
    """A client that answers every question with the same bytes."""

    def __init__(self, data: bytes, status: int) -> None:
        super().__init__(Access("http://127.0.0.1:9"))
        self._data, self._status = data, status

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[Answer, float]:
        return Answer(self._status, *_decoded(self._data)), 0.0


def read(path: Path) -> None:
    """Hand a file's bytes to every protocol as the answer to all that it asks; the last refusal is raised."""
    data = path.read_bytes()
    refusal: ConformanceError | None = None
    for name in protocol_names():
        for status in (200, 400):
            client, protocol = _Told(data, status), get_protocol(name)
            with contextlib.closing(client):
                try:
                    protocol.recognises(client)
                    protocol.about(client)
                    body = json.dumps(protocol.body(_REQUEST, "m")).encode("ascii")
                    spelled(protocol.prompt(client, body))
                except ConformanceError as error:
                    refusal = error
    if refusal is not None:
        raise refusal
