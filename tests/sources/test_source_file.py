from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment
from source_helpers import TEXT, complaint, sha256

from conformance.sources import Provenance, resolve


@pytest.mark.parametrize("suffix", [".jinja", ".j2", ".txt", ""])
def test_any_text_file_is_a_template(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text(TEXT)
    (template,) = resolve(str(path))
    assert (template.name, template.text, template.sha256) == ("mine", TEXT, sha256(TEXT))
    assert template.source == Provenance("file", str(path))
    assert template.harmony is None


def test_crlf_is_kept_and_renders_as_transformers_would(tmp_path: Path) -> None:
    path = tmp_path / "crlf.jinja"
    path.write_bytes(b"a\r\n{{ 'x\r\ny' }}\rz\r\n")
    (template,) = resolve(str(path))
    assert template.text.encode() == path.read_bytes()
    with path.open(encoding="utf-8") as file:  # as transformers opens it
        opened = file.read()
    assert opened != template.text
    assert Environment().from_string(opened).render() == Environment().from_string(template.text).render()


def test_a_byte_order_mark_is_kept_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "bom.jinja"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    (template,) = resolve(str(path))
    assert template.text == "\ufeff" + TEXT
    assert template.note is not None
    assert "byte order mark" in template.note


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is an empty template"),
        (b" \n\t\r\n", "is an empty template"),
        (b"\xef\xbb\xbf\n", "is an empty template"),
        (b"abc\xff", "is not UTF-8: byte 0xff at offset 3; save it as UTF-8"),
        ("{{ x }}".encode("utf-16"), "byte 0xff at offset 0; it looks like UTF-16"),
        (b"x" * (4 * 2**20 + 1), "is larger than 4 MB"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    ],
)
def test_bad_content(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.jinja"
    path.write_bytes(content)
    message = complaint(path)
    assert str(path) in message
    assert says in message


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("missing.jinja", "no such file or folder: missing.jinja"),
        ("openai/gpt-oss-120b", "write hf://openai/gpt-oss-120b"),
        ("https://huggingface.co/openai/gpt-oss-20b/tree/main", "write hf://openai/gpt-oss-20b"),
        ("ftp://somewhere", "nothing can load ftp://somewhere"),
        ("openai-gpt-os-120b", "did you mean openai-gpt-oss-120b"),
        ("qwertz", "neither a file, nor a folder, nor a catalogue name"),
        ("", "empty or no path"),
        ("a\0b", "empty or no path"),
    ],
)
def test_nothing_there(target: str, says: str) -> None:
    assert says in complaint(target)


def test_an_endless_device_is_refused() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    assert "is larger than 4 MB" in complaint("/dev/zero")
