"""A GGUF file gets another template and nothing else; the original is never touched, and no half file is left."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import gguf
import numpy as np
import pytest
from gguf import GGUFValueType as Kind

from conformance.errors import UsageError
from conformance.gguf import splice
from conformance.gguf.splice import write_gguf

KEY = "tokenizer.chat_template"
OLD, NEW = "old {{ x }}\n", "new 😀 {{ y }}\r\n" * 50
TENSORS = {
    "token_embd.weight": np.arange(96, dtype=np.float32).reshape(8, 12),
    "blk.0.half": np.arange(33, dtype=np.float16),
    "blk.0.bytes": np.arange(64, dtype=np.int8).reshape(4, 16),
}


class Model(NamedTuple):
    """A small GGUF file and its hash when it was made."""

    path: Path
    sha256: str

    def untouched(self) -> bool:
        return digest(self.path) == self.sha256


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, *, big: bool = False, alignment: int | None = None, more: bool = True) -> Model:
    """Write a file with scalars and arrays of every kind, empty ones included, and tensors of several types."""
    endian = gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(path, "gpt-oss", endianess=endian)
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_name("small")
    writer.add_chat_template([{"name": "default", "template": OLD}, {"name": "tool_use", "template": "żT"}])
    if more:
        writer.add_array("tokenizer.ggml.tokens", ["a", "ä", "", "<|end|>"])
        writer.add_array("tokenizer.ggml.token_type", [1, 1, 1, 3])
        writer.add_array("some.floats", [0.5, -1.25])
        writer.add_array("some.flags", [True, False, True])
        for name, kind, value in (
            ("u8", Kind.UINT8, 255),
            ("i8", Kind.INT8, -128),
            ("u16", Kind.UINT16, 65535),
            ("i16", Kind.INT16, -32768),
            ("u64", Kind.UINT64, 2**64 - 1),
            ("i64", Kind.INT64, -(2**63)),
            ("f32", Kind.FLOAT32, 0.1),
            ("f64", Kind.FLOAT64, 0.1),
            ("flag", Kind.BOOL, True),
        ):
            writer.add_key_value(f"some.{name}", value, kind)
    for name, data in TENSORS.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Model(path, digest(path))


def metadata(path: Path) -> dict[str, Any]:
    reader = gguf.GGUFReader(path)
    return {
        field.name: ([kind.name for kind in field.types], field.contents())
        for field in reader.fields.values()
        if not field.name.startswith("GGUF.")
    }


def tensors(path: Path) -> list[tuple[Any, ...]]:
    reader = gguf.GGUFReader(path)
    return [(t.name, t.tensor_type, t.shape.tolist(), t.data.tobytes()) for t in reader.tensors]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "models").mkdir()
    return write(tmp_path / "models" / "m.gguf")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "fixed.gguf"


def refused(model: Model, output: Path, key: str = KEY) -> str:
    """Return the sentence of a refusal, after which there is no file and the original is as it was."""
    with pytest.raises(UsageError) as caught:
        write_gguf(model.path, output, key, NEW)
    assert model.untouched()
    assert [path for path in output.parent.iterdir() if path != model.path] == []
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("alignment", [None, 64, 8])
def test_the_template_changes_and_nothing_else(tmp_path: Path, big: bool, alignment: int | None) -> None:
    model, output = write(tmp_path / "m.gguf", big=big, alignment=alignment), tmp_path / "fixed.gguf"
    write_gguf(model.path, output, KEY, NEW)
    assert model.untouched()
    before, after = metadata(model.path), metadata(output)
    assert list(after) == list(before), "the order of the keys"
    assert after.pop(KEY) == (["STRING"], NEW)
    assert before.pop(KEY) == (["STRING"], OLD)
    assert after == before
    assert after["tokenizer.chat_template.tool_use"][1] == "żT"
    assert tensors(output) == tensors(model.path)
    assert len(tensors(output)) == len(TENSORS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixed.gguf", "m.gguf"]


def test_a_named_template_can_be_the_one(model: Model, output: Path) -> None:
    write_gguf(model.path, output, f"{KEY}.tool_use", NEW)
    after = metadata(output)
    assert (after[KEY][1], after[f"{KEY}.tool_use"][1]) == (OLD, NEW)


def test_the_same_template_gives_the_same_bytes(model: Model, output: Path) -> None:
    """gguf-py wrote the original, so that its copy has no reason to differ anywhere."""
    write_gguf(model.path, output, KEY, OLD)
    assert output.read_bytes() == model.path.read_bytes()


def test_empty_arrays_and_strings_that_are_no_utf8_survive(tmp_path: Path, output: Path) -> None:
    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "gpt-oss")
    writer.add_chat_template(OLD)
    writer.add_key_value("odd.text", b"\xff\xfe", Kind.STRING)
    writer.add_array("odd.texts", [b"\xff", b"ok"])
    writer.add_array("odd.list", [7])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    data = path.read_bytes()
    # One item taken out of the list: gguf-py itself cannot write an empty one.
    full = b"odd.list" + (9).to_bytes(4, "little") + (5).to_bytes(4, "little") + (1).to_bytes(8, "little")
    at = data.index(full)
    head = data[: at + len(full) - 8] + bytes(8)
    path.write_bytes(head + bytes(-len(head) % 32))
    model = Model(path, digest(path))
    write_gguf(path, output, KEY, NEW)
    assert model.untouched()
    fields = gguf.GGUFReader(output).fields
    assert fields["odd.text"].parts[-1].tobytes() == b"\xff\xfe"
    assert [fields["odd.texts"].parts[index].tobytes() for index in fields["odd.texts"].data] == [
        b"\xff",
        b"ok",
    ]
    assert fields["odd.list"].data == []
    assert fields[KEY].contents() == NEW


def test_modes_are_kept(model: Model, output: Path) -> None:
    model.path.chmod(0o640)
    write_gguf(model.path, output, KEY, NEW)
    assert output.stat().st_mode & 0o777 == 0o640


def test_a_key_that_is_not_there(model: Model, output: Path) -> None:
    assert "there is no tokenizer.other to replace" in refused(model, output, "tokenizer.other")


@pytest.mark.parametrize("same", [lambda path: path, lambda path: path.parent / "." / path.name])
def test_never_in_place(model: Model, same: Callable[[Path], Path]) -> None:
    assert "is the target, which is never changed" in refused(model, same(model.path))


@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_never_in_place_through_a_link(model: Model, output: Path, how: str) -> None:
    getattr(output, how)(model.path)
    with pytest.raises(UsageError, match="is the target, which is never changed"):
        write_gguf(model.path, output, KEY, NEW)
    assert model.untouched()


def test_no_room(model: Model, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(output.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    message = refused(model, output)
    assert message.startswith(
        f"there is no room for fixed.gguf in {output.parent}; make room or name another"
    )


def test_the_room_runs_out(model: Model, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    assert "there is no room for fixed.gguf" in refused(model, output)


def test_what_fails_in_the_middle_leaves_nothing(
    model: Model, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "copyfileobj", fails)
    assert "cannot write" in refused(model, output)


def test_an_interrupt_leaves_nothing(model: Model, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(splice, "_prove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_gguf(model.path, output, KEY, NEW)
    assert list(output.parent.iterdir()) == []
    assert model.untouched()


def _swapped(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


HALF = TENSORS["blk.0.half"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"some.u16", b"some.x16", "its metadata keys differ"),
        ("ä".encode(), "ö".encode(), "tokenizer.ggml.tokens differs"),
        ("żT".encode(), "żt".encode(), "tokenizer.chat_template.tool_use differs"),
        (NEW.encode(), NEW.upper().encode(), "its template is not the one that was to be written"),
        (b"blk.0.half", b"blk.0.hall", "its tensors are described differently"),
        (HALF.tobytes(), HALF.tobytes() + b"00", "its tensors have another length"),
    ],
    ids=["key", "item", "named template", "template", "tensor name", "tensor data"],
)
def test_a_copy_that_differs_is_not_kept(
    model: Model, output: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes, said: str
) -> None:
    """Whatever goes wrong while copying, the proof sees it."""
    copy = splice._copy

    def wrong(file: BinaryIO, made: BinaryIO, head: Any, template: str) -> None:
        held = BytesIO()
        copy(file, held, head, template)
        made.write(_swapped(held.getvalue(), old, new))

    monkeypatch.setattr(splice, "_copy", wrong)
    assert said in refused(model, output)


@pytest.mark.parametrize("length", [3, 20, 200, 1000])
def test_a_broken_header(model: Model, output: Path, length: int) -> None:
    data = model.path.read_bytes()
    model.path.write_bytes(data[:length])
    broken = Model(model.path, digest(model.path))
    said = "is not a GGUF file" if length == 3 else "m.gguf is cut off"
    assert said in refused(broken, output)


def test_lengths_that_lie(model: Model, output: Path) -> None:
    data = bytearray(model.path.read_bytes())
    at = data.index(OLD.encode()) - 8
    data[at : at + 8] = (2**62).to_bytes(8, "little")
    model.path.write_bytes(data)
    assert "m.gguf claims a string of" in refused(Model(model.path, digest(model.path)), output)


def test_an_array_of_arrays_is_copied_as_it_is(tmp_path: Path, output: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "gpt-oss")
    writer.add_chat_template(OLD)
    writer.add_array("some.nested", [[1, 2], [3, 4]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    write_gguf(path, output, KEY, NEW)
    nested = [
        b"".join(bytes(part) for part in gguf.GGUFReader(each).fields["some.nested"].parts)
        for each in (path, output)
    ]
    assert nested[0] == nested[1]
    assert gguf.GGUFReader(output).fields[KEY].contents() == NEW


def test_a_folder_that_cannot_be_written(model: Model, output: Path) -> None:
    missing = output.parent / "missing" / "fixed.gguf"
    with pytest.raises(UsageError, match=r"cannot write .*name another file"):
        write_gguf(model.path, missing, KEY, NEW)
    assert model.untouched()
