from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from source_helpers import TEXT, build_wheel, complaint, sha256

from conformance import wheel_download
from conformance.errors import UsageError
from conformance.sources import resolve
from conformance.sources.store import Store
from conformance.sources.wheel_file import module_constant, read_member
from conformance.sources.wheel_member import WheelMember, parse_target

MODULE = """
raise SystemExit("this module must not be run")
OTHER: str = "one"
OTHER = "two" "three" + "\\n"
MADE = "a".upper()
MADE_LATER = "x"
MADE_LATER += "y"
SURROGATE = "\\ud800"
A = B = "both"
"""


def tiny(index: Path) -> Path:
    members = {"tiny/t.jinja": TEXT.encode(), "tiny/m.py": MODULE.encode(), "tiny/empty.jinja": b""}
    return build_wheel(index, "tiny_wheel", "1.2", members)


def test_a_file_and_a_constant_through_pip_then_from_the_cache(index: Path, cache: Path) -> None:
    """End to end: pip fetches from a folder of wheels, then the wheel is gone."""
    wheel = tiny(index)
    (template,) = resolve("wheel://Tiny.Wheel==1.2/tiny/t.jinja", cache=cache)
    assert (template.name, template.text, template.sha256) == ("t", TEXT, sha256(TEXT))
    source = template.source
    assert (source.kind, source.location) == ("wheel", "wheel://tiny-wheel==1.2/tiny/t.jinja")
    assert (source.revision, source.member) == ("1.2", "tiny/t.jinja")
    (constant,) = resolve("wheel://tiny_wheel==1.2/tiny/m.py#OTHER", cache=cache)
    assert (constant.name, constant.text) == ("OTHER", "twothree\n")
    assert constant.source.member == "tiny/m.py#OTHER"

    wheel.unlink()
    assert resolve("wheel://tiny-wheel==1.2/tiny/t.jinja", cache=cache, offline=True) == [template]
    assert resolve("wheel://tiny-wheel==1.2/tiny/t.jinja", cache=cache) == [template]
    assert not list(cache.rglob("*.whl"))
    message = complaint("wheel://tiny-wheel==1.2/tiny/m.py#A", cache=cache)
    assert "is not in the cache and the network is switched off" in message
    message = complaint("wheel://tiny-wheel==1.2/tiny/m.py#A", cache=cache, offline=False)
    assert "no index in your pip configuration offers a wheel of tiny-wheel==1.2" in message


def test_a_damaged_cache_is_fetched_again(index: Path, cache: Path) -> None:
    tiny(index)
    target = "wheel://tiny-wheel==1.2/tiny/t.jinja"
    resolve(target, cache=cache)
    (kept,) = (cache / "wheels" / "objects").iterdir()
    kept.write_text("something else")
    assert "is not in the cache" in complaint(target, cache=cache)
    assert resolve(target, cache=cache)[0].text == TEXT


def test_a_cache_that_cannot_be_written_costs_only_time(index: Path, tmp_path: Path) -> None:
    tiny(index)
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert resolve("wheel://tiny-wheel==1.2/tiny/t.jinja", cache=blocked)[0].text == TEXT


def test_bad_members(index: Path, cache: Path) -> None:
    wheel = tiny(index)
    with zipfile.ZipFile(wheel, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/bomb.jinja", bytes(2**26))
        archive.writestr("tiny/bomb.py", bytes(2**26))
        archive.writestr("tiny/broken.py", "def (")
        archive.writestr("tiny/deep.py", "X = " + "(" * 100_000)
        archive.writestr("tiny/minus.py", "X = " + "-" * 100_000 + "1")
        archive.writestr("tiny/sum.py", "X = " + "+".join(['"a"'] * 50_000))
        archive.writestr("tiny/nul.py", "X = 'a'\0")

    def says(member: str) -> str:
        with pytest.raises(UsageError) as caught:
            read_member(wheel, parse_target(f"wheel://tiny-wheel==1.2/{member}"))
        return str(caught.value)

    assert says("t.jinja").endswith("has no file t.jinja (did you mean tiny/t.jinja?)")
    assert says("tiny/m.py#OTHR").endswith("has no constant OTHR (did you mean OTHER?)")
    assert says("tiny/bomb.jinja").endswith("is larger than 4 MB")
    assert says("tiny/bomb.py#X").endswith("is larger than 2 MB")
    assert "MADE in tiny/m.py in the wheel of tiny-wheel==1.2 is not a plain string" in says("tiny/m.py#MADE")
    assert "is not a plain string" in says("tiny/m.py#MADE_LATER")
    assert "lone surrogate at character 0" in says("tiny/m.py#SURROGATE")
    for name in ("broken", "deep", "nul"):
        assert "cannot be parsed as Python" in says(f"tiny/{name}.py#X")
    for name in ("minus", "sum"):  # how deep Python parses depends on its version
        assert any(
            part in says(f"tiny/{name}.py#X") for part in ("cannot be parsed", "is not a plain string")
        )
    message = complaint("wheel://tiny-wheel==1.2/tiny/empty.jinja", cache=cache, offline=False)
    assert "tiny/empty.jinja is an empty template" in message


def test_constants() -> None:
    module = MODULE.encode()
    assert module_constant(module, "B", "m") == b"both"
    assert module_constant(b"\xef\xbb\xbfX = '\xc3\xb3'\r\n", "X", "m") == "ó".encode()
    assert module_constant(b"# coding: latin-1\nX = '\xf3'", "X", "m") == "ó".encode()


def test_a_damaged_wheel(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(UsageError, match=r"the wheel of x==1 is damaged: .*; try again"):
        read_member(path, WheelMember("x", "1", "x.jinja"))


@pytest.mark.parametrize(
    "target",
    [
        "wheel://trl/x.jinja",
        "wheel://trl==1.0",
        "wheel://--index-url==1/x.jinja",
        "wheel://trl==-r/x.jinja",
        "wheel://trl==1.0/m.py#not a name",
        "wheel://trl>=1.0/x.jinja",
    ],
)
def test_bad_targets(target: str) -> None:
    assert "is no wheel target; write wheel://package==version/" in complaint(target)


def test_a_module_needs_a_constant() -> None:
    assert "add #CONSTANT" in complaint("wheel://trl==1.0/trl/m.py")


def test_the_network_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: nobody listens
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "1")
    message = complaint("wheel://tiny-wheel==1.2/t.jinja", cache=cache, offline=False)
    assert "pip cannot reach its package index to fetch tiny-wheel==1.2" in message


def test_pip_is_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    message = complaint("wheel://tiny-wheel==1.2/t.jinja", cache=cache, offline=False)
    assert "-m ensurepip" in message


def test_pip_hangs_or_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def target() -> str:
        return complaint("wheel://tiny-wheel==1.2/t.jinja", cache=cache, offline=False)

    monkeypatch.setattr(wheel_download, "_pip", lambda: [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(wheel_download, "PIP_SECONDS", 0.2)
    assert "pip did not fetch tiny-wheel==1.2 within 0.2 s" in target()
    monkeypatch.undo()
    failing = "import sys; sys.exit('ERROR: first\\nERROR: the disk is full')"
    monkeypatch.setattr(wheel_download, "_pip", lambda: [sys.executable, "-c", failing])
    assert target() == "pip cannot fetch tiny-wheel==1.2: the disk is full"
    monkeypatch.setattr(wheel_download, "_pip", lambda: ["/nonexistent/pip"])
    assert "cannot start pip" in target()


def test_a_file_called_pip_in_the_working_folder_is_not_run(
    index: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(index)
    (tmp_path / "pip.py").write_text("open('run', 'w')")
    monkeypatch.chdir(tmp_path)
    assert resolve("wheel://tiny-wheel==1.2/tiny/t.jinja", cache=cache)[0].text == TEXT
    assert not (tmp_path / "run").exists()


def test_concurrent_writers_and_readers(cache: Path) -> None:
    store, seen = Store(cache), set()
    texts = [bytes([65 + n]) * 100_000 for n in range(8)]

    def work(data: bytes) -> None:
        for _ in range(20):
            store.put("wheel://x==1/x", data)
            seen.add(store.get("wheel://x==1/x"))

    threads = [threading.Thread(target=work, args=(data,)) for data in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= set(texts)
    assert not [path for path in cache.rglob("*") if path.name.startswith(".new-")]


def test_importing_sources_stays_light() -> None:
    heavy = ("huggingface_hub", "zipfile", "subprocess", "platformdirs", "importlib.metadata", "tomllib")
    code = f"import conformance.sources, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
