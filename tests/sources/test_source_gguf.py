from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import pytest
from source_helpers import TEXT, complaint

from conformance.errors import UsageError
from conformance.sources import resolve
from conformance.sources.gguf import read_gguf

KEY = b"tokenizer.chat_template"


def write(path: Path, templates: object, *, big: bool = False, licence: str | None = None) -> Path:
    """Write a small but complete GGUF file with gguf-py."""
    endian = gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(path, "gpt-oss", endianess=endian)
    writer.add_uint64("x.u64", 2**40)
    writer.add_float64("x.f64", 1.5)
    writer.add_bool("x.bool", True)
    writer.add_token_list(["a", "", "żółć", "b" * 300_000])
    writer.add_token_scores([0.5, 1.0])
    writer.add_array("x.nested", [["a", "b"], ["c"]])
    if licence:
        writer.add_license(licence)
    if templates is not None:
        writer.add_chat_template(templates)
    writer.add_string("after", "the template")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def string(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def raw(*pairs: bytes, version: int = 3, keys: int | None = None) -> bytes:
    count = len(pairs) if keys is None else keys
    return b"GGUF" + struct.pack("<IQQ", version, 0, count) + b"".join(pairs)


@pytest.mark.parametrize("big", [False, True])
def test_default_and_named_templates_as_gguf_py_reads_them(tmp_path: Path, big: bool) -> None:
    """End to end, with gguf-py as the judge."""
    named = [{"name": "default", "template": TEXT}, {"name": "tool_use", "template": "żT"}]
    path = write(tmp_path / "m.gguf", named, big=big, licence="apache-2.0")
    reader = gguf.GGUFReader(path)
    templates = resolve(str(path))
    assert [template.name for template in templates] == ["m", "m#tool_use"]
    for template in templates:
        assert template.source.member is not None
        assert template.text == reader.fields[template.source.member].contents()
        assert template.source.licence == "apache-2.0"
        assert template.source.kind == "gguf"


def test_version_2_and_a_file_without_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(raw(pair(KEY, 8, string(b"A")), version=2))
    assert [template.text for template in resolve(str(path))] == ["A"]


def test_a_hostile_name_is_made_harmless(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(raw(pair(KEY + b".a\x1b[2J\n" + b"x" * 500, 8, string(b"A"))))
    (template,) = resolve(str(path))
    assert template.name.startswith("m#a\ufffd[2J\ufffdxxx")
    assert len(template.name) <= 120


def test_any_shard_leads_to_the_first(tmp_path: Path) -> None:
    write(tmp_path / "m-00001-of-00003.gguf", TEXT)
    for shard in (2, 3):
        write(tmp_path / f"m-{shard:05}-of-00003.gguf", None)
    for shard in (1, 2, 3):
        (template,) = resolve(str(tmp_path / f"m-{shard:05}-of-00003.gguf"))
        assert (template.name, template.text) == ("m", TEXT)
        assert template.source.location == str(tmp_path / "m-00001-of-00003.gguf")


def test_a_shard_alone(tmp_path: Path) -> None:
    message = complaint(write(tmp_path / "m-00002-of-00003.gguf", None))
    assert "m-00001-of-00003.gguf is not beside it" in message


def test_cut_off_at_every_byte(tmp_path: Path) -> None:
    whole = raw(
        pair(b"a", 9, struct.pack("<IQ", 8, 2) + string(b"x") + string(b"yy")),
        pair(b"b", 10, struct.pack("<Q", 5)),
        pair(KEY, 8, string(b"template")),
        pair(b"c", 9, struct.pack("<IQ", 4, 3) + bytes(12)),
    )
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole)
    assert read_gguf(path, "cut").templates == {KEY.decode(): b"template"}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match="is cut off" if length >= 4 else "is not a GGUF file"):
            read_gguf(path, "cut")


NESTED = struct.pack("<IQ", 9, 1) * 6 + struct.pack("<IQ", 4, 0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a GGUF file"),
        (b"PK\x03\x04" + bytes(100), "does not begin with the four bytes GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (raw(version=1), "GGUF version 1 of August 2023"),
        (raw(version=7), "GGUF version 7; only versions 2 and 3"),
        (raw(version=0), "GGUF version 0"),
        (raw(), "has no chat template in its metadata"),
        (raw(keys=2**63), "claims 9223372036854775808 metadata keys"),
        (raw(keys=5), "is cut off"),
        (raw(struct.pack("<Q", 2**40)), "a key of 1099511627776 bytes"),
        (raw(pair(b"s", 8, struct.pack("<Q", 2**63))), "a string of 9223372036854775808 bytes"),
        (raw(pair(b"s", 8, struct.pack("<Q", 2**20))), "is cut off"),
        (raw(pair(KEY, 8, struct.pack("<Q", 2**30))), "tokenizer.chat_template of 1073741824 bytes"),
        (raw(pair(b"a", 9, struct.pack("<IQ", 8, 2**60))), "an array of 1152921504606846976 items"),
        (raw(pair(b"a", 9, struct.pack("<IQ", 4, 2**60))), "an array of 1152921504606846976 items"),
        (raw(pair(b"a", 9, struct.pack("<IQ", 4, 2**20))), "is cut off"),
        (raw(pair(b"a", 9, NESTED)), "arrays nested more than 4 deep"),
        (raw(pair(b"a", 99, b"")), "unknown type 99"),
        (raw(pair(KEY, 4, bytes(4))), "tokenizer.chat_template in"),
        (raw(*[pair(KEY, 8, string(b"A"))] * 2), "tokenizer.chat_template twice"),
        (raw(*(pair(KEY + b".%d" % n, 8, string(b"A")) for n in range(70))), "more than 64 chat templates"),
        (raw(pair(KEY + b".\xff", 8, string(b"A"))), "a name that is not UTF-8"),
        (raw(pair(KEY, 8, string(b"A\xff"))), "is not UTF-8: byte 0xff at offset 1"),
        (raw(pair(KEY, 8, string(b""))), "is an empty template"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    message = complaint(path)
    assert says in message
    assert str(path) in message


def test_a_hostile_array_takes_bounded_time(tmp_path: Path) -> None:
    """The most items that are allowed, in a sparse file: seconds, not hours."""
    path = tmp_path / "sparse.gguf"
    empty_arrays = 2**24 // 16
    path.write_bytes(raw(pair(b"a", 9, struct.pack("<IQ", 9, empty_arrays))))
    with path.open("r+b") as file:
        file.truncate(2**34)
    before = time.perf_counter()
    assert "sparse.gguf" in complaint(path)
    assert time.perf_counter() - before < 15


def test_a_vocabulary_of_the_size_of_gpt_oss(tmp_path: Path) -> None:
    """201,088 tokens and 446,189 merges: about 0.1 s, and no more memory than the window."""
    tokens = b"".join(string(b"t%06d" % n) for n in range(201_088))
    merges = b"".join(string(b"m%05d m%05d" % (n % 99_999, n % 77_777)) for n in range(446_189))
    path = tmp_path / "big.gguf"
    path.write_bytes(
        raw(
            pair(b"tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 201_088) + tokens),
            pair(b"tokenizer.ggml.token_type", 9, struct.pack("<IQ", 5, 201_088) + bytes(4 * 201_088)),
            pair(b"tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 446_189) + merges),
            pair(KEY, 8, string(TEXT.encode())),
        )
    )
    before = time.perf_counter()
    (template,) = resolve(str(path))
    seconds = time.perf_counter() - before
    assert template.text == TEXT
    assert seconds < 1  # 0.1 s alone on a core; the rest is for busy machines
    tracemalloc.start()
    read_gguf(path, "big")
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
