"""Ask a stranger's server over HTTP: bounded in time and size, retried, never redirected, its key never shown."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from conformance.errors import GoneError, UsageError, printable
from conformance.servers import KEY_VARIABLE

MAX_ANSWER_BYTES = 32 * 2**20
_CHUNK = 1 << 16
_PAUSES = (0.2, 1.0)  # before each further try
_LONGEST_PAUSE = 10.0
_BUSY = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the HTTP status and the JSON value, None where the body is no JSON; `said` is its text."""

    status: int
    value: Any
    said: str

    @property
    def error(self) -> str:
        """The server's own sentence about what went wrong."""
        value = self.value
        for key in ("error", "message", "detail", "error_message"):
            if isinstance(value, dict) and key in value:
                value = value[key]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0].get("msg", value[0])
        text = value if isinstance(value, str) else self.said
        return printable(" ".join(text.split()) or "nothing", 300)


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached: its address, seconds that an answer may take, where the key is, requests at once."""

    address: str
    timeout_s: float = 30.0
    key_variable: str = KEY_VARIABLE
    concurrency: int = 4

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        try:
            valid = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # the port is no number
            valid = False
        if not valid:
            raise UsageError(f"{printable(self.address)} is not a server's address; write http://HOST:PORT.")
        if parts.username or parts.password:
            raise UsageError(
                f"An address must not hold a password; put the API key into the variable {self.key_variable}."
            )
        # Written so that NaN fails too.
        if not 0 < self.timeout_s < 86_400:
            raise UsageError(f"--timeout is {self.timeout_s:g}; give a positive number of seconds.")
        if not 1 <= self.concurrency <= 256:
            raise UsageError(f"--concurrency is {self.concurrency}; give a number from 1 to 256.")

    @property
    def key(self) -> str | None:
        """The API key, from the environment only."""
        return os.environ.get(self.key_variable) or None


class _BrokenError(GoneError):
    """What another try may cure."""


class Client:
    """Posts JSON to one server; safe for use from several threads.

    Raises GoneError where no answer comes, or none that such a server would give.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.base = access.address.rstrip("/")
        self.requests = 0  # how many were sent
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if access.key is not None:
            headers["Authorization"] = f"Bearer {access.key}"
        self._pool = urllib3.PoolManager(
            maxsize=access.concurrency,
            block=False,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(access.timeout_s, 10.0), read=access.timeout_s),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, path: str) -> Answer:
        """Return the answer to a GET request."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Return the answer to a POST of JSON."""
        # ASCII, so that no server's reading of other characters is in question.
        return self._ask("POST", path, json.dumps(body).encode("ascii"))

    def post_bytes(self, path: str, body: bytes) -> Answer:
        """Return the answer to a POST of these very bytes."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        problem: GoneError | None = None
        for pause in (0.0, *_PAUSES):
            time.sleep(pause)
            try:
                answer, wait = self._once(method, path, body)
            except _BrokenError as error:
                problem = error
                continue
            if answer.status not in _BUSY:
                return self._checked(answer, path)
            problem = GoneError(f"{self.base} is not ready: HTTP {answer.status}, {answer.error}.")
            time.sleep(wait)
        assert problem is not None
        raise problem

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[Answer, float]:
        deadline = time.monotonic() + self.access.timeout_s
        url = self.base + path
        self.requests += 1
        try:
            response = self._pool.request(
                method, url, body=body, redirect=False, retries=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._gone(error) from None
        try:
            data = bytearray()
            while chunk := response.read(_CHUNK):
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    response.close()
                    raise GoneError(
                        f"{url} answered with more than {MAX_ANSWER_BYTES >> 20} MB; no prompt is that long."
                    )
                if time.monotonic() > deadline:
                    response.close()
                    raise _BrokenError(f"{url} did not finish its answer within {self.access.timeout_s:g} s.")
        except urllib3.exceptions.HTTPError as error:
            response.close()
            raise self._gone(error) from None
        response.release_conn()
        if 300 <= response.status < 400:
            to = printable(response.headers.get("Location", "an unnamed place"))
            raise GoneError(
                f"{url} redirects to {to}, which is not followed; give that address if it is meant."
            )
        return Answer(response.status, *_decoded(bytes(data))), _pause(response.headers.get("Retry-After"))

    def _checked(self, answer: Answer, path: str) -> Answer:
        if answer.status in (401, 403):
            word = "was not accepted" if self.access.key else "is missing"
            raise GoneError(
                f"{self.base} wants an API key (HTTP {answer.status}) and it {word}: put it into the variable "
                f"{self.access.key_variable}."
            )
        if answer.value is None and answer.status < 400:
            kind = "HTML" if answer.said.lstrip()[:1] == "<" else "no JSON"
            raise GoneError(
                f"{self.base}{path} answered with {kind}: {printable(answer.said.strip(), 60)}; is this the server's "
                "own address?"
            )
        return answer

    def _gone(self, error: Exception) -> GoneError:
        reason = error.__cause__ or error.__context__ or error
        text = printable(str(getattr(error, "args", [error])[-1] if error.args else error), 200)
        if isinstance(error, urllib3.exceptions.SSLError) or "SSL" in type(reason).__name__:
            return GoneError(
                f"TLS with {self.base} failed: {printable(str(reason), 160)}; SSL_CERT_FILE names a file of "
                "certificates to trust."
            )
        if isinstance(error, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
            return _BrokenError(
                f"Nothing answers at {self.base} ({_why(text)}); start the server, or correct the address."
            )
        if isinstance(error, urllib3.exceptions.TimeoutError):
            return _BrokenError(
                f"{self.base} did not answer within {self.access.timeout_s:g} s; see --timeout."
            )
        return _BrokenError(f"{self.base} broke off its answer: {text}.")


def _why(text: str) -> str:
    return text.rpartition(": ")[2] or text


def _pause(value: str | None) -> float:
    try:
        return min(max(float(value or 0), 0.0), _LONGEST_PAUSE)
    except ValueError:
        return 0.0


def _decoded(data: bytes) -> tuple[Any, str]:
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(data), text[:2_000]
    except (ValueError, RecursionError):
        return None, text[:2_000]
