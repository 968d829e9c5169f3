"""The authority is known by its files and by what it renders, and nothing else is taken for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authority_helpers import claim, fake_library, real_copy

from conformance.errors import EXIT_UNJUDGED, UsageError
from conformance.oracles import golden, load
from conformance.oracles.authorities import DEFAULT, MODULE, find, pinned, read_authorities
from conformance.oracles.installed import installed
from conformance.oracles.library import Separate
from conformance.oracles.load import MissingAuthorityError, authority

WAY_OUT = "run `conformance authorities fetch openai-harmony` for a copy of this project's own"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder that comes first on the path, in a process that has not imported the module."""
    for name in [name for name in sys.modules if name.partition(".")[0] == MODULE]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(load, "_loaded", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def refused() -> MissingAuthorityError:
    with pytest.raises(MissingAuthorityError) as caught:
        authority()
    assert caught.value.exit_code == EXIT_UNJUDGED
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_installed_library_is_the_default() -> None:
    found, entry = authority().authority, find(DEFAULT)
    assert (found.name, found.distribution, found.origin) == (DEFAULT, "openai-harmony", "installed")
    assert found.renders == entry.renders
    here = installed(all_claims=True)
    assert here is not None
    assert (here.distribution, here.version, here.sha256) == (found.distribution, found.version, found.sha256)
    assert f"{here}" in here.claims


@pytest.mark.parametrize("name", list(pinned()))
def test_each_pinned_authority_renders_what_it_is_known_by(name: str) -> None:
    library = Separate(name, real_copy(name))
    try:
        assert golden.renders(library) == pinned()[name].renders
        # What `tokenizer` and the plan take for granted.
        assert library.special_tokens() == authority().special_tokens()
        assert [library.namespace(tool) for tool in ("browser", "python")] == [
            authority().namespace(tool) for tool in ("browser", "python")
        ]
    finally:
        library.close()


def test_the_golden_set_separates_what_renders_otherwise() -> None:
    digests = {name: entry.renders for name, entry in pinned().items()}
    assert digests["openai-harmony"] == digests["openai-harmony-0.0.4"]
    assert len({digests[name] for name in ("openai-harmony", "openai-harmony-0.0.3", "oss-harmony")}) == 3


def test_each_golden_conversation_tells_something() -> None:
    """None of them is refused, and no two of them say the same."""
    library = authority()
    texts = {
        library.decode_utf8(library.render(messages, training=training, auto_drop=drop))
        for messages, training, drop in golden.CONVERSATIONS
    }
    assert len(texts) == len(golden.CONVERSATIONS)


def test_another_known_library_is_named_and_may_be_replaced_by_a_copy(fresh: Path) -> None:
    claim(fake_library(fresh), "oss-harmony", "0.0.11")
    error = refused()
    assert "The installed module openai_harmony is that of oss-harmony 0.0.11, not of openai-harmony" in str(
        error
    )
    assert WAY_OUT in str(error)
    assert error.fetch
    here = installed(all_claims=True)
    assert here is not None
    assert here.claims[0] == "oss-harmony 0.0.11"


def test_an_altered_library_is_refused(fresh: Path) -> None:
    claim(fake_library(fresh), "openai-harmony", "0.0.8", true=False)
    error = refused()
    assert f"in {fresh / MODULE} is an altered library, though openai-harmony 0.0.8 claims it" in str(error)
    assert WAY_OUT in str(error)
    assert not error.fetch


def test_a_library_of_nobody_is_refused(fresh: Path) -> None:
    fake_library(fresh)
    error = refused()
    assert "is a library of unknown origin: no package's record has its files" in str(error)
    assert not error.fetch


def test_a_library_that_renders_otherwise_is_refused_whatever_its_files_say(fresh: Path) -> None:
    claim(fake_library(fresh), "openai-harmony", "0.0.9")
    error = refused()
    assert "openai-harmony 0.0.9 is installed and renders otherwise than openai-harmony 0.0.8" in str(error)
    assert WAY_OUT in str(error)
    assert not error.fetch


def test_a_library_that_does_not_load_is_refused(fresh: Path) -> None:
    folder = fake_library(fresh)
    (folder / MODULE / "__init__.py").write_text("raise OSError('wrong glibc')", encoding="utf-8")
    claim(folder, "openai-harmony", "0.0.8")
    assert "openai-harmony 0.0.8 cannot be loaded (wrong glibc)" in str(refused())


def test_an_older_one_of_openai_is_replaced_by_a_copy(fresh: Path) -> None:
    claim(fake_library(fresh), "openai-harmony", "0.0.4")
    error = refused()
    assert "openai-harmony 0.0.4 is installed, which is older than openai-harmony 0.0.8" in str(error)
    assert error.fetch


def test_no_library_at_all(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    error = refused()
    assert str(error).startswith(
        "OpenAI's Harmony library is not installed here; run `conformance authorities fetch"
    )
    assert "pip install --force-reinstall --no-deps openai-harmony==0.0.8" in str(error)
    assert error.fetch


def test_what_an_uninstallation_leaves_is_no_library(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages own the files; when one is uninstalled, an empty folder stays."""
    (fresh / MODULE / "__pycache__").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(fresh)])
    assert installed() is None


def test_an_own_copy_is_used_whatever_is_installed(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the copy comes from the user's own cache
    real_copy(DEFAULT)
    monkeypatch.setattr(load, "_loaded", {})
    monkeypatch.setitem(sys.modules, MODULE, None)
    library = authority()
    try:
        assert isinstance(library, Separate)
        assert str(library.authority) == "openai-harmony 0.0.8 (own copy)"
    finally:
        assert isinstance(library, Separate)
        library.close()


def test_an_authority_that_nobody_knows() -> None:
    with pytest.raises(
        UsageError, match="No authority is called 'x'; choose from openai-harmony, oss-harmony"
    ):
        authority("x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[x]\nversion = 1\n", "does not describe authorities"),
        ("[x", "is not valid TOML"),
        (
            '[x]\ndistribution = "d"\nversion = "1"\nrenders = "ab"\nnote = ""\nwheels = {}\n',
            "a sha256 of 'x' is not 64 lower-case hex digits",
        ),
    ],
)
def test_a_broken_data_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        read_authorities(tmp_path / "a.toml")
