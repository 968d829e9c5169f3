"""The kept form of what realistic conversations are drawn from: it is what was read, or it is not used."""

import os
from pathlib import Path

import pytest

from conformance.conversation import Tool, ToolCall
from conformance.errors import UsageError
from conformance.workload import packages, stock
from conformance.workload.material import Dialogue, Material, Server, Turn

_TOOL = Tool("find", "Finds what was lost. No more.", {"type": "object", "n": 2**70, "x": 1.0, "none": None})
_ASKED = Dialogue((Turn("Where is it?", ((ToolCall("find", {"a": [1, 1.5, "é"]}),),)),), (_TOOL,), "Be kind.")
_TOLD = Dialogue((Turn("Nothing fits."),), (_TOOL,))


def _material() -> Material:
    return Material(
        questions=[_TOLD, _ASKED],
        dialogues=[Dialogue((Turn("One."), Turn("Two.")), (_TOOL,))],
        chats=[Dialogue((Turn("Hello."),))],
        servers=[Server("files", (_TOOL,))],
        results={"find": {"type": "object"}},
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with packages that give little."""
    monkeypatch.setenv(packages.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(packages, "material", _material)
    return tmp_path


def _nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Material:
        raise AssertionError("the archives were read")

    monkeypatch.setattr(packages, "material", fails)


def test_what_is_kept_is_what_was_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stock.stock()
    _nothing_is_read(monkeypatch)
    for found in (first, stock.stock()):
        assert list(found.questions) == [_ASKED, _TOLD]
        assert repr(found.questions[0]) == repr(_ASKED)
        assert list(found.questions[1:]) == [_TOLD]
        assert list(found.dialogues) == _material().dialogues
        assert list(found.chats) == _material().chats
        assert list(found.servers) == _material().servers
        assert found.instructions == ["Be kind."]
        assert found.sentences == ["Finds what was lost."]
        assert found.result("find") == {"type": "object"}
        assert found.result("lose") is None
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("change", ["cut", "altered", "empty"])
def test_what_was_altered_is_read_anew(folder: Path, change: str) -> None:
    stock.stock()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-9], "altered": whole.replace(b"lost", b"last"), "empty": b""}[change])
    assert stock.stock().sentences == ["Finds what was lost."]
    assert file.read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such files here")
def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    stock.stock()
    (file,) = folder.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert stock.stock().sentences == ["Finds what was lost."]
    assert file.is_file()


def test_other_archives_are_read_and_older_forms_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock.stock()
    (old,) = folder.iterdir()
    others = [folder / "read-me.json", folder / "read-0123456789abcdef.json.bak"]
    for other in others:
        other.write_text("somebody's own")
    monkeypatch.setattr(packages, "packages", lambda: ())
    stock.stock()
    kept = set(folder.iterdir())
    assert old not in kept
    assert kept > set(others)
    assert len(kept) == 3


def test_a_folder_that_cannot_be_written_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(packages.FOLDER_VARIABLE, str(tmp_path / "file"))
    monkeypatch.setattr(packages, "material", _material)
    assert stock.stock().sentences


def test_sets_without_what_they_should_hold_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "material", Material)
    with pytest.raises(UsageError, match="do not hold"):
        stock.stock()
    assert not list(folder.iterdir())
