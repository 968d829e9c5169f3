"""Strangers' servers: each failure is one sentence, and what was judged before it is reported."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Result, Run
from stand_in import CUT, HANG, Llama, Reply, serving

from conformance.errors import EXIT_DIVERGES, EXIT_UNJUDGED, EXIT_USAGE

FEW = ("--examples", "40")


def sentence(result: Result) -> str:
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("conformance: ")
    assert lines[0].isprintable()
    return lines[0]


def test_nothing_listens(run: Run) -> None:
    result = run("check", "http://127.0.0.1:9", *FEW)
    assert result.code == EXIT_UNJUDGED
    assert "Nothing answers at http://127.0.0.1:9" in sentence(result)
    assert "start the server" in result.err


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://", "is not a server's address"),
        ("http://user:secret@127.0.0.1:1", "must not hold a password"),
        ("http://127.0.0.1:notaport", "is not a server's address"),
    ],
)
def test_what_is_no_address(run: Run, target: str, says: str) -> None:
    result = run("check", target)
    assert result.code == EXIT_USAGE
    assert says in sentence(result)
    assert "secret" not in result.err


def test_a_page_of_the_hub_is_no_server(run: Run) -> None:
    result = run("check", "https://huggingface.co/openai/gpt-oss-20b")
    assert result.code == EXIT_USAGE
    assert "write hf://openai/gpt-oss-20b" in result.err


def test_options_are_checked(run: Run) -> None:
    for option, value in (("--timeout", "nan"), ("--timeout", "0"), ("--concurrency", "0")):
        result = run("check", "http://127.0.0.1:9", option, value)
        assert result.code == EXIT_USAGE
        assert option in sentence(result)
    result = run("check", "http://127.0.0.1:9", "--server", "minitel")
    assert result.code == EXIT_USAGE
    assert "choose from llama-server" in sentence(result)


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    pem = Path(__file__).with_name("stand_in.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serving(Llama(), context=context) as address:
        yield address, pem


def test_tls_is_refused_unless_it_is_trusted(
    run: Run, certificate: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, pem = certificate
    result = run("check", address, *FEW)
    assert result.code == EXIT_UNJUDGED
    assert "TLS with" in sentence(result)
    assert "SSL_CERT_FILE" in result.err
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert (
        run("check", address, *FEW).code == EXIT_DIVERGES
    )  # the stand-in injects, as every such server does


def test_a_key_is_wanted_and_never_shown(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked(Llama):
        def __call__(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Reply:
            if headers.get("Authorization") != "Bearer sesame-123":
                return 401, {"error": {"message": "Invalid API Key"}}, {}
            return super().__call__(method, path, body, headers)

    with serving(Locked(lambda text: text.replace("Knowledge", "knowledge"))) as address:
        result = run("check", address, *FEW)
        assert result.code == EXIT_UNJUDGED
        assert "wants an API key (HTTP 401) and it is missing" in sentence(result)
        assert "CONFORMANCE_API_KEY" in result.err
        monkeypatch.setenv("MY_KEY", "wrong-456")
        result = run("check", address, "--api-key-variable", "MY_KEY", *FEW)
        assert "was not accepted" in sentence(result)
        assert "wrong-456" not in result.err
        monkeypatch.setenv("MY_KEY", "sesame-123")
        result = run("check", address, "--api-key-variable", "MY_KEY", "--output", "out", *FEW)
    assert result.code == EXIT_DIVERGES
    assert 'Authorization: Bearer $MY_KEY"' in result.out
    written = b"".join(path.read_bytes() for path in (place / "out").iterdir())
    assert b"sesame-123" not in written
    assert "sesame-123" not in result.out + result.err


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((200, b"<html><body>Welcome to nginx!</body></html>", {}), "answered with HTML"),
        ((200, b"", {}), "answered with no JSON"),
        ((302, b"", {"Location": "http://192.0.2.1/props"}), "redirects to http://192.0.2.1/props"),
        ((200, {"hello": "world"}, {}), "speaks none of the protocols"),
        ((404, {"detail": "Not Found"}, {}), "speaks none of the protocols"),
        ((503, {"error": {"message": "Loading model"}}, {}), "is not ready: HTTP 503, Loading model"),
        ((200, CUT, {}), "broke off its answer"),
        ((200, b" " * (33 << 20), {}), "more than 32 MB"),
    ],
    ids=["html", "empty", "redirect", "other", "not-found", "loading", "cut", "flood"],
)
def test_what_is_no_such_server(run: Run, reply: Reply, says: str) -> None:
    with serving(lambda *_: reply) as address:
        result = run("check", address, *FEW)
    assert result.code == EXIT_UNJUDGED
    assert says in sentence(result)


def test_a_server_that_hangs(run: Run) -> None:
    with serving(lambda *_: (200, HANG, {})) as address:
        result = run("check", address, "--timeout", "0.2", *FEW)
    assert result.code == EXIT_UNJUDGED
    assert "did not answer within 0.2 s" in sentence(result)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((200, HANG, {}), "did not answer"),
        ((200, CUT, {}), "broke off"),
        ((200, b"<html>", {}), "answered with HTML"),
    ],
    ids=["hangs", "cut", "html"],
)
def test_what_was_judged_before_the_server_went_is_reported(
    run: Run, place: Path, reply: Reply, says: str
) -> None:
    class Mortal(Llama):
        def prompt(self, case: Any) -> Reply:
            return reply if self.prompts > 30 else super().prompt(case)

    with serving(Mortal()) as address:
        result = run("check", address, "--timeout", "0.5", "--output", "out", *FEW)
    assert result.code == EXIT_UNJUDGED
    assert says in result.out
    assert "Incomplete" in result.out
    report = json.loads((place / "out" / "report.json").read_bytes())
    (target,) = report["targets"]
    assert not report["run"]["complete"]
    assert 0 < target["cases"]["total"] < 40
    assert says in target["error"]
    events = (place / "out" / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["complete"] is False


def test_one_of_several_targets_is_gone(run: Run, llama: tuple[str, Llama]) -> None:
    address, _ = llama
    result = run("check", address, "http://127.0.0.1:9", *FEW)
    assert result.code == EXIT_UNJUDGED
    assert "left out http://127.0.0.1:9: Nothing answers" in result.out
    assert address in result.out
