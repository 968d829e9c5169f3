"""Copies of authorities: fetched by pip, believed by hash, and never by half."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.errors import UnjudgedError, UsageError
from conformance.oracles import authorities, copies, load
from conformance.oracles.authorities import Pinned

FILES = {"openai_harmony/__init__.py": b"VALUE = 1\n", "openai_harmony/lib.abi3.so": b"compiled"}


def build(index: Path, files: dict[str, bytes], tag: str = "py3-none-any") -> Pinned:
    """Write a wheel into an index, and return the entry that pins it."""
    wheel = index / f"tiny_harmony-1.0-{tag}.whl"
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},\n"
        for name, data in files.items()
    )
    info = "tiny_harmony-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-harmony\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", record)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Pinned("tiny-harmony", "1.0", "0" * 64, "a test", {wheel.name: digest}, "tiny")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that pip takes for its only index, with an empty cache for copies."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


def complaint(entry: Pinned) -> str:
    with pytest.raises(UsageError) as caught:
        copies.fetch(entry)
    message = str(caught.value)
    assert "\n" not in message
    assert copies.copy_of(entry) is None
    return message


def test_a_copy_is_fetched_once_and_unpacked(index: Path) -> None:
    entry = build(index, FILES)
    assert copies.copy_of(entry) is None
    assert copies.fetch(entry) is True
    folder = copies.copy_of(entry)
    assert folder is not None
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert copies.sha256_of(folder) == hashlib.sha256(b"compiled").hexdigest()
    assert copies.fetch(entry) is False


@pytest.mark.parametrize("change", ["changed", "gone", "stranger", "wheel", "wheel gone"])
def test_a_copy_that_was_changed_is_none_and_is_fetched_again(index: Path, change: str) -> None:
    entry = build(index, FILES)
    copies.fetch(entry)
    folder = copies.copy_of(entry)
    assert folder is not None
    (wheel,) = folder.parent.glob("*.whl")
    match change:
        case "changed":
            (folder / "openai_harmony/__init__.py").write_bytes(b"VALUE = 2\n")
        case "gone":
            (folder / "openai_harmony/lib.abi3.so").unlink()
        case "stranger":
            (folder / "pydantic.py").write_text("", encoding="utf-8")
        case "wheel":
            wheel.write_bytes(b"PK")
        case _:
            wheel.unlink()
    assert copies.copy_of(entry) is None
    assert copies.fetch(entry) is True
    assert copies.copy_of(entry) == folder


def test_a_wrong_hash(index: Path) -> None:
    entry = build(index, FILES)
    entry = replace(entry, wheels=dict.fromkeys(entry.wheels, "1" * 64))
    message = complaint(entry)
    assert message.startswith("hash mismatch: tiny_harmony-1.0-py3-none-any.whl has sha256 ")
    assert "altered package" in message


def test_a_wheel_that_is_not_pinned(index: Path) -> None:
    entry = replace(build(index, FILES), wheels={"tiny_harmony-1.0-cp38-abi3-win32.whl": "1" * 64})
    assert (
        "pip offers tiny_harmony-1.0-py3-none-any.whl, which is not among the pinned wheels of tiny"
        in complaint(entry)
    )


def test_no_wheel_for_this_platform(index: Path) -> None:
    entry = build(index, FILES, "cp38-abi3-macosx_11_0_ppc64")
    assert "offers a wheel of tiny-harmony==1.0" in complaint(entry)


def test_no_network(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = build(index, FILES)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "cannot reach its package index to fetch tiny-harmony==1.0" in complaint(entry)


def test_a_wheel_that_is_no_archive(index: Path) -> None:
    entry = build(index, FILES)
    wheel = index / next(iter(entry.wheels))
    wheel.write_bytes(b"not a wheel")
    entry = replace(entry, wheels={wheel.name: hashlib.sha256(b"not a wheel").hexdigest()})
    # pip looks into it first; whoever finds out, it is one sentence.
    assert "tiny" in complaint(entry)


def test_a_wheel_without_the_module(index: Path) -> None:
    assert "tiny_harmony-1.0-py3-none-any.whl is damaged" in complaint(
        build(index, {"other/__init__.py": b""})
    )


def test_a_cache_that_cannot_be_written(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert "set XDG_CACHE_HOME to a folder that can be written" in complaint(build(index, FILES))


def test_obtaining_says_what_is_missing_and_why_it_cannot_be_had(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = build(index, FILES)
    wrong = replace(entry, wheels=dict.fromkeys(entry.wheels, "1" * 64))
    monkeypatch.setattr(load, "find", lambda _: wrong)
    assert wrong.name != authorities.DEFAULT
    offline = "The authority tiny-harmony 1.0 is not in the cache; run `conformance authorities fetch tiny`"
    with pytest.raises(UnjudgedError, match=offline):
        load.obtain("tiny", offline=True)
    with pytest.raises(UnjudgedError, match=f"{offline}. Fetching it failed: hash mismatch"):
        load.obtain("tiny")
