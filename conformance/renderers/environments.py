"""An environment of its own for each renderer, made by the user's pip or npm in the cache; or one that the user has.

Nothing that is installed here is ever imported by this project: a renderer is a program, asked over its pipes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from platformdirs import user_cache_path

from conformance.decode import NO_JSON
from conformance.errors import UnjudgedError, UsageError, printable
from conformance.oracles import vocabulary
from conformance.renderers.known import Known
from conformance.servers import model_folder

_SECONDS = 3600
# What these do on a machine without a network, or with one, is not what is judged.
_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONNOUSERSITE": "1"}
_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"

# Copies a distribution's metadata under another name and version.
_ALIAS = """
import importlib.metadata, pathlib, re, shutil, sys
package, name, version = sys.argv[1:]
found = pathlib.Path(importlib.metadata.distribution(package)._path)
new = found.with_name(f"{name.replace('-', '_')}-{version}.dist-info")
shutil.copytree(found, new, dirs_exist_ok=True)
text = (new / "METADATA").read_text("utf-8")
text = re.sub(r"^Name: .*$", f"Name: {name}", text, count=1, flags=re.M)
text = re.sub(r"^Version: .*$", f"Version: {version}", text, count=1, flags=re.M)
(new / "METADATA").write_text(text, "utf-8")
(new / "RECORD").unlink()  # its files belong to the other name
"""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a renderer is: its interpreter (a Python, or node), its version, and what is installed with it."""

    program: str
    version: str
    packages: list[str] = []
    own: bool = True


def folder_of(entry: Known) -> Path:
    """Return where a renderer's environment is kept."""
    root = user_cache_path("chat-template-conformance", appauthor=False) / "renderers"
    return root / f"{entry.name}-{entry.version}"


def installed(entry: Known) -> Installed | None:
    """Return where a renderer is, or None when it is not here or was not installed to the end."""
    try:
        found = msgspec.json.decode((folder_of(entry) / "installed.json").read_bytes(), type=Installed)
    except (OSError, *NO_JSON):
        return None
    return found if os.access(found.program, os.X_OK) else None


def command(entry: Known) -> str:
    """Return the command line that asks a renderer, for `--command`.

    Raises UnjudgedError when it is not installed, or what it has to be given is missing.
    """
    found = installed(entry)
    if found is None:
        raise UnjudgedError(
            f"The renderer {entry.name} ({entry}) is not here: `conformance renderers fetch {entry.name}` installs it "
            f"({entry.size})."
        )
    variables = dict(_QUIET)
    if (words := vocabulary.prepare().folder) is not None:
        variables[vocabulary.VARIABLE] = str(words)
    if entry.model:
        variables["CONFORMANCE_MODEL"] = str(model_folder.cached())
    if entry.kind == "npm":
        variables["CONFORMANCE_PACKAGE"] = str(folder_of(entry))
    pairs = [f"{name}={value}" for name, value in variables.items()]
    return shlex.join(["env", *pairs, found.program, str(entry.file)])


def fetch(entry: Known, python: Path | None = None, *, base: Path | None = None) -> bool:
    """Install a renderer, or take it from the environment of a Python that has it; return False when it was here.

    `python` is that of the environment to take, `base` the one to make a new environment with.

    Raises UsageError when pip or npm cannot get it, a Python is missing or lacks it, or the cache cannot be written.
    """
    if python is not None:
        _keep(entry, _theirs(entry, python))
        return True
    if installed(entry) is not None:
        return False
    place = folder_of(entry)
    try:
        # Beside the old one nothing is repaired: an environment is made in its place, for it knows its own path.
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        _keep(entry, _by_npm(entry, place) if entry.kind == "npm" else _by_pip(entry, place, base))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return True


def _keep(entry: Known, found: Installed) -> None:
    """Write down where a renderer is, last of all, so that half an installation is none."""
    place = folder_of(entry)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
            file.write(msgspec.json.encode(found))
        os.replace(file.name, place / "installed.json")
    except OSError as error:
        raise _unwritable(place, error) from None


def _unwritable(place: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write to {place}: {error.strerror or error}; set XDG_CACHE_HOME to a folder that can be written"
    )


def _theirs(entry: Known, python: Path) -> Installed:
    """Return an environment of the user's, which is not changed."""
    if entry.kind == "npm":
        raise UsageError(f"{entry.name} is an npm package; --python names an environment of Python.")
    # Not resolved: a link to another Python is what makes a virtual environment.
    program = str(python.absolute())
    try:
        version = _run([program, "-I", "-c", _VERSION, entry.package], "look for it", 60).strip()
    except UsageError:
        raise UsageError(
            f"{printable(str(python))} is not a Python that has {entry.package}; name the python of an environment "
            f"where {entry.package}=={entry.version} is installed."
        ) from None
    if version != entry.version:
        raise UsageError(
            f"{printable(str(python))} has {entry.package} {printable(version)}; the adapter is written for "
            f"{entry.version}. Ask that one by --command instead: {entry.file} is the adapter."
        )
    return Installed(program=program, version=version, packages=_frozen(program), own=False)


def _by_pip(entry: Known, place: Path, base: Path | None) -> Installed:
    _run(
        [_python(entry) if base is None else str(base), "-m", "venv", str(place)], "make an environment", 300
    )
    program = str(place / "bin" / "python")
    pip = [program, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    pin = f"{entry.package}=={entry.version}"
    if entry.alone:
        _run([*pip, "--no-deps", pin], f"install {pin}")
        if entry.requires:
            _run([*pip, *entry.requires], f"install what {entry.package} needs")
    else:
        _run([*pip, pin, *entry.requires], f"install {pin}")
    if entry.without:
        _run(
            [program, "-m", "pip", "uninstall", "--quiet", "--yes", *entry.without],
            "take out what does not fit",
        )
    if entry.alias:
        _run([program, "-I", "-c", _ALIAS, entry.package, *entry.alias.split("==")], "name its metadata")
    return Installed(program=program, version=entry.version, packages=_frozen(program))


def _by_npm(entry: Known, place: Path) -> Installed:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise UsageError(f"{entry.name} needs Node.js and npm, which are not installed.")
    pin = f"{entry.package}@{entry.version}"
    # No script of a package is run, and no binary for this platform is needed to make a prompt.
    options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-update-notifier"]
    _run([npm, "install", pin, "--prefix", str(place), *options], f"install {pin}", place=place)
    listed = _run([npm, "ls", "--prefix", str(place), "--depth=0", "--parseable", "--long"], "list packages")
    packages = [line.rsplit(":", 1)[-1] for line in listed.splitlines()[1:]]
    return Installed(program=node, version=entry.version, packages=packages)


def _python(entry: Known) -> str:
    """Return a Python to make the environment with: this one where it will do, else a newer one on the path."""
    if entry.python is None:
        return sys.executable
    least = tuple(int(part) for part in entry.python.split("."))
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 6):
        found = shutil.which(f"python3.{minor}")
        if found is not None:
            with contextlib.suppress(UsageError):  # a version manager has names for what it has not
                return _run([found, "-c", "import sys; print(sys.executable)"], "start it", 60).strip()
    raise UsageError(
        f"{entry} needs Python {entry.python} or newer, and none is on the path; name one with --base, or an "
        "environment that has the package with --python."
    )


def _frozen(program: str) -> list[str]:
    """Return what is installed, as `pip freeze` writes it."""
    script = (
        "import importlib.metadata as m; "
        "print(*sorted({f\"{d.metadata['Name']}=={d.version}\" for d in m.distributions()}), sep='\\n')"
    )
    return _run([program, "-I", "-c", script], "list packages", 60).splitlines()


def _run(words: Sequence[str], what: str, seconds: int = _SECONDS, *, place: Path | None = None) -> str:
    """Run a program to its end and return what it writes; raises UsageError saying what failed."""
    try:
        done = subprocess.run(
            words, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"cannot {what}: it was not done within {seconds} s; check the network.") from None
    except OSError as error:
        raise UsageError(f"cannot {what}: {printable(words[0])}: {error.strerror or error}.") from None
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in said if line.lower().startswith(("error", "npm error"))] or said
        raise UsageError(f"cannot {what}: {printable(errors[-1] if errors else 'it gave no reason', 300)}.")
    return done.stdout.decode("utf-8", "replace")
