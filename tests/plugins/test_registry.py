from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from conformance.errors import UsageError
from conformance.registry import Registry


def test_things_have_one_name_each(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [SimpleNamespace(name="later", value="x:y", load=lambda: int)]
    monkeypatch.setattr("conformance.registry.entry_points", lambda group: points)
    known: Registry[type] = Registry("kind", "group")
    known.named("first")(str)
    known.named("first")(str)
    with pytest.raises(ValueError, match="the kind first is registered twice"):
        known.named("first")(bytes)
    assert known.names() == ["first", "later"]
    assert known.own() == {"first": str}
    assert dict(known.items()) == {"first": str, "later": int}
    with pytest.raises(UsageError, match=r"There is no kind 'other'; choose from first, later\."):
        known["other"]


def test_a_plugin_that_cannot_be_loaded_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> object:
        raise RuntimeError("it rains")

    monkeypatch.setattr(
        "conformance.registry.entry_points",
        lambda group: [SimpleNamespace(name="bad", value="x:y", load=load)],
    )
    with pytest.raises(
        UsageError, match=r"The kind 'bad' \(x:y\) cannot be loaded: it rains; update or uninstall"
    ):
        Registry("kind", "group")["bad"]


def test_what_is_built_in_is_imported_when_asked_for_and_not_searched_among_plugins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from conformance.sources.base import SOURCES

    def searched(group: str) -> list[object]:
        raise AssertionError("plug-ins were searched")

    monkeypatch.setattr("conformance.registry.entry_points", searched)
    assert SOURCES["file"].name == "file"
    assert next(SOURCES.items())[0] == "standard-input"


def test_what_the_precision_track_shares_needs_no_other_package() -> None:
    shared = "conformance.registry, conformance.gguf.splice"
    heavy = ("msgspec", "jinja2", "rich", "gguf", "numpy")
    code = f"import sys, {shared}; print([m for m in sys.modules if m in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
