"""`conformance engines`: what is here, and fetching with an npm that does as npm does, or fails as it does."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import sentence
from command_line import Run

from conformance.engines import engine_names, huggingface_js, npm_package
from conformance.engines.npm_package import FOLDER_VARIABLE, NpmPackage

MEMBER, CODE = "package/dist/index.js", b"export class Template {}\n"
MISSING = "@huggingface/jinja is not fetched: conformance engines fetch huggingface-js"

Npm = Callable[..., None]


def tarball(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in {"../../escaped": b"x", "/escaped": b"x", **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def pinned(data: bytes, code: bytes = CODE) -> NpmPackage:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    return NpmPackage("@scope/tiny", "1.2.3", integrity, MEMBER, hashlib.sha256(code).hexdigest())


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture
def npm(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """Put an npm on the path that packs this tarball, or does what the shell commands say."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(data: bytes = b"", commands: str | None = None) -> None:
        (tmp_path / "packed").write_bytes(data)
        lines = commands or f'echo "$@" >"{tmp_path}/asked"; cp "{tmp_path}/packed" scope-tiny-1.2.3.tgz'
        (folder / "npm").write_text(f"#!/bin/sh\n{lines}\n")
        (folder / "npm").chmod(0o755)
        monkeypatch.setattr(huggingface_js.HuggingFaceJsEngine, "package", pinned(data))

    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    put(tarball(**{MEMBER: CODE}))
    return put


def test_list_says_how_to_get_what_is_missing(
    run: Run, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    result = run("engines", "list")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == engine_names()
    assert "huggingface-js  missing" in lines
    assert MISSING in " ".join(result.out.split())
    assert any(line.startswith("jinja2  3.") and line.endswith("  ok") for line in lines)


def test_no_command_prints_the_help(run: Run) -> None:
    result = run("engines")
    assert (result.code, result.err) == (2, "")
    assert "fetch" in result.out


def test_fetched_once_and_again_when_damaged(run: Run, npm: Npm, packages: Path, tmp_path: Path) -> None:
    assert run("engines", "fetch", "huggingface-js") == (0, "huggingface-js  fetched\n", "")
    assert (tmp_path / "asked").read_text().startswith("pack @scope/tiny@1.2.3 ")
    assert run("engines", "fetch", "huggingface-js") == (0, "huggingface-js  was cached\n", "")
    (kept,) = packages.iterdir()
    assert (kept.name, kept.read_bytes()) == ("scope-tiny-1.2.3-index.js", CODE)
    kept.write_bytes(CODE + b"//")
    assert run("engines", "fetch", "huggingface-js") == (0, "huggingface-js  fetched\n", "")
    assert kept.read_bytes() == CODE
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm cannot reach its registry"),
        ("echo 'npm ERR! code ECONNREFUSED' >&2; exit 1", "npm cannot reach its registry"),
        ("echo 'npm error code E404' >&2; exit 1", "does not offer @scope/tiny@1.2.3"),
        (
            "printf 'npm error code EX\\nnpm error all is lost\\n' >&2; exit 1",
            "npm cannot fetch @scope/tiny@1.2.3: all is lost",
        ),
        ("exit 1", "npm cannot fetch @scope/tiny@1.2.3: it gave no reason"),
        ("exit 0", "npm cannot fetch @scope/tiny@1.2.3: it gave no reason"),
        ("exec sleep 60", "npm did not fetch @scope/tiny@1.2.3 within 0.3 s"),
        ("echo altered >x.tgz", "hash mismatch: the package @scope/tiny@1.2.3 has sha512-"),
    ],
)
def test_npm_fails(
    run: Run, npm: Npm, packages: Path, monkeypatch: pytest.MonkeyPatch, commands: str, words: str
) -> None:
    monkeypatch.setattr(npm_package, "NPM_SECONDS", 0.3 if "sleep" in commands else 60)
    npm(commands=commands)
    result = run("engines", "fetch", "huggingface-js")
    assert (result.code, result.out) == (2, "")
    assert sentence(result).startswith(words) or words in sentence(result)
    assert not packages.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no tarball", "package/dist/index.js cannot be read from the package @scope/tiny"),
        (tarball(other=b"x"), "package/dist/index.js cannot be read from the package @scope/tiny"),
        (tarball(**{MEMBER: b"altered"}), "hash mismatch: package/dist/index.js of @scope/tiny has sha256"),
        (tarball(**{MEMBER: b"\0" * (3 << 20)}), "hash mismatch: package/dist/index.js of @scope/tiny has"),
        (
            tarball(**{MEMBER: CODE})[:90],
            "package/dist/index.js cannot be read from the package @scope/tiny",
        ),
    ],
    ids=["no-tarball", "no-member", "altered", "large", "cut"],
)
def test_the_package_is_not_what_it_should_be(
    run: Run, npm: Npm, packages: Path, data: bytes, words: str
) -> None:
    npm(data)
    result = run("engines", "fetch", "huggingface-js")
    assert (result.code, result.out) == (2, "")
    assert sentence(result).startswith(words)
    assert not packages.exists()


def test_a_tarball_without_end_is_not_read_to_its_end(run: Run, npm: Npm, packages: Path) -> None:
    npm(commands="head -c 20000000 /dev/zero >x.tgz")
    assert "hash mismatch" in sentence(run("engines", "fetch", "huggingface-js"))


def test_npm_is_missing(run: Run, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("engines", "fetch", "huggingface-js")
    assert result.code == 2
    assert sentence(result) == (
        "npm, which fetches @huggingface/jinja@0.5.11, is not installed; install Node.js 18 or newer"
    )


def test_a_cache_that_cannot_be_written(run: Run, npm: Npm, packages: Path) -> None:
    packages.write_text("a file")
    result = run("engines", "fetch", "huggingface-js")
    assert (result.code, result.out) == (2, "")
    assert sentence(result).startswith(f"cannot write to {packages}: ")
    assert FOLDER_VARIABLE in result.err


def test_engines_that_are_not_fetched(run: Run, packages: Path) -> None:
    assert sentence(run("engines", "fetch", "jinja2")) == (
        "The engine jinja2 comes with Python packages, not by fetching: it is installed."
    )
    assert "There is no engine 'jinjer'" in sentence(run("engines", "fetch", "jinjer"))
