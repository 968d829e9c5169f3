"""Environments of renderers: made by real pip from a wheel at hand, kept only when whole, or taken from the user."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from conformance.errors import EXIT_UNJUDGED, EXIT_USAGE, UsageError
from conformance.oracles import vocabulary
from conformance.renderers import environments
from conformance.renderers.environments import command, fetch, folder_of, installed
from conformance.renderers.known import Known, known

TOY = Known(
    what="a toy",
    home="nobody",
    kind="pip",
    package="toy-renderer",
    version="1.0",
    adapter="adapter.py",
    size="nothing",
    name="toy",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, pip without an index, and the vocabulary from where it is."""
    monkeypatch.setenv(vocabulary.VARIABLE, str(vocabulary.prepare().folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "cache"


def wheel(folder: Path, needs: str = "") -> None:
    """Write a wheel with one module."""
    files = {
        "toy_renderer.py": "VALUE = 1\n",
        "toy_renderer-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: toy-renderer\nVersion: 1.0\n{needs}",
        "toy_renderer-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(folder / "toy_renderer-1.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record += f"{name},sha256={digest},{len(text)}\n"
        archive.writestr(
            "toy_renderer-1.0.dist-info/RECORD", record + "toy_renderer-1.0.dist-info/RECORD,,\n"
        )


def test_an_environment_of_its_own(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "Requires-Dist: not-to-be-had\n")
    entry = replace(TOY, alone=True, why="it asks for more", alias="other-name==2.0+cpu")
    assert installed(entry) is None
    assert fetch(entry)
    found = installed(entry)
    assert found is not None
    assert found.own
    assert {"toy-renderer==1.0", "other-name==2.0+cpu"} <= set(found.packages)
    said = subprocess.run(
        [found.program, "-c", "import toy_renderer, importlib.metadata as m; print(m.version('other-name'))"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert said.stdout.strip() == "2.0+cpu"
    assert not fetch(entry)
    words = command(entry)
    assert words.startswith("env ")
    assert f"{vocabulary.VARIABLE}=" in words
    assert words.endswith(f"{found.program} {entry.file}")


def test_what_cannot_be_installed_leaves_nothing(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "Requires-Dist: not-to-be-had\n")
    with pytest.raises(UsageError, match=r"cannot install toy-renderer==1\.0: .*not-to-be-had"):
        fetch(TOY)
    assert installed(TOY) is None
    assert not folder_of(TOY).exists()


def test_an_environment_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken as it is, where it has the very version that the adapter is written for."""
    import importlib.metadata

    here = importlib.metadata.version("openai-harmony")
    entry = replace(TOY, package="openai-harmony", version=here)
    assert fetch(entry, Path(sys.executable))
    found = installed(entry)
    assert found is not None
    assert not found.own
    assert found.program == sys.executable
    with pytest.raises(UsageError, match="has openai-harmony"):
        fetch(replace(entry, version="9.9"), Path(sys.executable))
    with pytest.raises(UsageError, match="is not a Python that has toy-renderer"):
        fetch(TOY, Path(sys.executable))
    with pytest.raises(UsageError, match="is not a Python"):
        fetch(TOY, Path("/no/such/python"))
    monkeypatch.setattr(environments, "_python", lambda _: "/no/such/python")
    with pytest.raises(UsageError, match="cannot make an environment"):
        fetch(TOY)


def test_half_an_installation_is_none() -> None:
    place = folder_of(TOY)
    place.mkdir(parents=True)
    (place / "installed.json").write_text('{"program": "/no/such/python", "version": "1.0"}')
    assert installed(TOY) is None
    (place / "installed.json").write_text("half")
    assert installed(TOY) is None


def test_a_python_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs Python 3\.99 or newer, and none is on the path"):
        fetch(replace(TOY, python="3.99"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check", "renderer:nobody"], EXIT_USAGE, "No renderer is called 'nobody'; choose from renderers"),
        (["check", "renderer:vllm"], EXIT_UNJUDGED, "`conformance renderers fetch vllm` installs it"),
        (["renderers", "command", "vllm"], EXIT_UNJUDGED, "is not here"),
        (["renderers", "fetch", "nobody"], EXIT_USAGE, "No renderer is called"),
        (["renderers", "fetch", "--python", "x"], EXIT_USAGE, "--python belongs to one renderer"),
        (["renderers", "fetch", "node-llama-cpp", "--python", "x"], EXIT_USAGE, "is an npm package"),
        (["renderers", "report", "vllm", "--examples", "0"], EXIT_USAGE, "--examples is 0"),
        (["renderers", "report", "vllm"], EXIT_UNJUDGED, "vllm: The renderer vllm"),
    ],
)
def test_what_is_not_there(run, arguments: list[str], code: int, says: str) -> None:  # type: ignore[no-untyped-def]
    result = run(*arguments)
    assert result.code == code
    assert says in result.err


def test_the_list_says_how_to_get_each(run) -> None:  # type: ignore[no-untyped-def]
    result = run("renderers", "list")
    assert result.code == 0
    for entry in known().values():
        assert f"{entry.name}  {entry}  missing" in result.out
        assert f"conformance renderers fetch {entry.name}" in result.out
