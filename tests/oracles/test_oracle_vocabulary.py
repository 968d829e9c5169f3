"""The vocabulary: found offline, checked by hash, and a way out where it cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.errors import EXIT_UNJUDGED, UnjudgedError
from conformance.oracles import vocabulary
from conformance.oracles.vocabulary import FILE_NAME, SHA256, SIZE, VARIABLE, prepare


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set and deleted: pytest then also takes back what `prepare` itself puts there.
    monkeypatch.setenv(VARIABLE, "x")
    monkeypatch.delenv(VARIABLE)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_packaged_file", lambda: None)


def pack(folder: Path, data: bytes) -> Path:
    path = folder / f"{FILE_NAME}.gz"
    path.write_bytes(gzip.compress(data))
    return path


def test_the_package_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    made = prepare(cache)
    file = cache / FILE_NAME
    assert made.folder == cache
    assert file.stat().st_size == SIZE
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256
    assert os.environ[VARIABLE] == str(cache)
    assert list(cache.iterdir()) == [file], "no temporary files stay behind"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(vocabulary, "_unpack", lambda *_: pytest.fail("unpacked twice"))
    assert prepare(cache).folder == cache


def test_the_package_is_never_imported(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert vocabulary.PACKAGE not in sys.modules


def test_a_damaged_cache_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"x" * SIZE)
    prepare(tmp_path)
    assert hashlib.sha256((tmp_path / FILE_NAME).read_bytes()).hexdigest() == SHA256


def test_the_variable_is_believed_only_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = prepare(tmp_path / "good")
    assert good.folder is not None
    monkeypatch.setenv(VARIABLE, str(good.folder))
    assert prepare(tmp_path / "unused") == vocabulary.Vocabulary(f"{VARIABLE}={good.folder}", good.folder)
    assert not (tmp_path / "unused").exists()
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for content in (None, b"", b"x" * SIZE):
        if content is not None:
            (wrong / FILE_NAME).write_bytes(content)
        monkeypatch.setenv(VARIABLE, str(wrong))
        with pytest.raises(UnjudgedError, match="unset the variable or put the right file there") as error:
            prepare(tmp_path)
        assert str(wrong) in str(error.value)
        assert error.value.exit_code == EXIT_UNJUDGED


def test_an_empty_variable_is_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert prepare(tmp_path).folder == tmp_path


@pytest.mark.parametrize("problem", ["other file", "cut off", "no gzip"])
def test_a_wrong_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    path = pack(tmp_path, b"not the vocabulary" * 1000)
    if problem == "cut off":
        path.write_bytes(path.read_bytes()[:-20])
    elif problem == "no gzip":
        path.write_bytes(b"plain")
    monkeypatch.setattr(vocabulary, "_packaged_file", lambda: path)
    with pytest.raises(UnjudgedError, match="python -m pip install") as error:
        prepare(tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache" / FILE_NAME).exists()


def test_a_package_that_unpacks_to_gigabytes_is_read_to_the_known_size_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path, bytes(64 << 20))
    monkeypatch.setattr(vocabulary, "_packaged_file", lambda: path)
    read: list[int] = []
    opened = gzip.GzipFile.read

    def counting(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        data = opened(self, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    with pytest.raises(UnjudgedError):
        prepare(tmp_path / "cache")
    assert sum(read) <= SIZE + 1


def test_a_cache_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the folder should be: nobody can write there, not even root."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr(vocabulary.tempfile, "gettempdir", lambda: str(elsewhere))
    made = prepare(blocked / "cache")
    assert made.folder is not None
    assert made.folder.parent == elsewhere
    assert hashlib.sha256((made.folder / FILE_NAME).read_bytes()).hexdigest() == SHA256
    if hasattr(os, "getuid"):
        assert made.folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(vocabulary.tempfile, "gettempdir", lambda: str(blocked))
    with pytest.raises(UnjudgedError, match=f"set {VARIABLE} to a folder"):
        prepare(blocked / "cache")


@pytest.mark.usefixtures("no_package")
def test_without_package_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(vocabulary.subprocess, "run", offline)
    with pytest.raises(UnjudgedError) as error:
        prepare(tmp_path)
    said = str(error.value)
    assert "could not be downloaded" in said
    assert f"pip install {vocabulary.PACKAGE}==" in said
    assert VARIABLE in said
    assert "\n" not in said


@pytest.mark.usefixtures("no_package")
def test_a_network_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waiting(command: list[str], *, timeout: float, **_: Any) -> None:
        assert 0 < timeout <= 120
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(vocabulary.subprocess, "run", waiting)
    with pytest.raises(UnjudgedError, match="could not be downloaded"):
        prepare(tmp_path)


@pytest.mark.usefixtures("no_package")
def test_a_download_by_harmony_itself_is_good_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    assert prepare(tmp_path).folder is None
    assert VARIABLE not in os.environ


def test_the_pin_is_the_package_that_the_project_depends_on() -> None:
    from importlib.metadata import version

    assert f"{vocabulary.PACKAGE}=={version(vocabulary.PACKAGE)}" in vocabulary.WAY_OUT
